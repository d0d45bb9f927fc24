"""A client whose connection is cut, and which comes back for its session.

Knows: how a client resumes (docs/protocol.md). Does not know: the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.realtime import order
from tests.realtime.oracle import read
from tests.server.caller import Caller, Event

RESUME, AFTER = "X-Voxtral-Voice-Resume", "X-Voxtral-Voice-After"


class Traveller(Caller):
    """One caller over several connections: what comes over all of them is one stream of events."""

    def __init__(self, address: str, socket: ClientConnection, key: str) -> None:
        super().__init__(socket)
        self.key = key
        self.sent: list[str | bytes] = []
        """Every frame, whether it has arrived or not."""
        self.token = ""
        self.greetings: list[Event] = []
        """Of the connections after the first one."""
        self._address = address
        self._listening = asyncio.create_task(self.listen())

    async def send_raw(self, frame: str | bytes) -> None:
        self.sent.append(frame)
        with contextlib.suppress(ConnectionClosed):  # it is sent again when the client is back
            await self.socket.send(frame)

    async def opt_in(self, **session: Any) -> None:
        await self.update(voxtral_voice={"resume": True, "events": True}, **session)
        self.token = self.all("session.updated")[-1]["session"]["voxtral_voice"]["resume"]["token"]

    async def until_floor(self, state: str) -> None:
        def reached() -> bool:
            floors = self.all("voxtral_voice.floor")
            return bool(floors) and floors[-1]["state"] == state

        await self.until_true(reached, f"floor {state}")

    async def cut(self, lost: int = 0) -> None:
        """The network breaks off. lost: so many of the last frames have not arrived after all."""
        self.socket.transport.abort()
        await self._listening
        if lost:
            del self.frames[-lost:], self.events[-lost:]

    def last(self) -> str:
        last: str = self.events[-1]["event_id"]
        return last

    async def dial(self, token: str | None = None, after: str | None = None) -> ClientConnection:
        headers = {RESUME: self.token if token is None else token, AFTER: self.last() if after is None else after}
        return await dialled(self._address, self.key, **headers)

    async def come_back(self, **how: Any) -> Event:
        """Over a new connection, with all that the server has not got. Returns its greeting."""
        self.socket = await self.dial(**how)
        self.hung_up = None
        before = len(self.events)
        self._listening = asyncio.create_task(self.listen())
        await self.until_true(lambda: len(self.events) > before, "the greeting")
        greeting = self.events.pop(before)
        del self.frames[before]
        self.greetings.append(greeting)
        resume = greeting["session"]["voxtral_voice"]["resume"]
        self.token = resume["token"]
        for frame in self.sent[resume["received"] :]:
            await self.socket.send(frame)
        return greeting

    async def leave(self) -> None:
        await self.socket.close()
        await self._listening


async def dialled(address: str, key: str, **headers: str) -> ClientConnection:
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    return await connect(
        address, compression=None, max_size=None, proxy=None, close_timeout=2, additional_headers={**headers, **shown}
    )


@asynccontextmanager
async def travelling(url: str, *, key: str = "", finished: bool = True, **session: Any) -> AsyncIterator[Traveller]:
    """A client that may resume. All that it was sent, over all connections, is judged in the end as that of one."""
    address = url.replace("http", "ws", 1) + "/v1/realtime"
    traveller = Traveller(address, await dialled(address, key), key)
    try:
        await traveller.until("session.created")
        await traveller.opt_in(**session)
        yield traveller
    finally:
        await traveller.leave()
    order.check(read(traveller.frames, ours=True), finished=finished)
