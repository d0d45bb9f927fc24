"""The shared model: loaded once, texts at once, cancelled within a step, who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.voxtral.mini_model import Busy, MiniModel
from voxtral_voice.engines.voxtral.mini_prompt import transcription
from voxtral_voice.engines.voxtral.mini_sound import sound_of
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Network, Reading

pytestmark = pytest.mark.voxtral
SEAM = "transcriber"


@pytest.fixture
async def model(tiny_mini: Path) -> AsyncIterator[MiniModel]:
    model = MiniModel(tiny_mini, sequences=4, tokens=1024)
    await model.start(SEAM)
    endless(model)
    yield model
    await model.aclose()


def endless(model: MiniModel) -> None:
    """Its texts do not end by themselves."""
    network_of(model).end = -1


def network_of(model: MiniModel) -> Network:
    assert model._running is not None
    return model._running.network


def reading_of(model: MiniModel, seed: int) -> Reading:
    from voxtral_voice.engines.voxtral.mini_network import Reading

    prompt = transcription(model.vocabulary(SEAM), sound_of(speech(1, seed)), "en")
    return Reading(prompt, keep=False)


async def written(model: MiniModel, seed: int, limit: int = 12) -> list[int]:
    async with aclosing(model.write(reading_of(model, seed), limit, seam=SEAM)) as tokens:
        return [token async for token in tokens]


def places(model: MiniModel) -> int:
    """That are free, when nothing runs."""
    return network_of(model)._memories._free


async def idle(model: MiniModel) -> None:
    """Until the model's thread has done what it was given."""
    assert model._running is not None
    await model._running.worker.run(lambda: None)


class Steps:
    """Counts the steps of a network."""

    def __init__(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self._step: Callable[[Sequence[Reading]], list[int]] = network.step
        monkeypatch.setattr(network, "step", self.step)

    def step(self, readings: Sequence[Reading]) -> list[int]:
        self.sizes.append(len(readings))
        return self._step(readings)


async def test_texts_at_once_are_those_of_one_by_one(model: MiniModel) -> None:
    """More than there are places: some wait."""
    alone = [await written(model, seed) for seed in range(6)]
    together = await asyncio.gather(*(written(model, seed) for seed in range(6)))
    assert together == alone
    await idle(model)
    assert places(model) == 4


async def test_texts_take_their_steps_together(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(network_of(model), monkeypatch)
    await asyncio.gather(*(written(model, seed) for seed in range(4)))
    assert sum(steps.sizes) == 4 * 11
    assert max(steps.sizes) > 1


async def test_a_transcript_does_not_wait_for_replies_to_end(model: MiniModel) -> None:
    """More of them than there are places."""
    expected = await written(model, 9)
    ended: list[int] = []
    begun = asyncio.Event()

    async def reply(seed: int) -> None:
        reading = reading_of(model, seed)
        reading.keep = True
        async with aclosing(model.write(reading, 400, seam="responder")) as tokens:
            async for _ in tokens:
                begun.set()
        ended.append(seed)

    replies = [asyncio.create_task(reply(seed)) for seed in range(6)]
    await begun.wait()
    assert await written(model, 9) == expected
    assert not ended
    for task in replies:
        task.cancel()
    await asyncio.gather(*replies, return_exceptions=True)


async def test_no_more_is_written_than_asked_for(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(network_of(model), monkeypatch)
    assert len(await written(model, 0, limit=5)) == 5
    assert len(steps.sizes) == 4
    assert len(await written(model, 0, limit=1)) == 1
    assert len(steps.sizes) == 4


async def test_the_end_is_not_a_token_of_the_text(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await written(model, 0)
    length = next(index for index in range(2, 12) if tokens[index] not in tokens[:index])
    monkeypatch.setattr(network_of(model), "end", tokens[length])
    assert await written(model, 0) == tokens[:length]


async def test_closing_a_text_stops_it_within_one_step(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(network_of(model), monkeypatch)
    async with aclosing(model.write(reading_of(model, 0), 100, seam=SEAM)) as tokens:
        async for _ in tokens:
            if len(steps.sizes) == 3:
                break
    await idle(model)
    assert len(steps.sizes) == 3
    assert places(model) == 4


async def test_a_cancelled_text_stops_within_one_step(model: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(network_of(model), monkeypatch)
    begun = asyncio.Event()

    async def write() -> None:
        async with aclosing(model.write(reading_of(model, 0), 500, seam=SEAM)) as tokens:
            async for _ in tokens:
                begun.set()

    text = asyncio.create_task(write())
    await begun.wait()
    text.cancel()
    with pytest.raises(asyncio.CancelledError):
        await text
    taken = len(steps.sizes)
    await idle(model)
    assert len(steps.sizes) <= taken + 1
    assert places(model) == 4


@pytest.mark.parametrize("waits", range(6))
async def test_a_text_may_be_cancelled_at_any_moment_of_its_beginning(model: MiniModel, waits: int) -> None:
    """While it waits for a place, is heard, read or written: its place is free afterwards, and others go on."""
    expected = await written(model, 1)
    texts = [asyncio.create_task(written(model, 1)) for _ in range(5)]
    for _ in range(waits):
        await asyncio.sleep(0)
    for text in texts[1:]:
        text.cancel()
    assert await texts[0] == expected
    await asyncio.gather(*texts[1:], return_exceptions=True)
    await idle(model)
    assert places(model) == 4
    assert await written(model, 1) == expected


async def test_a_failure_is_told_by_the_one_who_asked_and_frees_the_place(
    model: MiniModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nCUDA kernel errors might be")

    with monkeypatch.context() as patch:
        fail.__name__ = "step"
        patch.setattr(network_of(model), "step", fail)
        with pytest.raises(EngineError, match=r"Voxtral Mini failed \(RuntimeError: CUDA error.*access\)\.$") as caught:
            await written(model, 0)
    assert caught.value.engine == SEAM
    await idle(model)
    assert places(model) == 4
    assert len(await written(model, 0)) == 12


async def test_the_first_user_loads_it_and_the_last_frees_it(tiny_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = MiniModel._load

    def counted(model: MiniModel, seam: str) -> Network:
        loads.append(seam)
        return load(model, seam)

    monkeypatch.setattr(MiniModel, "_load", counted)
    model = MiniModel(tiny_mini, sequences=2, tokens=1024)
    await asyncio.gather(model.start("responder"), model.start(SEAM))
    assert loads == ["responder"]
    endless(model)
    await model.aclose()
    assert len(await written(model, 0)) == 12
    await model.aclose()
    with pytest.raises(EngineError, match="The transcriber is not running"):
        await written(model, 0)
    await model.start(SEAM)
    assert await written(model, 0)
    await model.aclose()
    assert loads == ["responder", SEAM]


async def test_a_model_that_cannot_be_loaded_can_be_tried_again(tiny_mini: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    model = MiniModel(folder, sequences=2, tokens=1024)
    with pytest.raises(EngineError, match=r"config\.json is missing"):
        await model.start("responder")
    folder.symlink_to(tiny_mini)
    await model.start("responder")
    assert await written(model, 0)
    await model.aclose()


async def test_closing_it_ends_texts_that_are_under_way(tiny_mini: Path) -> None:
    model = MiniModel(tiny_mini, sequences=2, tokens=1024)
    await model.start(SEAM)
    endless(model)
    begun = asyncio.Event()

    async def write() -> None:
        async with aclosing(model.write(reading_of(model, 0), 500, seam=SEAM)) as tokens:
            async for _ in tokens:
                begun.set()

    text = asyncio.create_task(write())
    await begun.wait()
    await model.aclose()
    with pytest.raises(EngineError, match="not running"):
        await text


async def test_who_waits_for_something_goes_on_when_nobody_does_it() -> None:
    busy = Busy()
    await busy.over("reading")
    with busy.doing("reading"):
        with busy.doing("reading"), busy.doing("writing"):
            waiting = asyncio.create_task(busy.over("reading"))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    assert not busy._doing
