"""Frames on their way to one session's client, over whichever link it has.

Knows: how many may wait. Does not know: sockets, what the frames say.
"""

from __future__ import annotations

import asyncio
from typing import Final

from voxtral_voice.realtime.sent_log import Sent, SentLog
from voxtral_voice.server import memory

OUTBOX: Final = 512
"""Frames that wait for the socket; when there are more, the client is not reading and is cut off."""
OUTBOX_BYTES: Final = 16 * 1024 * 1024
"""Of all of them. From half of either on nothing more is taken from the client and from the engines; what time and
voice activity bring goes on."""
MANY_BYTES: Final = 2 * 1024 * 1024
"""When so much has waited its memory is given back: a client that reads waits for one large frame at most (30 s of
sound)."""


class Outbox:
    """For one writer at a time."""

    def __init__(self) -> None:
        self.log = SentLog()
        self._most_bytes = 0
        """That have ever waited."""
        self._greeting: bytes | None = None
        self._more = asyncio.Event()
        self._less = asyncio.Event()
        """A frame has left."""

    def put(self, sent: Sent) -> bool:
        """False: too much waits now, and the client is to be cut off."""
        self.log.add(sent)
        self._most_bytes = max(self._most_bytes, self.log.waiting_bytes)
        self._more.set()
        return self.log.waiting <= OUTBOX and self.log.waiting_bytes <= OUTBOX_BYTES

    def can_go_on(self, event_id: str) -> bool:
        """For a client that has come back: all behind this event is there, and not more than a client may leave unread
        at all. Otherwise one that comes back again and again without reading has more kept each time."""
        return self.log.held_bytes <= OUTBOX_BYTES and self.log.has(event_id)

    def greet(self, event_id: str, frame: bytes) -> None:
        """A new writer begins with this, before what it sends again."""
        self._greeting = frame
        self.log.greeted(event_id)
        self._more.set()

    async def take(self) -> bytes:
        """The next frame."""
        if (greeting := self._greeting) is not None:
            self._greeting = None
            return greeting
        while (frame := self.log.take()) is None:
            self._more.clear()
            await self._more.wait()
        self._less.set()
        return frame

    async def room(self) -> None:
        """Wait while a client that reads slowly, or not, is behind: the writer cuts it off when it takes too long."""
        while self.log.waiting > OUTBOX // 2 or self.log.waiting_bytes > OUTBOX_BYTES // 2:
            self._less.clear()
            await self._less.wait()

    def close(self) -> None:
        """Nobody is sent anything any more, and nothing is kept, even where somebody still has this."""
        self.log = SentLog()
        if self._most_bytes > MANY_BYTES:
            asyncio.get_running_loop().run_in_executor(None, memory.give_back)
