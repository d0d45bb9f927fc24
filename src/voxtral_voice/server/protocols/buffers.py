"""WebSockets whose client may be slow, silent or greedy: little is kept for it, and it is not taken for dead too soon.

Knows: buffers of one socket, how much large messages hold in all sockets, when a client was last heard. Does not know:
messages' meaning, how long a frame may wait to be sent (`link`).

- **A client that reads slowly** has little in its queue that it has not read: the buffers are small, so that the server
  notices, and an interruption has little to take back.
- **Large messages** of all sockets together have a bound, from their first byte until the session is done with them.
- **A client that is not read** (it sends faster than it may) cannot answer a ping: only one that is read and sends
  nothing is gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from voxtral_voice.server.protocols.frames import BoundedWebSocket

SEND_BUFFER_BYTES: Final = 24 * 1024
"""Asked of the system, which doubles it and needs some of it itself: about 40 kB are kept for a client, 0.6 s of audio
(24 kHz, base64). On the way to a client 500 ms away, it lets 80 kB/s through; audio needs 65."""
WRITE_BUFFER_BYTES: Final = 16 * 1024
"""Kept for it here, before a frame has to wait: 0.25 s."""
SMALL_BYTES: Final = 64 * 1024
"""Messages up to this size count as nothing: a second of audio."""
LARGE_BYTES: Final = 64 * 1024 * 1024
"""Of larger messages in all sockets: three of the largest (15 MiB of audio). Each takes some five times its size while
it is read."""


class Large:
    """Bytes of large messages that a server keeps."""

    def __init__(self) -> None:
        self.bytes = 0


class PacedWebSocket(BoundedWebSocket):
    """uvicorn.Config(ws=...)."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._large: Large = vars(server_state).setdefault("large_messages", Large())
        self._counted = 0
        """Of them, of this socket."""
        self._pieces = 0
        """Bytes of the message that is being received, its last frame not among them."""
        self._waiting: deque[int] = deque()  # bound: as the queue, by one read of the socket
        """Sizes of the messages that the session has not asked for."""
        self._in_hand = 0
        """Size of the message that it is at."""
        self._heard_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._large.bytes -= self._counted
        self._counted = 0

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent and self.initial_response is not None:
            self.handshake_complete = True  # by an answer; else it would be said to be missing

    # --- a client that is there ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)

    def keepalive_timeout(self) -> None:
        if not (self.read_paused or self._unread or self._heard_at > self.ping_sent_at):
            super().keepalive_timeout()
            return
        self.pong_timer = self.pending_ping_payload = None
        self.schedule_ping()

    # --- large messages -----------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        super()._read(data)
        self._count()

    def _count(self) -> None:
        coming = self._pieces + len(self.conn.reader.buffer)
        large = sum(size for size in (coming, self._in_hand, *self._waiting) if size > SMALL_BYTES)
        self._large.bytes += large - self._counted
        grows, self._counted = large > self._counted, large
        if grows and self._large.bytes > LARGE_BYTES and not self.close_sent:
            self.conn.fail(CloseCode.TRY_AGAIN_LATER, "Too many large messages at once: send smaller pieces.")
            self.handle_parser_exception()

    def handle_text(self, event: Frame) -> None:
        self._pieces = len(event.data)
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._pieces = len(event.data)
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._pieces += len(event.data)
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        waiting = self.queue.qsize()
        super().send_receive_event_to_app()
        if self.queue.qsize() > waiting:
            self._waiting.append(self._pieces)
        self._pieces = 0

    async def receive(self) -> ASGIReceiveEvent:
        """Whoever asks for the next message is done with the last one."""
        self._in_hand = 0
        self._count()
        message = await super().receive()
        if message["type"] == "websocket.receive":
            self._in_hand = self._waiting.popleft()
        return message
