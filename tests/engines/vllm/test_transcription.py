"""Voxtral Mini hears a turn as a whole, and every fault of its server ends in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import numpy as np
import orjson
import pytest

from tests.engines.odd_server import PATIENCE_S
from tests.engines.vllm.recorded import HttpFault, RecordedVllm, exchanges, said, silence, speech
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcriber, Transcript
from voxtral_voice.engines.openai_audio import wav
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import admission, patience
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.transcription import VllmTranscriber
from voxtral_voice.errors import BusyError, EngineError, RequestError

SOUND = speech(1, 2, 3)
HEARD = said(exchanges("transcription_stream")[0].answer)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the real limits."""
    monkeypatch.setattr(patience, "FIRST_S", 0.2)
    monkeypatch.setattr(patience, "STEP_S", 0.2)
    monkeypatch.setattr(admission, "WAIT_S", 0.05)


@asynccontextmanager
async def hearing(places: int = 2, **options: Any) -> AsyncIterator[tuple[RecordedVllm, VllmTranscriber]]:
    """The server has forgotten how the engine was warmed up."""
    server = RecordedVllm(realtime=False, **options)
    async with server.running(), asyncio.timeout(PATIENCE_S):
        engine = VllmTranscriber(Remote(server.url, "tiny"), admission=Admission(places))
        try:
            await engine.start()
            server.requests.clear()
            yield server, engine
        finally:
            await engine.aclose()


async def transcript(engine: VllmTranscriber, audio: Samples = SOUND, language: str | None = None) -> Transcript:
    return await engine.transcribe(audio, language=language, prompt="", final=True)


async def test_the_recorded_stream_is_heard() -> None:
    async with hearing() as (server, engine):
        assert await transcript(engine, language="hi") == Transcript(HEARD, "hi")
        assert await transcript(engine) == Transcript(HEARD, "")
        (path, form), (_, other) = server.requests
    assert path == "/v1/audio/transcriptions"
    assert form == {
        "model": b"tiny",
        "stream": b"true",
        "temperature": b"0",
        "max_completion_tokens": b"72",
        "language": b"hi",
        "file": wav(SOUND),
    }
    assert "language" not in other


@pytest.mark.parametrize(
    ("text", "language"),
    [("Как дела?", "ru"), ("मुझे बताइए", "hi"), ("Où est la gare ?", "")],
    ids=["Russian", "Hindi", "Latin letters are of many"],
)
async def test_a_language_is_told_only_where_the_letters_say_it(text: str, language: str) -> None:
    """It is a hint to what is asked next."""
    event = orjson.dumps({"choices": [{"delta": {"content": text}}]}).decode()
    body = f"data: {event}\n\ndata: [DONE]\n\n"
    async with hearing() as (server, engine):
        server.answers.append({"status": 200, "content_type": "text/event-stream", "body": body})
        assert await transcript(engine) == Transcript(text, language)


async def test_it_has_no_streams() -> None:
    engine = VllmTranscriber(Remote("http://127.0.0.1:1/v1"))
    assert not engine.streams
    as_any: Transcriber = engine
    assert as_any.stream(language=None, prompt="") is None
    assert engine.name == "a model at http://127.0.0.1:1/v1"


async def test_more_than_half_a_minute_is_heard() -> None:
    """Recorded with 35 s of sound."""
    recorded = exchanges("transcription_stream")[1].answer
    async with hearing() as (server, engine):
        server.answers.append(recorded)
        assert (await transcript(engine)).text == said(recorded).strip() != ""


@pytest.mark.parametrize("audio", [silence(0), silence(2000), np.full(LISTEN_RATE_HZ, 0.001, np.float32)])
async def test_nothing_is_heard_in_silence_and_nobody_is_asked(audio: Samples) -> None:
    async with hearing() as (server, engine):
        assert await transcript(engine, audio) == Transcript("", "")
        assert server.requests == []


async def test_the_limit_grows_with_the_sound_and_fits_the_model() -> None:
    async with hearing(model_len=2048) as (server, engine):
        await transcript(engine, np.tile(SOUND, 100))
        assert server.requests[0][1]["max_completion_tokens"] == b"1024"


async def test_a_language_that_it_does_not_know_is_told() -> None:
    async with hearing() as (_, engine):
        with pytest.raises(RequestError, match="Unsupported language: 'xx'"):
            await transcript(engine, language="xx")


async def test_a_realtime_model_is_known_at_the_start() -> None:
    server = RecordedVllm(realtime=True)
    async with server.running():
        engine = VllmTranscriber(Remote(server.url))
        with pytest.raises(EngineError, match="this mode needs Voxtral Mini"):
            await engine.start()
        assert server.client_sockets == 0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", get_args(HttpFault))
async def test_a_fault_is_told_in_time_and_the_next_turn_is_heard(fault: HttpFault) -> None:
    async with hearing() as (server, engine):
        # a connection that was idle and is reset counts for nothing; the next is a new one
        server.http_faults = deque([fault, fault] if fault == "reset" else [fault])
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(2):
                await transcript(engine)
        assert caught.value.engine == "transcriber"
        assert "://" not in caught.value.told
        await server.until(lambda: not server.busy)
        assert await transcript(engine) == Transcript(HEARD, "")
        assert server.client_sockets == 1


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_is_killed_and_comes_back() -> None:
    async with hearing() as (server, engine):
        await server.kill()
        with pytest.raises(EngineError, match=r"No server answers at|closed the connection"):
            await transcript(engine)
        await server.revive()
        assert (await transcript(engine)).text == HEARD


async def test_a_turn_that_nobody_waits_for_any_more_is_ended_upstream() -> None:
    async with hearing() as (server, engine):
        server.http_faults.append("stalls")
        async with asyncio.TaskGroup() as group:
            work = group.create_task(transcript(engine))
            await server.until(lambda: server.busy == 1)
            work.cancel()
        await server.until(lambda: not server.busy)


@pytest.mark.usefixtures("hasty")
async def test_more_turns_than_places_wait_and_are_told() -> None:
    async with hearing(places=1) as (server, engine):
        server.http_faults.append("mute")
        async with asyncio.TaskGroup() as group:
            work = group.create_task(transcript(engine))
            await server.until(lambda: server.busy == 1)
            with pytest.raises(BusyError, match="is busy"):
                await transcript(engine)
            work.cancel()
        assert (await transcript(engine)).text == HEARD
