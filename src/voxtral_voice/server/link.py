"""One socket of a session: accept, read, write, close.

Knows: how a socket ends. Does not know: what is said over it, and whether the session goes on without it (`live`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from voxtral_voice.errors import first_of
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.outbox import Outbox

SUBPROTOCOL: Final = "realtime"
SEND_S: Final = 5.0
"""A client that takes no data for this long is cut off."""
LEAST_BYTES_PER_S: Final = 64 * 1024
"""That it takes of a large frame: audio needs as much, so that a client which is slower hears nothing anyway."""
BLOCKED_S: Final = 0.005
"""A frame that waits for longer has waited."""
CLOSE_REASON_BYTES: Final = 123
"""RFC 6455, section 5.5."""

NORMAL, GOING_AWAY, NO_CODE, NOBODY_THERE, POLICY = 1000, 1001, 1005, 1006, 1008
INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER = 1011, 1012, 1013
RESUMED_ELSEWHERE, RESUME_UNKNOWN = 4001, 4004
"""Of ours: RFC 6455, section 7.4.2."""

Why = Literal[
    "client_left",
    "expired",
    "slow_client",
    "too_fast",
    "silent",
    "fault",
    "drained",
    "server_stopped",
    "resume_expired",
    "resume_unknown",
    "resumed",
]

Take = Callable[[str | bytes], Awaitable[None]]
"""Takes a frame of the client, when there is room for it."""


@dataclass(frozen=True, slots=True)
class End:
    """Of a link or a session."""

    why: Why
    """For the metrics."""
    code: int
    """Of the close frame."""
    reason: str
    error: str | None = None
    """Code of the error event that says so before; None for a client that does not read."""
    farewell: bytes = b""
    """That event."""
    gone: bool = False
    """The client is: there is nobody to say it to."""


RESUMED: Final = End("resumed", RESUMED_ELSEWHERE, "The session goes on over another connection.")
TAKEN: Final = replace(RESUMED, reason="The session goes on at another server.")
SLOW: Final = End("slow_client", TRY_AGAIN_LATER, "The client does not read what is sent to it.")


class Hangup(Exception):  # noqa: N818 - a way to leave, not an error
    def __init__(self, end: End) -> None:
        super().__init__(end.reason)
        self.end = end


class Link:
    def __init__(self, socket: WebSocket, metrics: Metrics) -> None:
        self._socket = socket
        self._metrics = metrics
        self._sent_bytes = 0
        """Of the frame before: the next one waits until nearly all of it was taken."""
        self._told: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._at_work: list[asyncio.Task[None]] = []

    async def accept(self) -> None:
        offered = self._socket.scope.get("subprotocols", [])
        await self._socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)

    async def until_lost(self, take: Take, outbox: Outbox) -> End:
        """Carries frames both ways until the socket is gone, the client does not read, or somebody hangs up."""
        end: End | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._at_work = [group.create_task(self._read(take)), group.create_task(self._write(outbox))]
                group.create_task(self._until_told())
        except* WebSocketDisconnect as left:
            end = End("client_left", first_of(left).code, "the client left", gone=True)
        except* Hangup as hangup:
            end = first_of(hangup).end
        assert end is not None, "a link ends with an exception"
        return end

    def hang_up(self, end: End) -> None:
        """Whoever is first says why. Nothing more is read or written."""
        if not self._told.done():
            self._told.set_result(end)
            for task in self._at_work:
                task.cancel()

    async def close(self, end: End) -> None:
        """Say why and close; a socket that is gone already is fine."""
        if end.gone:
            return
        with contextlib.suppress(RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(SEND_S):
                if end.farewell:
                    await self._socket.send_text(end.farewell.decode())
                reason = end.reason.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
                await self._socket.close(end.code, reason)

    async def _until_told(self) -> None:
        raise Hangup(await self._told)

    async def _read(self, take: Take) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NO_CODE))
            text = message.get("text")
            await take(text if text is not None else message.get("bytes") or b"")

    async def _write(self, outbox: Outbox) -> None:
        while True:
            frame = await outbox.take()
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(SEND_S + self._sent_bytes / LEAST_BYTES_PER_S):
                    await self._socket.send_text(frame.decode())
            except TimeoutError:
                raise Hangup(SLOW) from None
            except (RuntimeError, OSError, WebSocketDisconnect):
                raise WebSocketDisconnect(await self._code_unread()) from None
            self._sent_bytes = len(frame)
            if (blocked_s := asyncio.get_running_loop().time() - began) > BLOCKED_S:
                self._metrics.send_blocked.observe(blocked_s)

    async def _code_unread(self) -> int:
        """Why the client takes nothing any more: it may have closed, behind frames that were not read yet. Those count
        as not received."""
        reader = self._at_work[0]
        if not reader.done():  # else it has found out
            reader.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SEND_S):
                    while (message := await self._socket.receive())["type"] != "websocket.disconnect":
                        pass
                    return int(message.get("code", NO_CODE))
        return NOBODY_THERE
