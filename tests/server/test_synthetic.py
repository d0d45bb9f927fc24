from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.server.caller import PATIENCE_S, calling
from tests.server.conftest import Serving, quick, quick_config
from voxtral_voice.engines.base import Finish, Message, Piece, Samples, SpeechChunk
from voxtral_voice.engines.fakes import (
    Broken,
    FakeResponder,
    FakeSpeaker,
    FakeTranscriber,
    FakeTurnJudge,
    FakeVoiceActivity,
)
from voxtral_voice.engines.registry import Engines
from voxtral_voice.errors import BusyError, EngineError
from voxtral_voice.server import synthetic
from voxtral_voice.server.runtime import Runtime
from voxtral_voice.server.synthetic import keep_tested, recorded, try_a_turn

BROKEN = Broken("gone")


async def a_turn(**engines: Any) -> Runtime:
    runtime = Runtime(quick_config(), quick(**engines))
    await try_a_turn(runtime)
    return runtime


def test_the_clip_is_speech() -> None:
    clip = recorded()
    assert 12_000 < len(clip) < 16_000
    assert 0.1 < np.abs(clip).max() <= 1


async def test_a_turn_that_goes_well_makes_it_ready() -> None:
    runtime = await a_turn()
    assert (runtime.ready, runtime.failing) == (True, {})


@pytest.mark.parametrize(
    ("seam", "engine"),
    [
        ("voice_activity", FakeVoiceActivity(broken=BROKEN)),
        ("turn_judge", FakeTurnJudge(latency_ms=0, broken=BROKEN)),
        ("transcriber", FakeTranscriber(latency_ms=0, broken=BROKEN)),
        ("responder", FakeResponder(first_token_ms=0, broken=BROKEN)),
        ("speaker", FakeSpeaker(first_audio_ms=0, broken=BROKEN)),
    ],
)
async def test_the_engine_that_fails_is_named(seam: str, engine: object) -> None:
    runtime = await a_turn(**{seam: engine})
    assert (runtime.ready, runtime.failing) == (False, {seam: "gone"})


# --- a success that is none ----------------------------------------------------------------------------------------


class Deaf(FakeVoiceActivity):
    def session(self) -> Any:
        class Session:
            async def probabilities(self, frames: Samples) -> Sequence[float]:
                return [0.1] * len(frames)

        return Session()


class Silent(FakeSpeaker):
    async def speak(self, text: str, **_: Any) -> AsyncGenerator[SpeechChunk, None]:
        assert text
        yield SpeechChunk(np.zeros(2400, np.float32))


class Mute(FakeSpeaker):
    async def speak(self, text: str, **_: Any) -> AsyncGenerator[SpeechChunk, None]:
        for samples in np.empty((0, len(text)), np.float32):
            yield SpeechChunk(samples)


class Says(FakeResponder):
    def __init__(self, *pieces: Piece) -> None:
        super().__init__()
        self.pieces = pieces

    async def respond(self, messages: Sequence[Message], **_: Any) -> AsyncGenerator[Piece, None]:
        assert messages
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize(
    ("seam", "engine", "why"),
    [
        ("voice_activity", Deaf(), "it hears no speech in speech"),
        ("transcriber", FakeTranscriber(["", ""], latency_ms=0), "it hears no words in speech"),
        ("transcriber", FakeTranscriber(["..."], streaming=True), "it hears no words in speech"),
        ("responder", Says(), "it answers without a word"),
        ("responder", Says(" ...", Finish()), "it answers without a word"),
        ("speaker", Silent(), "what it speaks is silent"),
        ("speaker", Mute(), "what it speaks is silent"),
    ],
)
async def test_what_only_looks_like_work_is_a_failure(seam: str, engine: object, why: str) -> None:
    runtime = await a_turn(**{seam: engine})
    assert (runtime.ready, runtime.failing) == (False, {seam: why})


async def test_a_speaker_that_breaks_off_behind_its_first_sound_is_failing() -> None:
    runtime = await a_turn(speaker=FakeSpeaker(0, 0, broken=Broken("it breaks off", after_steps=1)))
    assert (runtime.ready, runtime.failing) == (False, {"speaker": "it breaks off"})


# --- what it asks for ----------------------------------------------------------------------------------------------


class Heard(FakeSpeaker):
    def __init__(self) -> None:
        super().__init__(0, 0)
        self.texts: list[str] = []

    def speak(self, text: str, **options: Any) -> AsyncGenerator[SpeechChunk, None]:
        self.texts.append(text)
        return super().speak(text, **options)


@pytest.mark.parametrize(
    ("pieces", "spoken"),
    [
        (("Yes", ",", " of course", " I can", " go on."), "Yes, of course"),
        (("Yes.",), "Yes."),
        ((Finish("length"),), "Say yes."),  # all its tokens were thoughts
    ],
)
async def test_the_first_words_of_the_answer_are_spoken(pieces: tuple[Piece, ...], spoken: str) -> None:
    speaker = Heard()
    runtime = await a_turn(responder=Says(*pieces), speaker=speaker)
    assert (runtime.ready, speaker.texts) == (True, [spoken])


async def test_a_responder_that_listens_is_given_the_sound() -> None:
    speaker = Heard()
    runtime = await a_turn(responder=FakeResponder(first_token_ms=0, token_ms=0, listens=True), speaker=speaker)
    assert (runtime.ready, speaker.texts) == (True, ["You spoke"])


async def test_a_transcriber_that_streams_hears_a_stream_which_is_closed() -> None:
    transcriber = FakeTranscriber(streaming=True, push_ms=0, flush_ms=0)
    runtime = await a_turn(transcriber=transcriber)
    assert (runtime.ready, transcriber.open_streams) == (True, 0)


async def test_no_line_of_a_script_is_taken() -> None:
    transcriber = FakeTranscriber(latency_ms=0)
    await a_turn(transcriber=transcriber)
    assert (await transcriber.transcribe(recorded(), language=None, prompt="", final=True)).text == "Hello there."


async def test_one_that_hangs_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(FakeTurnJudge):
        async def complete_probability(self, audio: Samples) -> float:
            await asyncio.Event().wait()
            raise AssertionError(len(audio))

    monkeypatch.setattr(synthetic, "LIMITS_S", {**synthetic.LIMITS_S, "turn_judge": 0.01})
    runtime = await a_turn(turn_judge=Hangs())
    assert (runtime.ready, runtime.failing) == (False, {"turn_judge": "it took too long"})


# --- when it is due ------------------------------------------------------------------------------------------------


class Counted:
    """Turns, as they begin."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.error = error
        self.begun = asyncio.Queue[None]()
        monkeypatch.setattr(synthetic, "synthetic_turn", self._turn)

    async def _turn(self, _: Runtime) -> None:
        self.begun.put_nowait(None)
        if self.error is not None:
            raise synthetic.TurnFailed("speaker", self.error)

    async def next(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.begun.get()


async def test_one_turn_after_the_last_failing_engine_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "LOOK_S", 60)
    turns, runtime = Counted(monkeypatch), Runtime(quick_config(), quick(), ready=True)
    watching = asyncio.create_task(keep_tested(runtime))
    for seam in ("speaker", "responder"):
        runtime.failed(seam, EngineError(seam, "gone"))
    runtime.worked("speaker")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not runtime.ready
    assert turns.begun.empty()
    runtime.worked("responder")
    assert not runtime.ready
    await turns.next()
    await asyncio.sleep(0)
    assert runtime.ready
    assert turns.begun.empty()
    watching.cancel()
    await asyncio.wait([watching])


async def test_one_turn_after_a_process_is_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        failing: str | None = "it ended"

        async def start(self) -> None: ...

        async def aclose(self) -> None: ...

    monkeypatch.setattr(synthetic, "LOOK_S", 0.01)
    process = Process()
    engines: Engines = replace(quick(), processes={"vllm": process})
    turns, runtime = Counted(monkeypatch), Runtime(quick_config(), engines, ready=True)
    watching = asyncio.create_task(keep_tested(runtime))
    while runtime.ready:  # noqa: ASYNC110 - as an operator sees it
        await asyncio.sleep(0.01)
    assert turns.begun.empty()
    process.failing = None
    await turns.next()
    while not runtime.ready:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_busy_engine_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    turns = Counted(monkeypatch, BusyError("speaker", "no room"))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        turns.error = None

    runtime = Runtime(quick_config(), quick())
    watching = asyncio.create_task(keep_tested(runtime, sleep))
    await turns.next()
    await turns.next()
    await asyncio.sleep(0)
    assert (runtime.ready, runtime.failing, slept) == (True, {}, [synthetic.AGAIN_S])
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_server_whose_engine_fails_at_the_start_comes_up_and_recovers(serving: Serving) -> None:
    """It can be used for what works, and says that it is not ready."""
    speaker = FakeSpeaker(0, 0, broken=BROKEN)
    async with serving(quick(speaker=speaker), tried=True) as server:
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, {"speaker": "gone"})
        speaker.broken = None
        async with calling(server.url) as caller:
            await caller.turn()
        async with asyncio.timeout(PATIENCE_S):
            while (await server.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - what a load balancer does
                await asyncio.sleep(0.01)
