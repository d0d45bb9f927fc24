"""The sessions of one server.

Knows: which there are, and that none of them outlives the server. Does not know: what happens in one, sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from voxtral_voice.realtime.resume import Asked

if TYPE_CHECKING:
    from voxtral_voice.server.live import LiveSession


QUEUES: Final = ("frames", "events", "audio")
"""Of a session, as its `queues` has them."""

MOST_HELD: Final = 256
"""Sessions that wait for their clients to come back. Each has its place in the admission, too."""


class Sessions:
    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[LiveSession, asyncio.Task[None]] = {}
        self._held: dict[LiveSession, None] = {}
        """Those that wait for their clients, the first of them longest."""

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
        task.add_done_callback(lambda _: self._forget(session))

    def _forget(self, session: LiveSession) -> None:
        del self._running[session]
        self.goes_on(session)

    def find(self, asked: Asked) -> LiveSession | None:
        """The one that may be resumed so."""
        found = (session for session in self._running if session.id == asked.session_id)
        return next((session for session in found if session.may_resume(asked)), None)

    def held(self, session: LiveSession) -> None:
        """One more has lost its client. When there are too many the one that has waited longest is given up."""
        self._held[session] = None
        if len(self._held) > MOST_HELD:
            longest = next(iter(self._held))
            self.goes_on(longest)  # it waits no longer: many may lose their clients before it has ended
            longest.give_up()

    def goes_on(self, session: LiveSession) -> None:
        """It does not wait any more, if it did."""
        self._held.pop(session, None)

    def deepest_queues(self) -> dict[str, int]:
        """By queue: what waits in it in the session where it is most."""
        found = dict.fromkeys(QUEUES, 0)
        for session in self:
            for name, depth in session.queues().items():
                found[name] = max(found[name], depth)
        return found

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[LiveSession]:
        """The oldest first; none that is over."""
        return iter([session for session in self._running if not session.over.is_set()])
