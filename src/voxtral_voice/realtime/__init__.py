"""The OpenAI Realtime protocol (GA, WebSocket), to and from the vocabulary of the conversation core.

Pure: no sockets, asyncio, clocks, randomness or logging; ids are injected. Knows: the wire. Does not know: who sends
the frames, models, or when a reply may begin (`conversation/` does).

    fields           reading JSON that a client sent; every failure is a Problem with a code of the protocol
    voices           which voices there are, and what OpenAI's names mean here
    audio_formats    the formats of audio, both ways
    tools            the client's tools, and which of them may be called
    items            items that a client makes
    session_object   the session's configuration: patched by the client, echoed whole
    client_events    frame -> client event, or Problem
    server_events    objects of the wire (items, responses, errors) and their encoding
    reply_events     the events of one reply, in order
    wire             the two directions together, for one session
"""
