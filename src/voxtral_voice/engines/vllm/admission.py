"""Who may ask a server now: vLLM puts everything into a queue without an end, so that all would be late.

Knows: places, and how long one is waited for. Does not know: what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from voxtral_voice.engines.openai_http import OpenAIServer

PLACES: Final = 16
"""`--max-num-seqs` in vLLM's own command for Voxtral Realtime: more would wait in its queue."""
WAIT_S: Final = 2.0
"""For a place. A turn whose answer begins later than this is a conversation no more: better told than kept waiting."""


class Admission:
    """To one server, fair: first come, first served."""

    def __init__(self, server: OpenAIServer, places: int = PLACES) -> None:
        self._server = server
        self._places = places
        self._free = asyncio.Semaphore(places)

    @property
    def full(self) -> bool:
        return self._free.locked()

    async def enter(self) -> None:
        """Take a place. Raises EngineError when none becomes free in time."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise self._server.error(
                f"{self._server.url} is busy: {self._places} requests are under way, and none ended in {WAIT_S:g} s.",
                "is busy",
            ) from None

    def leave(self) -> None:
        self._free.release()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        await self.enter()
        try:
            yield
        finally:
            self.leave()
