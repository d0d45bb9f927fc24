"""Whole spoken conversations with Voxtral in each of its three modes, over a real socket.

The server runs in its own process, as the gpu profile with the models in that process, on the CPU, from tiny
checkpoints with random weights: what it hears and says are random words. So nothing is asked of the words; that the
right things happen in the right order, and that nothing is left, is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest

from tests.e2e.caller import Caller, Reply, calling
from tests.e2e.conftest import STOP_S, ready
from tests.e2e.speech import Studio, studio_of
from voxtral_voice.audio.level import rms_dbfs

pytestmark = [pytest.mark.models, pytest.mark.voxtral, pytest.mark.timeout(300)]

QUESTION: Final = "What is the capital of France?"
INTERRUPTION: Final = "I would like to know something else instead."
LISTENS: Final = {
    "transcription": {"model": "whisper-1", "language": "en"},
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 600},
}
SHORT: Final = 16
"""Tokens of an answer: the end of a random one is none of its words."""
LEAVE_S: Final = 20
DELTA: Final = "conversation.item.input_audio_transcription.delta"


@dataclass(frozen=True)
class Server:
    mode: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from voxtral_voice.engines.voxtral import random_weights

    folder = tmp_path_factory.mktemp("voxtral")
    for kind in ("mini", "realtime"):
        random_weights.write(folder / kind, kind, "tiny")
    return folder


@pytest.fixture(scope="module", params=["streaming", "direct", "utterance"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkpoints: Path
) -> Iterator[Server]:
    """In one of the modes, ready. It ends as it should, and no task of it has failed."""
    mode = str(request.param)
    log = tmp_path_factory.mktemp("server") / f"{mode}.log"
    models = ["--voxtral-mini", str(checkpoints / "mini"), "--voxtral-realtime", str(checkpoints / "realtime")]
    where = ["--voxtral-backend", "transformers", "--device", "cpu", "--port", "0", "--offline"]
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", "gpu", "--listen", mode, *models, *where]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
        try:
            yield Server(mode, ready(process, log), log, process)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_S)
    assert status == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


def stages(caller: Caller, reply: Reply) -> dict[str, float]:
    """Of the turn that the reply answers."""
    frames = [orjson.loads(frame) for frame in caller.frames]
    [done] = [f for f in frames if f["type"] == "response.done" and f["response"]["id"] == reply.id]
    found: dict[str, float] = done["voxtral_voice"]["trace"]["stages_ms"]
    return found


def kinds(caller: Caller, *wanted: str) -> list[str]:
    return [event.type for event in caller.events if event.type in wanted]


def roles(caller: Caller) -> list[str]:
    return [event.item.role for event in caller.events if event.type == "conversation.item.added"]


async def until_nobody_is_there(url: str) -> None:
    """The sessions end a moment after their callers have left."""
    deadline = time.monotonic() + LEAVE_S
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while "voxtral_voice_sessions 0.0" not in (await client.get("/metrics")).text:
            assert time.monotonic() < deadline, "a session does not end"
        assert (await client.get("/readyz")).is_success


async def test_two_spoken_turns_are_heard_and_answered(server: Server, studio: Studio) -> None:
    question = await studio.say(QUESTION)
    async with calling(server.url, audio={"input": LISTENS}, max_output_tokens=SHORT) as caller:
        replies = [await caller.ask(question), await caller.ask(question)]
        heard = [await caller.transcript(0), await caller.transcript(1)]
    caller.judge()
    assert all(len(words.split()) >= 2 for words in heard)
    for reply in replies:
        assert reply.done.status in ("completed", "incomplete")  # its tokens ran out, and what they say is said
        assert len(reply.text.split()) >= 2
        assert rms_dbfs(reply.audio) > -40
        assert ("transcript" in stages(caller, reply)) == (server.mode != "direct")
    assert roles(caller) == ["user", "assistant"] * 2
    turn = ("input_audio_buffer.speech_started", "input_audio_buffer.committed", "response.created", "response.done")
    assert kinds(caller, *turn) == [*turn] * 2
    told = kinds(caller, DELTA, "input_audio_buffer.speech_stopped").index("input_audio_buffer.speech_stopped")
    assert (told >= 2) == (server.mode == "streaming")  # words while they are said
    await until_nobody_is_there(server.url)


async def test_a_barge_in_stops_voxtral_and_is_answered(server: Server, studio: Studio) -> None:
    question, interruption = await studio.say(QUESTION), await studio.say(INTERRUPTION)
    async with calling(server.url, audio={"input": LISTENS}) as caller:
        await caller.say(question)
        cut = await caller.audio(0, played_ms=600)
        since = len(caller.events)
        await caller.say(interruption)
        done: Any = await caller.event("response.done", since)
        await caller.audio(1, played_ms=300)
        kept = await caller.retrieve(cut.item_id)
        await caller.realtime.response.cancel()
        await caller.reply(1)
        await caller.transcript(1)
    caller.judge()
    assert (done.response.id, done.response.status) == (cut.id, "cancelled")
    assert done.response.status_details.reason == "turn_detected"
    assert kept.status == "incomplete"
    assert cut.text.startswith(kept.content[0].transcript)
    assert caller.replies[1].done.status_details.reason == "client_cancelled"
    await until_nobody_is_there(server.url)


async def test_a_caller_who_leaves_in_the_midst_leaves_nothing(server: Server, studio: Studio) -> None:
    """While it is said, and while it is answered; then another one is served."""
    question = await studio.say(QUESTION)
    async with calling(server.url, audio={"input": LISTENS}) as caller:
        await caller.say(question[: len(question) // 2])
        await caller.event("input_audio_buffer.speech_started")
    async with calling(server.url, audio={"input": LISTENS}) as caller:
        await caller.say(question)
        await caller.audio(0)
    await until_nobody_is_there(server.url)
    async with calling(server.url, audio={"input": LISTENS}, max_output_tokens=SHORT) as caller:
        reply = await caller.ask(question)
    assert reply.done.status in ("completed", "incomplete")
