"""Voice activity: the real model's hearing, and the joining of sessions with a scripted one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.speech import frames, hum, say, silence, white_noise
from voxtral_voice.engines import silero
from voxtral_voice.engines.base import Samples
from voxtral_voice.engines.silero import Silero
from voxtral_voice.errors import EngineError

PATIENCE_S = 10


@pytest.fixture
async def engine(model_files: Callable[[str], Path]) -> AsyncIterator[Silero]:
    real = Silero(model_files("silero-vad-v5.onnx"))
    await real.start()
    yield real
    await real.aclose()


@pytest.mark.models
async def test_speech_is_heard(engine: Silero) -> None:
    heard = await engine.session().probabilities(frames(say("I would like to book a table for two people.")))
    assert max(heard) > 0.95
    assert 0.5 < np.mean(np.array(heard) > 0.5) < 0.95


@pytest.mark.models
@pytest.mark.parametrize("audio", [silence(1), white_noise(2, -26), hum(2, -20)], ids=["silence", "noise", "hum"])
async def test_what_is_no_speech_is_not_heard(engine: Silero, audio: Samples) -> None:
    assert max(await engine.session().probabilities(frames(audio))) < 0.3


@pytest.mark.models
async def test_it_does_not_matter_how_many_frames_come_at_once(engine: Silero) -> None:
    spoken = frames(say("What time is it in London?"))
    session = engine.session()
    one_by_one = [p for frame in spoken for p in await session.probabilities(frame[None])]
    np.testing.assert_allclose(await engine.session().probabilities(spoken), one_by_one, atol=1e-5)


@pytest.mark.models
async def test_sessions_that_run_together_hear_what_they_hear_alone(engine: Silero) -> None:
    audios = [frames(say("Yes.")), frames(say("How far away is the moon?")), frames(white_noise(1, -30))]
    alone = [await engine.session().probabilities(audio) for audio in audios]
    together = await asyncio.gather(*(engine.session().probabilities(audio) for audio in audios))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.models
async def test_a_reset_session_is_as_new(engine: Silero) -> None:
    spoken = frames(say("Yes."))
    session = engine.session()
    first = await session.probabilities(spoken)
    continued = await session.probabilities(spoken)
    session.reset()
    assert await session.probabilities(spoken) == first
    assert continued != first


@pytest.mark.models
def test_its_name_is_the_models(engine: Silero) -> None:
    assert engine.name == "silero-vad-v5"


class Scripted:
    """Stands in for the model. A frame's probability is its first sample; the state counts frames.

    The run after start() waits until it is let go, so that others have to queue.
    """

    def __init__(self, *_: object, **__: object) -> None:
        self.batches: list[int] = []
        self.counts: list[float] = []
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.fails = False
        made.append(self)

    def run(self, inputs: Mapping[str, Samples]) -> list[Samples]:
        audio, state = inputs["input"], inputs["state"]
        self.batches.append(len(audio))
        if len(self.batches) == 2:
            self.begun.set()
            assert self.let_go.wait(PATIENCE_S)
        if self.fails:
            raise EngineError("voice_activity", "The model failed.")
        self.counts = state[0, :, 0].tolist()
        return [audio[:, 64:65], state + 1]


made: list[Scripted] = []


@pytest.fixture
async def scripted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Silero, Scripted]]:
    monkeypatch.setattr(silero, "OnnxModel", Scripted)
    made.clear()
    engine = Silero(Path("scripted.onnx"))
    await engine.start()
    yield engine, made[0]
    made[0].let_go.set()
    await engine.aclose()


def constant(value: float, count: int = 1) -> Samples:
    return np.full((count, 512), value, np.float32)


async def begun(model: Scripted) -> None:
    assert await asyncio.to_thread(model.begun.wait, PATIENCE_S)


async def test_frames_that_wait_together_are_one_run(scripted: tuple[Silero, Scripted]) -> None:
    engine, model = scripted
    first = asyncio.ensure_future(engine.session().probabilities(constant(0.25)))
    await begun(model)
    waiting = [
        asyncio.ensure_future(engine.session().probabilities(constant(value, count)))
        for value, count in ((0.5, 1), (0.75, 3), (1.0, 2))
    ]
    await asyncio.sleep(0)
    model.let_go.set()
    assert await first == [0.25]
    heard = await asyncio.gather(*waiting)
    assert heard == [[0.5], [0.75] * 3, [1.0] * 2]
    assert model.batches == [1, 1, 3, 2, 1]  # the warm-up, the first alone, then the others frame by frame


async def test_two_calls_of_one_session_are_computed_one_after_the_other(scripted: tuple[Silero, Scripted]) -> None:
    engine, model = scripted
    other = asyncio.ensure_future(engine.session().probabilities(constant(0.25)))
    await begun(model)
    session = engine.session()
    calls = [asyncio.ensure_future(session.probabilities(constant(value))) for value in (0.5, 0.75)]
    await asyncio.sleep(0)
    model.let_go.set()
    assert await asyncio.gather(other, *calls) == [[0.25], [0.5], [0.75]]
    assert model.counts == [1.0]  # the second frame found the state that the first had left


async def test_a_cancelled_call_does_not_disturb_the_others(scripted: tuple[Silero, Scripted]) -> None:
    engine, model = scripted
    first = asyncio.ensure_future(engine.session().probabilities(constant(0.25)))
    await begun(model)
    gone = asyncio.ensure_future(engine.session().probabilities(constant(0.5)))
    stays = asyncio.ensure_future(engine.session().probabilities(constant(0.75)))
    await asyncio.sleep(0)
    gone.cancel()
    model.let_go.set()
    assert [*await asyncio.gather(first, stays)] == [[0.25], [0.75]]
    assert gone.cancelled()


async def test_a_failed_run_fails_every_session_in_it(scripted: tuple[Silero, Scripted]) -> None:
    engine, model = scripted
    first = asyncio.ensure_future(engine.session().probabilities(constant(0.25)))
    await begun(model)
    waiting = [asyncio.ensure_future(engine.session().probabilities(constant(0.5))) for _ in range(2)]
    await asyncio.sleep(0)
    model.fails = True
    model.let_go.set()
    outcomes: list[Any] = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineError] * 3


async def test_no_frames_are_no_probabilities(scripted: tuple[Silero, Scripted]) -> None:
    engine, _ = scripted
    assert await engine.session().probabilities(np.zeros((0, 512), np.float32)) == []


@pytest.mark.parametrize("shape", [(512,), (1, 480), (1, 1, 512)])
async def test_other_shapes_are_refused(scripted: tuple[Silero, Scripted], shape: tuple[int, ...]) -> None:
    engine, _ = scripted
    with pytest.raises(EngineError, match=r"frames of shape \[n, 512\]"):
        await engine.session().probabilities(np.zeros(shape, np.float32))


async def test_it_says_that_it_is_not_running(scripted: tuple[Silero, Scripted]) -> None:
    engine, _ = scripted
    session = engine.session()
    await engine.aclose()
    await engine.aclose()
    with pytest.raises(EngineError, match=r"call start\(\) first"):
        await session.probabilities(constant(0.5))


async def test_a_missing_model_is_an_engine_error(tmp_path: Path) -> None:
    engine = Silero(tmp_path / "absent.onnx")
    with pytest.raises(EngineError, match=r"absent\.onnx"):
        await engine.start()
    await engine.aclose()
