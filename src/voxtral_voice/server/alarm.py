"""A moment to be woken at, which moves often.

Knows: the event loop's clock. Does not know: who is woken, and what for.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

GRAIN_S: Final = 0.001
"""uvloop's clock goes in such steps and rounds to them: a moment is rounded up here, so that no wake comes early."""


class Alarm:
    """For one task at a time. Setting it to where it stands, or later, costs next to nothing."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._at: float | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        """When the timer comes: at `_at` or before."""
        self._due = asyncio.Event()

    def set(self, at: float | None) -> None:
        """Ring at this time of the loop's clock, and not at the one set before; None: do not ring."""
        if at == self._at:
            return
        self._at = at
        if at is not None and at < self._timer_at:
            self._start_timer(at)

    async def rings(self) -> None:
        """Wait until it is time. It is then set to nothing."""
        await self._due.wait()
        self._due.clear()

    def stop(self) -> None:
        """It does not ring any more."""
        self._at, self._timer_at = None, math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(math.ceil(at / GRAIN_S) * GRAIN_S, self._check)

    def _check(self) -> None:
        self._timer_at = math.inf
        if self._at is None:
            return
        if self._at <= self._loop.time():
            self._at = None
            self._due.set()
        else:
            self._start_timer(self._at)
