"""Three loopback HTTP servers in one process, as OpenAI's: transcription, chat, speech. The same for every framework.

    plan        what is answered to which clip, and how long it takes, from a seed; the sum that every framework waits
    recognise   which clip some audio is, whoever cut it
    engines     the plan as a Transcriber, a Responder and a Speaker
    forms       what clients post: multipart forms, audio files, chat messages
    app         the HTTP of it, over any three engines
    serve       three ports of one event loop
    listing     clips from a JSON file or a folder

`python -m voxtral_voice.bench.stub --clips-json FILE` prints one line of JSON with the three URLs.

Knows: OpenAI's HTTP API, engines. Does not know: who calls, or what is measured.
"""
