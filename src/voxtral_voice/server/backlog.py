"""How far a client is ahead of the server, so that it is read no further than the server can follow.

Knows: a number and its limit. Does not know: what is counted.
"""

from __future__ import annotations

import asyncio


class Backlog:
    """limit: above it nobody gets `room`. What is added at once may go beyond it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._less = asyncio.Event()

    def add(self, amount: int) -> None:
        self._waiting += amount

    def done(self, amount: int) -> None:
        self._waiting -= amount
        self._less.set()

    async def room(self) -> None:
        """Wait until what was added and is not done is within the limit. For one task at a time."""
        while self._waiting > self._limit:
            self._less.clear()
            await self._less.wait()
