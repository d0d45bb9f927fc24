"""As tests/realtime/test_sequences, but through a real connection, with tasks, queues and engines that fail: what is
asked is answered, nothing is stuck, and no task outlives its connection."""

from __future__ import annotations

import asyncio
import json
import random

import numpy as np
import pytest

from tests.realtime.steps import NO_EVENTS, client_event, spoil
from tests.server.caller import appended, silence, tone
from tests.server.conftest import quick, quick_config
from tests.server.memory import Line, connected
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeSpeaker, FakeTranscriber
from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server.runtime import Runtime

SEQUENCES = 300
BLOCKS = 6
LOUD = appended(float_to_pcm16(np.concatenate((tone(500), silence(100)))))
QUIET = appended(float_to_pcm16(silence(600)))
FAULT = Broken("broken")


class Engines:
    """Fakes that can be broken and mended while they work."""

    def __init__(self, rng: random.Random) -> None:
        slow = rng.choice((0, 0, 1))
        self.parts: list[FakeTranscriber | FakeResponder | FakeSpeaker] = [
            FakeTranscriber(("Hello there.", "What is the weather in Paris?"), latency_ms=slow),
            FakeResponder(first_token_ms=slow, token_ms=slow / 5),
            FakeSpeaker(first_audio_ms=slow, realtime_factor=0),
        ]
        transcriber, responder, speaker = self.parts
        self.all = quick(transcriber=transcriber, responder=responder, speaker=speaker)

    def fail(self, rng: random.Random) -> None:
        rng.choice(self.parts).broken = rng.choice((FAULT, None))

    def mend(self) -> None:
        for part in self.parts:
            part.broken = None


async def act(line: Line, engines: Engines, rng: random.Random) -> None:
    what = rng.random()
    if what < 0.35:
        line.send(json.dumps(client_event(line, rng)))
    elif what < 0.5:
        line.send(json.dumps(spoil(client_event(line, rng), rng)))
    elif what < 0.55:
        line.send(rng.choice(NO_EVENTS))
    elif what < 0.75:
        line.send(rng.choice((LOUD, QUIET)))
    elif what < 0.8:
        engines.fail(rng)
    else:
        await asyncio.sleep(rng.choice((0, 0, 0.005)))


async def rest(line: Line, engines: Engines) -> None:
    """All that is under way comes to its end."""
    engines.mend()
    kind = line.session_object["type"]
    pushed = {"type": kind, "audio": {"input": {"turn_detection": None}}}
    line.send(json.dumps({"type": "session.update", "event_id": line.name(), "session": pushed}))
    await line.until(line.is_quiet)


async def run(seed: int) -> None:
    rng = random.Random(seed)
    engines = Engines(rng)
    runtime = Runtime(quick_config(), engines.all, ready=True)
    intent = "transcription" if rng.random() < 0.15 else None
    async with connected(runtime, Opening(intent=intent), judged=rng.random() < 0.2) as line:
        await line.until(lambda: line.order.session is not None)
        for _ in range(rng.choice((3, 10, 30))):
            await act(line, engines, rng)
        if rng.random() < 0.7:
            await rest(line, engines)
    if line.broken:
        raise line.broken[0]
    assert line.closed is None, f"the server has hung up: {line.closed}"


@pytest.mark.parametrize("block", range(BLOCKS))
async def test_every_sequence_is_answered_and_leaves_nothing_behind(block: int) -> None:
    for seed in range(block, SEQUENCES, BLOCKS):
        try:
            await run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


async def test_a_task_that_is_left_behind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[asyncio.Task[None]] = []

    async def forget(line: Line, subprotocol: str | None = None) -> None:
        left.append(asyncio.create_task(asyncio.sleep(60)))

    monkeypatch.setattr(Line, "accept", forget)
    runtime = Runtime(quick_config(), quick(), ready=True)
    with pytest.raises(AssertionError, match="rule 14"):
        async with connected(runtime) as line:
            await line.until(lambda: line.order.session is not None)
    left[0].cancel()
