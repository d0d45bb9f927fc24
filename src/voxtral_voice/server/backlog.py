"""How far a client is ahead of the server, so that it is read no further than the server can follow.

Knows: a number and its limit. Does not know: what is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Backlog:
    """waiting: how much waits now. limit: above it nobody gets `room`."""

    def __init__(self, limit: int, waiting: Callable[[], int]) -> None:
        self._limit = limit
        self._waiting = waiting
        self._less = asyncio.Event()

    def less(self) -> None:
        """Something does not wait any more."""
        self._less.set()

    async def room(self) -> None:
        """Until what waits is within the limit. For one task at a time."""
        while self._waiting() > self._limit:
            self._less.clear()
            await self._less.wait()
