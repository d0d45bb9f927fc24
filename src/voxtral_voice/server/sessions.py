"""The sessions of one server.

Knows: which there are, and that none of them outlives the server. Does not know: what happens in one, sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxtral_voice.server.live import LiveSession


class Sessions:
    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[LiveSession, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside, sessions can begin; those that are there when it is left are stopped."""
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    yield
                finally:
                    for task in self._running.values():
                        task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._group = None

    def begin(self, session: LiveSession) -> None:
        """It runs until it is over, whatever becomes of the socket that it began with."""
        assert self._group is not None, "sessions begin while the server runs"
        task = self._running[session] = self._group.create_task(session.run())
        task.add_done_callback(lambda _: self._running.pop(session))

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[LiveSession]:
        """The oldest first."""
        return iter([*self._running])
