"""Who may ask a server now: vLLM puts everything into a queue without an end, so that all would be late.

Knows: places, and how long one is waited for. Does not know: what is asked, whose request it is.

Whatever asks one server shares its places: a vLLM works on so many requests at once, of whatever kind. Who finds none
is told so; the server is fine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from voxtral_voice.engines.openai_http import OpenAIServer

PLACES: Final = 16
"""Of a server that somebody else has started: `--max-num-seqs` in vLLM's own command for Voxtral Realtime. Of our own
it is known (`launch`)."""
WAIT_S: Final = 2.0
"""For a place. A turn whose answer begins later than this is a conversation no more: better told than kept waiting."""


class Admission:
    """To one server, fair: first come, first served."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._free = asyncio.Semaphore(places)

    @property
    def full(self) -> bool:
        return self._free.locked()

    async def enter(self, server: OpenAIServer) -> None:
        """Take a place; server: as who asks knows it. Raises BusyError when none becomes free in time."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise server.busy(
                f"{server.url} is busy: {self._places} requests are under way, and none ended in {WAIT_S:g} s."
            ) from None

    def leave(self) -> None:
        self._free.release()

    @asynccontextmanager
    async def place(self, server: OpenAIServer) -> AsyncIterator[None]:
        """As `enter`."""
        await self.enter(server)
        try:
            yield
        finally:
            self.leave()
