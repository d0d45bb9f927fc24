from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from tests.faults.engine import SECOND, WORDS, Mode, Part, answer_to, pitch_of, word_of
from tests.faults.processes import EngineProcess, engine_processes
from tests.server.caller import RATE_HZ, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Message
from voxtral_voice.engines.openai_audio import form, wav

QUESTION = {"messages": [{"role": "user", "content": "amber."}], "stream": True}
PHRASE = {"input": "Hello there.", "voice": "af_heart", "response_format": "pcm"}


@pytest.fixture(scope="module")
def processes() -> Iterator[Mapping[Part, EngineProcess]]:
    with engine_processes() as made:
        yield made


@asynccontextmanager
async def asking(engine: EngineProcess, seconds: float = 20.0) -> AsyncIterator[aiohttp.ClientSession]:
    await engine.attach()
    await engine.mend()
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{engine.port}", timeout=timeout) as client:
        yield client
    await engine.mend()
    engine.detach()


async def asked(client: aiohttp.ClientSession) -> bytes:
    async with client.post("/v1/chat/completions", json=QUESTION) as answer:
        assert answer.status == 200
        return await answer.read()


def text_of(stream: bytes) -> str:
    data = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    return "".join(orjson.loads(line)["choices"][0]["delta"].get("content", "") for line in data)


def heard(word: str) -> Samples:
    return resample(tone(400, pitch_of(word)), RATE_HZ, LISTEN_RATE_HZ)


# --- what they answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_known_by_its_pitch(word: str) -> None:
    assert word_of(heard(word)) == word


def test_an_answer_has_all_that_was_said() -> None:
    said = (Message("system", "Be kind."), Message("user", "amber."), Message("assistant", "Yes."), Message("user", ""))
    assert "".join(answer_to(said)) == f"You said amber. {SECOND}"


async def test_the_transcriber_hears(processes: Mapping[Part, EngineProcess]) -> None:
    async with asking(processes["transcriber"]) as client:
        body, kind = form([("model", "any")], wav(heard("cedar")))
        async with client.post("/v1/audio/transcriptions", data=body, headers={"Content-Type": kind}) as answer:
            assert await answer.json() == {"text": "cedar."}


async def test_the_responder_answers_and_tells_what_it_was_told(processes: Mapping[Part, EngineProcess]) -> None:
    engine = processes["responder"]
    async with asking(engine) as client:
        assert text_of(await asked(client)) == f"You said amber. {SECOND}"
        assert engine.told == [[("user", "amber.")]]


async def test_the_speaker_speaks(processes: Mapping[Part, EngineProcess]) -> None:
    async with asking(processes["speaker"]) as client, client.post("/v1/audio/speech", json=PHRASE) as answer:
        assert len(await answer.read()) == 2 * 0.1 * RATE_HZ


# --- what becomes of them -------------------------------------------------------------------------------------------


async def test_one_that_is_killed_refuses_connections_until_it_is_back(processes: Mapping[Part, EngineProcess]) -> None:
    engine = processes["responder"]
    async with asking(engine) as client:
        engine.kill()
        with pytest.raises(aiohttp.ClientConnectorError):
            await asked(client)
        await engine.mend()
        assert text_of(await asked(client)) == f"You said amber. {SECOND}"


async def test_one_that_is_killed_in_the_middle_of_an_answer_breaks_it_off(
    processes: Mapping[Part, EngineProcess],
) -> None:
    engine = processes["responder"]
    async with asking(engine) as client:
        engine.hold("middle")
        async with client.post("/v1/chat/completions", json=QUESTION) as answer:
            await engine.held()
            engine.kill()
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_one_that_is_stopped_takes_connections_and_says_nothing(processes: Mapping[Part, EngineProcess]) -> None:
    engine = processes["responder"]
    async with asking(engine, seconds=0.2) as client:
        engine.stop()
        with pytest.raises(TimeoutError):
            await asked(client)


async def test_a_request_is_held_until_it_is_released(processes: Mapping[Part, EngineProcess]) -> None:
    engine = processes["responder"]
    async with asking(engine) as client, asyncio.TaskGroup() as group:
        engine.hold("start")
        answer = group.create_task(asked(client))
        await engine.held()
        assert not answer.done()
        engine.release()
        assert text_of(await answer) == f"You said amber. {SECOND}"


@pytest.mark.parametrize(
    ("mode", "found"),
    [("status 500", "500"), ("garbage", "200 text/html"), ("endless", "much"), ("truncated", "broken off")],
)
@pytest.mark.parametrize(("part", "path"), [("responder", "chat/completions"), ("speaker", "audio/speech")])
async def test_wrong_answers(
    processes: Mapping[Part, EngineProcess], part: Part, path: str, mode: Mode, found: str
) -> None:
    engine = processes[part]
    async with asking(engine) as client:
        engine.be(mode)
        request = QUESTION if part == "responder" else PHRASE
        async with client.post(f"/v1/{path}", json=request) as answer:
            assert found == await kind_of(answer)


async def kind_of(answer: aiohttp.ClientResponse) -> str:
    if answer.status != 200:
        return str(answer.status)
    if answer.content_type not in ("text/event-stream", "audio/pcm"):
        return f"{answer.status} {answer.content_type}"
    size = 0
    try:
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > 1_000_000:
                return "much"
    except aiohttp.ClientPayloadError:
        return "broken off"
    return "whole"
