"""A WebSocket in memory: a connection of the server at one end, a test client at the other, and nothing between.

Knows: the messages that starlette gives and takes. Does not know: the protocol; `Client` judges what comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, Final, cast

from starlette.datastructures import State
from starlette.websockets import WebSocket

from tests.realtime.client import Client
from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server.auth import Who
from voxtral_voice.server.connection import converse
from voxtral_voice.server.runtime import Runtime
from voxtral_voice.server.sessions import Sessions

PATIENCE_S: Final = 20.0
"""For a busy machine; no test waits for it to pass."""


class Line(Client):
    """The client's end. What it is told comes in the same loop, so that no frame is ever under way."""

    def __init__(self, *, judged: bool = True) -> None:
        super().__init__(judged=judged)
        self.scope: dict[str, Any] = {"subprotocols": []}
        self.state = State({"who": Who(), "place": None})
        self.closed: tuple[int, str] | None = None
        self.broken: list[Exception] = []
        """What was wrong with what came; the connection is not to notice."""
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue(10_000)
        self._changed = asyncio.Event()

    # --- as the server sees it ----------------------------------------------------------------------------------

    async def accept(self, subprotocol: str | None = None) -> None:
        """Nobody refuses."""

    async def receive(self) -> dict[str, Any]:
        return await self._to_server.get()

    async def send_text(self, text: str) -> None:
        try:
            self.takes(text.encode())
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            self.broken.append(error)
        self._changed.set()

    async def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)
        self._changed.set()

    # --- as the client does -------------------------------------------------------------------------------------

    def send(self, frame: str | bytes) -> None:
        self.sends(frame)
        key = "bytes" if isinstance(frame, bytes) else "text"
        self._to_server.put_nowait({"type": "websocket.receive", key: frame})

    def leave(self) -> None:
        """Twice does no harm."""
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def is_quiet(self) -> bool:
        """Nothing is under way, as far as a client can know."""
        try:
            self.order.finish()
        except AssertionError:
            return bool(self.broken) or self.closed is not None
        return True


async def serve(line: Line, runtime: Runtime, opening: Opening | None) -> None:
    """As if it had the server for itself."""
    runtime = copy(runtime)
    runtime.sessions = Sessions()
    async with runtime.sessions.open():
        await converse(cast(WebSocket, line), runtime, opening)


@asynccontextmanager
async def connected(runtime: Runtime, opening: Opening | None = None, *, judged: bool = True) -> AsyncIterator[Line]:
    """A connection, and the client's end of it; the client leaves with the block, and nothing of it is left."""
    before = asyncio.all_tasks()
    line = Line(judged=judged)
    served = asyncio.create_task(serve(line, runtime, opening))
    try:
        yield line
    finally:
        line.leave()
        line.leave()
        await asyncio.wait([served], timeout=PATIENCE_S)
    assert served.done(), "the connection does not end"
    served.result()
    left = asyncio.all_tasks() - before
    assert not left, f"rule 14: tasks that nobody ended: {left}"
