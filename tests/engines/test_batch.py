"""Steps of several streams: who runs together, in which order, and what a cancelled one does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from voxtral_voice.engines.batch import WAITING, Batches
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import BusyError, EngineError


class Model:
    """Doubles numbers; its first step waits until it may go on."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def double(self, items: Sequence[int]) -> list[int]:
        self.runs.append(list(items))
        self.begun.set()
        assert self.go_on.wait(10)
        if -13 in items:
            raise EngineError("transcriber", "thirteen")
        return [2 * item for item in items]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def batches(model: Model) -> AsyncIterator[Batches]:
    worker = Worker("test")
    yield Batches(worker, seam="transcriber", most=3)
    model.go_on.set()
    worker.close()


async def begin(batches: Batches, model: Model, items: Sequence[tuple[str, int]]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(batches.run(kind, model.double, item)) for kind, item in items]
    await asyncio.to_thread(model.begun.wait, 10)
    return tasks


async def test_those_that_wait_at_the_same_moment_run_together(batches: Batches, model: Model) -> None:
    tasks = await begin(batches, model, [("a", 1), ("b", 2), ("a", 3)])
    model.go_on.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert model.runs == [[1, 3], [2]]


async def test_what_comes_later_waits_for_the_next(batches: Batches, model: Model) -> None:
    tasks = await begin(batches, model, [("a", 1)])
    tasks += await begin(batches, model, [("b", 2), ("a", 3), ("a", 4), ("b", 5)])
    model.go_on.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert model.runs == [[1], [2, 5], [3, 4]]


async def test_streams_that_ran_together_stay_together(batches: Batches, model: Model) -> None:
    async def steps(start: int) -> None:
        for step in range(4):
            await batches.run("a", model.double, start + step)

    model.go_on.set()
    await asyncio.gather(steps(100), steps(200))
    assert model.runs == [[100, 200], [101, 201], [102, 202], [103, 203]]


async def test_a_batch_has_a_limit(batches: Batches, model: Model) -> None:
    tasks = await begin(batches, model, [("a", item) for item in range(7)])
    model.go_on.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10, 12]
    assert model.runs == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_cancelled_step_that_waits_never_begins(batches: Batches, model: Model) -> None:
    running, first, second = await begin(batches, model, [("a", 1), ("b", 2), ("b", 3)])
    first.cancel()
    await asyncio.wait([first])
    model.go_on.set()
    assert [await running, await second] == [2, 6]
    assert model.runs == [[1], [3]]


async def test_a_cancelled_step_that_runs_takes_nobody_with_it(batches: Batches, model: Model) -> None:
    first, second = await begin(batches, model, [("a", 1), ("a", 2)])
    first.cancel()
    await asyncio.wait([first])
    model.go_on.set()
    assert await second == 4


async def test_all_may_be_cancelled(batches: Batches, model: Model) -> None:
    running, waiting = await begin(batches, model, [("a", 1), ("b", 2)])
    for task in (running, waiting):
        task.cancel()
    await asyncio.wait([running, waiting])
    model.go_on.set()
    assert await batches.run("c", model.double, 3) == 6
    assert model.runs == [[1], [3]]


async def test_a_failure_is_that_of_its_batch_alone(batches: Batches, model: Model) -> None:
    tasks = await begin(batches, model, [("a", -13), ("a", 1), ("b", 2)])
    model.go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["thirteen", "thirteen", "4"]


async def test_too_many_are_refused(batches: Batches, model: Model) -> None:
    tasks = await begin(batches, model, [("a", 0)])
    tasks += await begin(batches, model, [("b", item) for item in range(WAITING)])
    with pytest.raises(BusyError, match=f"{WAITING} steps wait"):
        await batches.run("a", model.double, 1)
    tasks[-1].cancel()
    await asyncio.wait([tasks.pop()])
    last = asyncio.ensure_future(batches.run("a", model.double, 1))
    model.go_on.set()
    assert await last == 2
    assert await asyncio.gather(*tasks) == [0, *range(0, 2 * WAITING - 2, 2)]


async def test_closed_it_fails_who_waits(batches: Batches, model: Model) -> None:
    running, waiting = await begin(batches, model, [("a", 1), ("b", 2)])
    batches.close()
    batches.close()
    with pytest.raises(EngineError, match="not running"):
        await waiting
    with pytest.raises(EngineError, match="not running"):
        await batches.run("a", model.double, 3)
    model.go_on.set()
    assert await running == 2


async def test_who_has_patience_lets_later_ones_pass_but_not_for_ever(model: Model, batches: Batches) -> None:
    async def one_after_the_other() -> None:
        for item in range(1, 5):
            await batches.run("short", model.double, item)

    model.go_on.set()
    first = asyncio.ensure_future(one_after_the_other())
    patient = asyncio.ensure_future(batches.run("long", model.double, 100, patience=2))
    await asyncio.gather(first, patient)
    assert model.runs == [[1], [2], [100], [3], [4]]
