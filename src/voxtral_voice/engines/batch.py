"""Steps of several streams, run together by one model thread.

Knows: who waits, what may run together, bounds, cancellation. Does not know: what a step is.

Steps that wait at the same moment and are of one kind run as one batch; what comes while it runs waits for the next.
Nobody waits longer so that a batch grows: the sessions of a server hear at the same moments (`server/tick.py`), and a
stream's next step is asked for when its last one is done, so those that ran together wait together again. The kind
that has waited longest goes first; a step with patience lets those pass that come up to so many runs later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import BusyError, EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING: Final = 64
"""Steps that may wait. A stream has one at a time; when so many streams wait, the next step is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    kind: Hashable
    run: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    done: asyncio.Future[Any]
    due: int
    """The number of the run that it should be in: the least is the most urgent, and of equals the oldest."""


class Batches:
    """most: steps in one batch."""

    def __init__(self, worker: Worker, *, seam: str, most: int) -> None:
        self._worker, self._seam, self._most = worker, seam, most
        self._waiting: list[_Step] = []  # at most WAITING; beyond it a step is refused
        self._due = False
        """A batch is under way, or will be: it takes care of those that wait."""
        self._runs = 0
        """Begun so far."""
        self._closed = False

    async def run(
        self, kind: Hashable, run: Callable[[Sequence[Item]], Sequence[Result]], item: Item, *, patience: int = 0
    ) -> Result:
        """One result for `item`. `run` gets several of one kind at once, on the model thread, and is called with those
        of the first that came. Cancelled while it waits, a step never begins. patience: in runs."""
        if self._closed:
            raise self._over()
        self._waiting = [step for step in self._waiting if not step.done.done()]
        if len(self._waiting) >= WAITING:
            raise BusyError(
                self._seam, f"{WAITING} steps wait for the model, which has too much to do: try again in a moment."
            )
        loop = asyncio.get_running_loop()
        step = _Step(kind, run, item, loop.create_future(), self._runs + patience)
        self._waiting.append(step)
        if not self._due:
            self._due = True
            loop.call_soon(self._begin)
        result: Result = await step.done
        return result

    def close(self) -> None:
        """Steps that wait fail. Safe to call twice."""
        self._closed = True
        steps, self._waiting = self._waiting, []
        self._fail(steps, self._over())

    def _begin(self) -> None:
        waiting = [step for step in self._waiting if not step.done.done()]
        kind = min(waiting, key=lambda step: step.due).kind if waiting else None
        batch = [step for step in waiting if step.kind == kind][: self._most]
        self._waiting = [step for step in waiting if step not in batch]
        self._due = bool(batch)
        if batch:
            self._runs += 1
            ran = self._worker.begin(partial(batch[0].run, [step.item for step in batch]))
            ran.add_done_callback(partial(self._ran, batch))

    def _ran(self, batch: list[_Step], ran: asyncio.Future[Sequence[Any]]) -> None:
        error = self._over() if ran.cancelled() else ran.exception()
        if error is not None:
            self._fail(batch, error)
        else:
            for step, result in zip(batch, ran.result(), strict=True):
                if not step.done.done():
                    step.done.set_result(result)
        asyncio.get_running_loop().call_soon(self._begin)

    def _fail(self, steps: Sequence[_Step], error: BaseException) -> None:
        for step in steps:
            if not step.done.done():
                step.done.set_exception(error)

    def _over(self) -> EngineError:
        return EngineError(self._seam, "The engine is not running.")
