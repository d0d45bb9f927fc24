"""A phrase goes out, and its audio comes back in pieces, without the silence around it."""

from __future__ import annotations

import asyncio
import io
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from tests.engines.odd_server import (
    PATIENCE_S,
    OddServer,
    Request,
    Respond,
    begin_stream,
    json_answer,
    odd_server,
    stream,
    whole,
    write_chunk,
)
from voxtral_voice.audio.pcm import float_to_pcm16, pcm16_to_float
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.openai_speaker import Decoder, OpenAISpeaker
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.trim import trim
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.errors import EngineError


def tone(ms: float) -> Samples:
    t = np.arange(round(ms * SPEAK_RATE_HZ / 1000)) / SPEAK_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def silence(ms: float) -> Samples:
    return np.zeros(round(ms * SPEAK_RATE_HZ / 1000), np.float32)


SPOKEN = np.concatenate([silence(200), tone(400), silence(500)])
PCM = float_to_pcm16(SPOKEN)
HEARD = trim(pcm16_to_float(PCM), pause_ms=250).samples


def wav(rate_hz: int = SPEAK_RATE_HZ, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(PCM)
    return file.getvalue()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@asynccontextmanager
async def speaking(respond: Respond, *voices: str) -> AsyncIterator[tuple[OpenAISpeaker, OddServer]]:
    async with odd_server(respond) as server:
        speaker = OpenAISpeaker(Remote(server.url, "tts"), voices)
        await speaker.start()
        try:
            yield speaker, server
        finally:
            await speaker.aclose()


async def audio_of(speaker: OpenAISpeaker, text: str = "Yes.", voice: str = "af_heart", speed: float = 1) -> Samples:
    async with asyncio.timeout(PATIENCE_S):
        pieces = [chunk.samples async for chunk in speaker.speak(text, voice=voice, speed=speed)]
    return np.concatenate([np.zeros(0, np.float32), *pieces])


async def heard_of(respond: Respond) -> Samples:
    async with speaking(respond) as (speaker, _):
        return await audio_of(speaker)


async def failure_of(respond: Respond, text: str = "Yes.", voice: str = "af_heart") -> str:
    async with speaking(respond) as (speaker, server):
        with pytest.raises(EngineError) as caught:
            await audio_of(speaker, text, voice)
    assert caught.value.engine == "speaker"
    assert "://" not in caught.value.told
    return str(caught.value).replace(server.url, "URL")


async def test_the_request() -> None:
    async with speaking(stream(PCM, kind="audio/pcm")) as (speaker, server):
        await audio_of(speaker, "Yes, “really”.", "hf_beta")
        await audio_of(speaker, speed=1.5)
    first, second = server.requests
    assert first.line == "POST /v1/audio/speech"
    assert first.json() == {"model": "tts", "input": "Yes, “really”.", "voice": "hf_beta", "response_format": "pcm"}
    assert second.json()["speed"] == 1.5


@pytest.mark.parametrize("size", [1, 3, 333, 4801, 1_000_000])
async def test_audio_in_pieces_of_any_size(size: int) -> None:
    """Also cut inside a sample."""
    data = PCM[: 2 * 6000] if size < 10 else PCM
    expected = trim(pcm16_to_float(data), pause_ms=250).samples
    np.testing.assert_array_equal(await heard_of(stream(*cut(data, size), kind="audio/pcm")), expected)


@pytest.mark.parametrize("kind", ["audio/pcm;rate=24000", "application/octet-stream", "audio/L16"])
async def test_the_names_of_raw_audio(kind: str) -> None:
    np.testing.assert_array_equal(await heard_of(stream(PCM, kind=kind)), HEARD)


@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-wav", "audio/pcm"])
@pytest.mark.parametrize("size", [97, 100_000])
async def test_a_wav_loses_its_header(kind: str, size: int) -> None:
    np.testing.assert_array_equal(await heard_of(stream(*cut(wav(), size), kind=kind)), HEARD)


async def test_sound_comes_before_the_phrase_is_all_there_and_silence_waits() -> None:
    go_on = asyncio.Event()

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer, "audio/pcm")
        write_chunk(writer, float_to_pcm16(np.concatenate([silence(100), tone(100)])))
        await go_on.wait()
        write_chunk(writer, float_to_pcm16(silence(900)))
        writer.write(b"0\r\n\r\n")

    async with speaking(respond) as (speaker, _), asyncio.timeout(PATIENCE_S):
        chunks = speaker.speak("Yes,", voice="af_heart", speed=1.0)
        first = await anext(chunks)
        go_on.set()
        rest = [chunk.samples async for chunk in chunks]
    assert len(first.samples) == (10 + 100 - 5) * 24
    assert sum(map(len, rest)) == (5 + 100) * 24


async def test_a_faster_voice_pauses_for_less() -> None:
    async with speaking(stream(PCM, kind="audio/pcm")) as (speaker, _):
        slow, fast = await audio_of(speaker), await audio_of(speaker, speed=2)
    assert len(slow) - len(fast) == 125 * 24


@pytest.mark.parametrize("text", ["", "...", " — ", "🙂"])
async def test_a_phrase_with_nothing_to_say_asks_nobody(text: str) -> None:
    async with speaking(json_answer({}, 500)) as (speaker, server):
        assert len(await audio_of(speaker, text)) == 0
        assert server.requests == []


# --- voices -------------------------------------------------------------------------------------------------------


async def test_the_voices_are_those_of_the_embedded_profile_unless_named() -> None:
    async with speaking(stream(PCM, kind="audio/pcm"), "alloy", "af_bella") as (speaker, server):
        assert list(speaker.voices) == ["alloy", "af_bella"]
        assert speaker.voices["af_bella"] == VOICES["af_bella"]
        assert (speaker.voices["alloy"].language, speaker.voices["alloy"].gender) == ("", "")
        await audio_of(speaker, voice="alloy")
        assert server.requests[0].json()["voice"] == "alloy"
    assert OpenAISpeaker(Remote("http://x/v1")).voices == VOICES


async def test_a_voice_that_there_is_not() -> None:
    said = await failure_of(stream(PCM), voice="alloy")
    assert said.startswith("There is no voice 'alloy': use one of af_alloy, af_heart, ")


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("respond", "sentence"),
    [
        (stream(float_to_pcm16(silence(500)), kind="audio/pcm"), "URL/audio/speech made no sound for a phrase."),
        (stream(kind="audio/pcm"), "URL/audio/speech made no sound for a phrase."),
        (whole(200, b"x", "audio/mpeg"), "URL/audio/speech sent audio/mpeg, and PCM was asked for."),
        (json_answer({"a": 1}), "URL/audio/speech sent application/json, and PCM was asked for."),
        (
            stream(b"ID3\4" + b"x" * 99, kind="audio/pcm"),
            "URL/audio/speech sent a compressed file, and 24 kHz 16-bit mono PCM was asked for.",
        ),
        (
            stream(b"nothing like a WAV", kind="audio/wav"),
            "URL/audio/speech sent a WAV without a header, and 24 kHz 16-bit mono PCM was asked for.",
        ),
        (
            stream(wav(16_000), kind="audio/wav"),
            "URL/audio/speech sent a WAV of 16000 Hz with 1 channels of 16 bits, "
            "and 24 kHz 16-bit mono PCM was asked for.",
        ),
        (stream(PCM[:30_000], kind="audio/pcm", ends=False), "The answer of URL/audio/speech broke off in the middle."),
    ],
)
async def test_every_failure_is_one_sentence(respond: Respond, sentence: str) -> None:
    assert await failure_of(respond) == sentence


async def test_a_phrase_that_is_closed_early_closes_its_request() -> None:
    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer, "audio/pcm")
        write_chunk(writer, PCM)

    async with speaking(respond) as (speaker, server), asyncio.timeout(PATIENCE_S):
        async with aclosing(speaker.speak("Yes.", voice="af_heart", speed=1.0)) as chunks:
            await anext(chunks)
        await server.left.wait()


def test_a_header_without_end_is_not_read_for_ever() -> None:
    endless = b"RIFF\xff\xff\xff\xffWAVE" + b"LIST" + struct.pack("<I", 10_000_000)
    decoder = Decoder(is_wav=True)
    assert len(decoder.feed(endless)) == 0
    with pytest.raises(ValueError, match="a WAV without samples"):
        decoder.feed(b"x" * 100_000)


def test_half_a_sample_at_the_very_end_is_left_out() -> None:
    decoder = Decoder(is_wav=False)
    assert len(decoder.feed(PCM[:101])) == 50
