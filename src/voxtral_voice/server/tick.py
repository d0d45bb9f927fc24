"""Lets what all sessions have to do within a few milliseconds be done in one go.

Knows: the event loop's clock. Does not know: what is done.

A processor that wakes for each small piece of work finds its caches cold each time; and a model costs less by the
batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 0.016
"""Between two ticks, at least: half a frame of voice activity, so that a session among many waits 8 ms on average.
A session alone makes a frame whole every 20 to 40 ms and does not wait."""


class Tick:
    """every_s: what comes sooner after the last tick waits for the next; what comes later is done at once."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._waiting: list[Callable[[], None]] = []
        self._next_at = 0.0

    def call(self, work: Callable[[], None]) -> None:
        """`work` must not raise."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._next_at, loop.time()), self._run)

    def _run(self) -> None:
        self._next_at = asyncio.get_running_loop().time() + self._every_s
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()
