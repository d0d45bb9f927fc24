"""WebSocket as uvicorn and `websockets` speak it, with bounds on what is no message yet, and none anywhere else.

Knows: frames. Does not know: messages, sessions.

What is different:

- A handshake that cannot be read is answered (HTTP 431 for a header that is too long) and closed; uvicorn leaves the
  client waiting.
- A client that sends pings and does not read gets no more pongs, in place of a buffer without an end.
- A message has a bound in pieces, too: without one, pieces of no bytes would be kept for ever.
- Many small frames that come at once are read in several steps, so that other sessions' audio is not held up.
- A connection that breaks has the code 1006 (RFC 6455, 7.1.5), and not 1005 as a client that closes without a code.
- A close in the middle of a message is answered as any other close (RFC 6455, 5.4 and 7.1.5), not as an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

MOST_PIECES: Final = 2**17
"""Of one message: 1 MiB to remember them. Clients cut a message at 4 KiB or more, if at all."""
STEP_BYTES: Final = 8 * 1024
"""Read without letting the loop do other work: the smallest frames, of 6 bytes, take ten milliseconds so. Half a
second of audio is 33 kB, in one frame, which is no work."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn.Config(ws=...). Compression has to be off: see `conn`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Frames(max_size=config.ws_max_size, logger=self.logger)
        self._unread: deque[memoryview] = deque()  # bound: one read of the socket, which waits until this is done

    def connection_lost(self, exc: Exception | None) -> None:
        if self.handshake_complete:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._unread and len(data) <= STEP_BYTES:
            self._read(data)
            return
        view = memoryview(data)
        if not self._unread:
            self.loop.call_soon(self._step)
        self._unread.extend(view[at : at + STEP_BYTES] for at in range(0, len(view), STEP_BYTES))
        self.transport.pause_reading()

    def _step(self) -> None:
        """Of what has come at once, the next piece."""
        if self.transport.is_closing():
            self._unread.clear()
            return
        self._read(bytes(self._unread.popleft()))
        if self._unread:
            self.loop.call_soon(self._step)
        elif not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """More is read when the last message was taken, and what has come is all read."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if not self._unread:
                self.transport.resume_reading()
        return message

    def _read(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except InvalidState:  # text that is no UTF-8, with a close behind it: uvicorn closes once more
            self.handle_parser_exception()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_ping(self) -> None:
        pongs = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MOST_PIECES:
            super().handle_cont(event)
        elif not self.close_sent:
            self.frames = []
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"over {MOST_PIECES} pieces in a message")
            self.handle_parser_exception()


class _Frames(ServerProtocol):
    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
