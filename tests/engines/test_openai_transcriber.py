"""A turn's audio goes out as a WAV in a form, and a text comes back."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile

from tests.engines.odd_server import OddServer, Respond, json_answer, odd_server
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.bench.stub.forms import multipart
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.openai_transcriber import OpenAITranscriber
from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import EngineError


@asynccontextmanager
async def transcribing(respond: Respond) -> AsyncIterator[tuple[OpenAITranscriber, OddServer]]:
    async with odd_server(respond) as server:
        transcriber = OpenAITranscriber(Remote(server.url, "whisper"))
        await transcriber.start()
        try:
            yield transcriber, server
        finally:
            await transcriber.aclose()


def speech() -> Samples:
    return (0.3 * np.sin(np.arange(LISTEN_RATE_HZ) / 10)).astype(np.float32)


async def test_the_form_that_is_sent() -> None:
    audio = speech()
    async with transcribing(json_answer({"text": " Hello. "})) as (transcriber, server):
        heard = await transcriber.transcribe(audio, language="de", prompt="Köln", final=True)
    assert heard == Transcript("Hello.", "de")
    [request] = server.requests
    assert request.line == "POST /v1/audio/transcriptions"
    fields = multipart(request.headers["content-type"].encode(), request.body)
    wav = fields.pop("file")
    assert fields == {
        "model": b"whisper",
        "response_format": b"json",
        "language": b"de",
        "prompt": "Köln".encode(),
    }
    with soundfile.SoundFile(io.BytesIO(wav)) as sound:
        assert (sound.samplerate, sound.channels, sound.subtype) == (LISTEN_RATE_HZ, 1, "PCM_16")
        assert sound.read(dtype="int16").tobytes() == float_to_pcm16(audio)
    assert transcriber.name == f"whisper at {server.url}"


async def test_what_is_not_known_is_not_sent() -> None:
    async with transcribing(json_answer({"text": ""})) as (transcriber, server):
        assert await transcriber.transcribe(speech(), language=None, prompt="", final=False) == Transcript("", "en")
    fields = multipart(server.requests[0].headers["content-type"].encode(), server.requests[0].body)
    assert fields.keys() == {"model", "response_format", "file"}


@pytest.mark.parametrize(
    ("answer", "told", "language"),
    [
        ({"text": "Hallo", "language": "DE"}, None, "de"),
        ({"text": "Hallo", "language": "german"}, None, "en"),
        ({"text": "Hallo", "language": "german"}, "de", "de"),
        ({"text": "नमस्ते"}, None, "hi"),
        ({"text": "Hello"}, None, "en"),
    ],
)
async def test_the_language(answer: dict[str, str], told: str | None, language: str) -> None:
    async with transcribing(json_answer(answer)) as (transcriber, _):
        heard = await transcriber.transcribe(speech(), language=told, prompt="", final=True)
    assert heard == Transcript(answer["text"], language)


@pytest.mark.parametrize("answer", [{}, {"text": None}, {"text": ["a"]}])
async def test_an_answer_without_text_is_a_failure(answer: dict[str, object]) -> None:
    async with transcribing(json_answer(answer)) as (transcriber, server):
        with pytest.raises(EngineError) as caught:
            await transcriber.transcribe(speech(), language=None, prompt="", final=True)
    assert str(caught.value) == f"{server.url}/audio/transcriptions answered without a `text`."
    assert caught.value.told == "The transcriber's server answered without a `text`."
    assert caught.value.engine == "transcriber"
