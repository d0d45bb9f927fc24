"""The worker: order, cancellation between steps, bounds. Threads meet at events, never at sleeps."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from voxtral_voice.engines.worker import STREAM_BUFFER, Cancelled, Worker

PATIENCE_S = 10
"""How long a test waits for an event that should come at once."""


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    one = Worker("under-test")
    yield one
    one.close()


class Step:
    """A blocking step that says when it has begun and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.let_go.wait(PATIENCE_S)
        return "done"


async def happened(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE_S)


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_runs_on_the_worker_and_not_in_the_loop(worker: Worker) -> None:
    assert (await worker.run(lambda: threading.current_thread().name)).startswith("under-test")


async def test_an_exception_of_the_work_is_raised_to_its_caller(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)


async def test_one_thread_does_one_thing_at_a_time(worker: Worker) -> None:
    first, second = Step(), Step()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(first))
        group.create_task(worker.run(second))
        await happened(first.begun)
        assert not second.begun.is_set()
        first.let_go.set()
        await happened(second.begun)
        second.let_go.set()


async def test_two_threads_do_two_things_at_a_time() -> None:
    worker = Worker("pair", threads=2)
    first, second = Step(), Step()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(first))
        group.create_task(worker.run(second))
        await happened(first.begun)
        await happened(second.begun)
        first.let_go.set()
        second.let_go.set()
    worker.close()


async def test_queued_work_that_is_cancelled_never_starts(worker: Worker) -> None:
    running, queued = Step(), Step()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(running))
        await happened(running.begun)
        await cancel(asyncio.ensure_future(worker.run(queued)))
        running.let_go.set()
    assert await worker.run(lambda: "next") == "next"
    assert not queued.begun.is_set()


async def test_a_running_step_that_is_cancelled_ends_by_itself_and_its_result_is_dropped(worker: Worker) -> None:
    running = Step()
    task = asyncio.ensure_future(worker.run(running))
    await happened(running.begun)
    await cancel(task)
    running.let_go.set()
    assert await worker.run(lambda: "next") == "next"


async def test_a_stream_yields_in_order(worker: Worker) -> None:
    many = STREAM_BUFFER * 3
    assert [item async for item in worker.stream(lambda: iter(range(many)))] == list(range(many))


async def test_a_stream_raises_what_its_iterator_raises_after_its_items(worker: Worker) -> None:
    def steps() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    stream = worker.stream(steps)
    assert await anext(stream) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(stream)


async def test_a_stream_raises_when_it_cannot_begin(worker: Worker) -> None:
    def steps() -> Iterator[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await anext(worker.stream(steps))


class Endless:
    """Counts up; remembers how far it came and that it was closed."""

    def __init__(self) -> None:
        self.made = 0
        self.begun = threading.Event()
        self.full = threading.Event()
        self.closed = threading.Event()

    def __call__(self) -> Iterator[int]:
        try:
            while True:
                self.made += 1
                self.begun.set()
                if self.made > STREAM_BUFFER:
                    self.full.set()
                yield self.made
        finally:
            self.closed.set()


async def test_a_stream_closed_early_closes_its_iterator(worker: Worker) -> None:
    endless = Endless()
    stream = worker.stream(endless)
    assert await anext(stream) == 1
    await stream.aclose()
    await happened(endless.closed)


async def test_a_stream_whose_reader_is_cancelled_closes_its_iterator(worker: Worker) -> None:
    endless = Endless()

    async def read() -> None:
        async for _ in worker.stream(endless):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(read())
    await happened(endless.begun)
    await cancel(task)
    await happened(endless.closed)


async def test_a_stream_is_not_far_ahead_of_its_reader(worker: Worker) -> None:
    endless = Endless()
    stream = worker.stream(endless)
    for _ in range(5):
        await anext(stream)
    assert endless.made <= 5 + STREAM_BUFFER + 2  # the buffer, one in hand, one being made
    await stream.aclose()
    await happened(endless.closed)


async def test_a_stream_that_waits_for_room_notices_that_its_reader_left(worker: Worker) -> None:
    endless = Endless()
    stream = worker.stream(endless)
    await anext(stream)
    await happened(endless.full)
    await stream.aclose()
    await happened(endless.closed)


async def test_a_queued_stream_that_is_closed_never_starts(worker: Worker) -> None:
    running, endless = Step(), Endless()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(running))
        await happened(running.begun)
        stream = worker.stream(endless)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        running.let_go.set()
    assert await worker.run(lambda: "next") == "next"
    assert endless.made == 0


async def test_a_callback_is_told_that_nobody_listens_any_more(worker: Worker) -> None:
    told: list[bool] = []
    returned = threading.Event()

    def work(give: Callable[[str], bool], cancelled: Cancelled) -> None:
        told.append(give("first"))
        while not cancelled:
            pass
        told.append(give("second"))
        returned.set()

    stream = worker.listen(work)
    assert await anext(stream) == "first"
    await stream.aclose()
    await happened(returned)
    assert told == [True, False]


async def test_closing_drops_queued_work_and_may_be_repeated(worker: Worker) -> None:
    running, queued = Step(), Step()
    first = asyncio.ensure_future(worker.run(running))
    second = asyncio.ensure_future(worker.run(queued))
    await happened(running.begun)
    worker.close()
    worker.close()
    running.let_go.set()
    assert await first == "done"
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not queued.begun.is_set()


def test_a_loop_that_ends_under_an_open_stream_ends_its_iterator_quietly() -> None:
    """Nobody closes the stream; the thread still has more to hand over when the loop is gone."""
    step, ended = Step(), threading.Event()
    streams: list[object] = []

    def steps() -> Iterator[str]:
        try:
            yield "first"
            yield step()
            yield "never handed over"
        finally:
            ended.set()

    async def read_one() -> None:
        worker = Worker("orphan")
        stream = worker.stream(steps)
        streams.append(stream)
        assert await anext(stream) == "first"
        await happened(step.begun)

    asyncio.run(read_one())
    step.let_go.set()
    assert ended.wait(PATIENCE_S)
    streams.clear()
    gc.collect()  # a coroutine that was never awaited would warn here, and warnings are errors
