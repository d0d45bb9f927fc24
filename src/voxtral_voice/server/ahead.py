"""How much has been made of something before it is used, so that no more is made than is soon used.

Knows: an amount and its limit. Does not know: what is made.
"""

from __future__ import annotations

import asyncio


class Ahead:
    """limit: from there on nobody gets `room`. For one task at a time."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._amount = 0
        self._less = asyncio.Event()

    def more(self, amount: int) -> None:
        self._amount += amount

    def less(self, amount: int) -> None:
        self._amount -= amount
        self._less.set()

    async def room(self) -> None:
        while self._amount >= self._limit:
            self._less.clear()
            await self._less.wait()
