"""What clients post is read, or refused in one sentence."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
import pytest
import soundfile

from tests.bench.stub.make import RATE_HZ, babble
from voxtral_voice.bench.stub import forms
from voxtral_voice.bench.stub.forms import BadRequest, ChatForm, SpeechForm
from voxtral_voice.engines.base import Message

KIND = b"multipart/form-data; boundary=xyz"


def form(**fields: bytes) -> bytes:
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join([*parts, b"--xyz--\r\n"])


def sound(kind: str = "WAV", rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    file = io.BytesIO()
    audio = babble(1, 1.0)
    soundfile.write(file, np.stack([audio] * channels, axis=1), rate_hz, format=kind)
    return file.getvalue()


def refusal(read: Any, *arguments: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        read(*arguments)
    return str(caught.value)


# --- forms --------------------------------------------------------------------------------------------------------


def test_a_form_as_clients_write_it() -> None:
    body = (
        b"--xyz\r\nContent-Disposition: form-data; name=model\r\n\r\nw\r\n"
        b'--xyz\r\nContent-Type: audio/wav\r\ncontent-disposition: form-data; filename="a b.wav"; name="file"\r\n\r\n'
        b"\r\n--xy\r\n\r\n\0\r\n"
        b'--xyz\r\nContent-Disposition: form-data; name="language"\r\n\r\n\r\n--xyz--'
    )
    expected = {"model": b"w", "file": b"\r\n--xy\r\n\r\n\0", "language": b""}
    assert forms.multipart(KIND, body) == expected
    assert forms.multipart(b'multipart/form-data; charset=x; boundary="xyz"', body) == expected


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        (b"application/json", b"{}", "The body has to be multipart/form-data with a boundary."),
        (KIND, form(a=b"1")[:-8], "The form is cut off: its closing boundary is missing."),
        (KIND, b"", "The form is cut off: its closing boundary is missing."),
        (KIND, b"--xyz\r\nX: 1\r\n\r\n\r\n--xyz--", "A part of the form has no name."),
        (KIND, b"--xyz\r\nno blank line\r\n--xyz--", "A part of the form has no name."),
    ],
)
def test_a_form_that_is_none(kind: bytes, body: bytes, sentence: str) -> None:
    assert refusal(forms.multipart, kind, body) == sentence


# --- transcription ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (24_000, 1), (48_000, 2)])
def test_audio_of_any_kind_becomes_16_khz_mono(kind: str, rate_hz: int, channels: int) -> None:
    heard = forms.transcription(KIND, form(file=sound(kind, rate_hz, channels)))
    assert heard.audio.dtype == np.float32
    assert len(heard.audio) == pytest.approx(RATE_HZ * RATE_HZ / rate_hz, rel=0.15)
    assert (heard.language, heard.prompt, heard.style, heard.stream) == (None, "", "json", False)


def test_a_wav_from_a_pipe() -> None:
    wav = bytearray(sound())
    wav[4:8] = wav[40:44] = b"\xff\xff\xff\xff"
    assert len(forms.speech(bytes(wav))) == RATE_HZ


def test_the_wishes_of_a_transcription() -> None:
    body = form(file=sound(), language=b"de", prompt="Köln".encode(), response_format=b"verbose_json", stream=b"True")
    heard = forms.transcription(KIND, body)
    assert (heard.language, heard.prompt, heard.style, heard.stream) == ("de", "Köln", "verbose_json", True)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": b"w"}, "The form has no field `file`."),
        ({"file": b"noise"}, "`file` is no audio that can be read: send WAV, FLAC, OGG or MP3."),
        ({"file": b""}, "`file` is no audio that can be read: send WAV, FLAC, OGG or MP3."),
        ({"file": b"", "response_format": b"srt"}, "response_format 'srt' is not known here: use json, text or "),
    ],
)
def test_a_transcription_that_cannot_be(fields: dict[str, bytes], sentence: str) -> None:
    assert refusal(forms.transcription, KIND, form(**fields)).startswith(sentence)


def test_audio_that_is_not_a_number() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full(100, np.nan), RATE_HZ, format="WAV", subtype="FLOAT")
    assert refusal(forms.speech, file.getvalue()) == "`file` holds samples that are not numbers."


# --- chat ---------------------------------------------------------------------------------------------------------


def test_a_chat_with_every_shape_of_content() -> None:
    body = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 5,
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "42"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": "b"}, 3]},
        ],
    }
    assert forms.chat(orjson.dumps(body)) == ChatForm(
        (Message("system", "Be brief."), Message("assistant", ""), Message("user", "a b")), 5, True, True, "m"
    )
    plain = forms.chat(b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 9}')
    assert plain == ChatForm((Message("user", "a"),), 9, False, False, "")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "The body is not JSON: "),
        (b"[]", "The body has to be a JSON object."),
        (b"{}", "`messages` has to be a list with at least one message."),
        (b'{"messages": []}', "`messages` has to be a list with at least one message."),
        (b'{"messages": ["a"]}', "Every message has to be an object with `role` and `content`."),
        (b'{"messages": [{}], "max_tokens": -1}', "`max_tokens` has to be a whole number of 1 or more."),
        (b'{"messages": [{}], "max_tokens": "9"}', "`max_tokens` has to be a whole number of 1 or more."),
    ],
)
def test_a_chat_that_is_none(body: bytes, sentence: str) -> None:
    assert refusal(forms.chat, body).startswith(sentence)


# --- speech -------------------------------------------------------------------------------------------------------


def test_the_wishes_of_speech() -> None:
    body = {"input": "Hi", "voice": "alloy", "speed": 2, "response_format": "wav", "model": "m"}
    assert forms.speaking(orjson.dumps(body)) == SpeechForm("Hi", "alloy", 2.0, "wav")
    assert forms.speaking(b'{"input": "Hi", "response_format": "pcm"}') == SpeechForm("Hi", "", 1.0, "pcm")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input": ""}, "`input` has to be a text."),
        ({"speed": 9}, "`speed` has to be a number from 0.25 to 4."),
        ({"speed": "fast"}, "`speed` has to be a number from 0.25 to 4."),
        ({"response_format": "mp3"}, "response_format 'mp3' is not made here: use pcm or wav."),
        ({"stream_format": "sse"}, "Speech is streamed as audio here, not as events: leave stream_format out."),
    ],
)
def test_speech_that_cannot_be(change: dict[str, object], sentence: str) -> None:
    body = {"input": "Hi", "response_format": "pcm", **change}
    assert refusal(forms.speaking, orjson.dumps(body)) == sentence
