"""Runs blocking model code on its own threads, so that the event loop never waits for a model.

Knows: threads, cancellation between steps. Does not know: what it runs.

One `Worker` per engine. Work is a function (`run`) or an iterator of steps (`stream`). When the awaiting task is
cancelled, or the stream is closed, the iterator is closed after the step it is in (GeneratorExit inside it), work
still queued never starts, and the result of a step in progress is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

STREAM_BUFFER: Final = 64
"""Steps a stream may be ahead of its reader; when full, the producing thread waits (and watches for the close)."""


class Cancelled:
    """A flag that a long blocking step may poll."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()


class Worker:
    """threads: how many pieces of work run at once (each is one blocking call into a model)."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread. Cancelling stops it only if it has not begun; a single call is one step."""
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """As `run`, for a caller that does not wait itself. Cancelled by `close` when it had not begun."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    def later(self, work: Callable[[], object]) -> None:
        """Run `work` when a thread is free; nobody waits for it, and after `close` nothing happens."""
        with contextlib.suppress(RuntimeError):
            self._pool.submit(work)

    def stream(self, steps: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Run an iterator on a thread and yield its items in order; its exception is raised here."""

        def work(give: Callable[[T], bool], cancelled: Cancelled) -> None:
            iterator = steps()
            for item in iterator:
                if cancelled or not give(item):
                    close = getattr(iterator, "close", None)
                    if close is not None:
                        close()
                    return

        return self.listen(work)

    async def listen(self, work: Callable[[Callable[[T], bool], Cancelled], None]) -> AsyncGenerator[T, None]:
        """Run `work(give, cancelled)` on a thread, for a library that calls back, and yield what it gives.

        `give(item)` is False, and `cancelled` is true, when nobody wants more: `work` then returns soon.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | None] = asyncio.Queue(maxsize=STREAM_BUFFER)  # full: the thread waits
        cancelled = Cancelled()

        def produce() -> None:
            try:
                if not cancelled:
                    work(lambda item: _put(loop, items, item, cancelled), cancelled)
            finally:
                if not cancelled:
                    _put(loop, items, None, cancelled)

        done = loop.run_in_executor(self._pool, produce)
        try:
            while (item := await items.get()) is not None:
                yield item
            await done
        finally:
            cancelled.set()
            done.cancel()

    def close(self) -> None:
        """Drop queued work and let the running step end by itself. Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _put(loop: asyncio.AbstractEventLoop, items: asyncio.Queue[T | None], item: T | None, cancelled: Cancelled) -> bool:
    """From the worker's thread: hand one item to the loop, waiting while the queue is full. False: reader is gone."""
    if cancelled:
        return False
    put = items.put(item)
    try:
        handed = asyncio.run_coroutine_threadsafe(put, loop)
    except RuntimeError:  # the loop is closed: nobody is left to read
        put.close()
        return False
    while True:
        try:
            handed.result(timeout=0.05)
            return True
        except CancelledError:  # the loop is closing and cancelled the hand-over
            return False
        except TimeoutError:
            if cancelled:
                handed.cancel()
                return False
