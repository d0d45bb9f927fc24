"""HTTP as uvicorn speaks it, with an end to waiting: for a request's head, for a client that does not read, for TLS.

Knows: connections before they have asked for anything, and how much of a head they may send. Does not know: paths, who
asks (`door`), sessions, bodies (`rest.edge`).

uvicorn itself waits for ever for the rest of a head, and keeps as much of it as comes.

    listen(server, sockets)   what a uvicorn.Server does at its start, with a deadline for TLS
    PatientHttp               uvicorn.Config(http=...)
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import TimerHandle
from collections.abc import Sequence
from typing import Any, Final

import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from voxtral_voice.observe import log

HEAD_S: Final = 10.0
"""For a request's head, from the moment that the connection is there or the last answer was sent; and for the
handshake of TLS. A head is one packet: whoever needs longer holds a place for nothing."""
REST_S: Final = 30.0
"""For the rest of a body whose request is answered already: some clients read the answer when they have sent it all."""
HEAD_BYTES: Final = 32 * 1024
"""Of a head, and of what stands between two pieces of a body (chunk extensions, trailers). Clients send less than one
KiB; proxies add some, and a session's cookies of other sites on localhost."""
MOST_WITHOUT_HEAD: Final = 1000
"""Connections that have not asked for anything yet. When there is one more, the one that has waited longest goes: who
sends a head at once gets in, also while somebody opens connections for nothing."""
MOST_PIPELINED: Final = 16
"""Requests of one connection that wait for the answer to the one before. No client in use sends any."""
UNREAD_MS: Final = 30_000
"""A client that takes no byte for so long is dropped by the system, also when its connection is being closed."""
CLOSE_S: Final = 30.0
LEAST_BYTES_PER_S: Final = 64 * 1024
"""For what of an answer still waits to be read when the connection is closed: so long, and so fast. Half a megabit."""
LINGER_S: Final = 2.0
"""So long what a refused client still sends is thrown away: the system would else throw away our answer."""


async def listen(server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
    """Serve at `sockets`, which listen already."""
    loop = asyncio.get_running_loop()
    config = server.config

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=server.server_state, app_state={})  # type: ignore[call-arg]

    handshake_s = HEAD_S if config.ssl else None
    server.servers = [
        await loop.create_server(
            protocol, sock=listener, ssl=config.ssl, backlog=config.backlog, ssl_handshake_timeout=handshake_s
        )
        for listener in sockets
    ]
    server.started = True


class _Refused(Exception):  # noqa: N818 - a way to leave the parser
    """Of a request, in the middle of its head."""


class PatientHttp(HttpToolsProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._without_head: dict[PatientHttp, None] = vars(server_state).setdefault("without_head", {})
        """Of the whole server, the oldest first."""
        self._timer: TimerHandle | None = None
        self._silent_bytes = 0
        """Since the head began, or since the last piece of a body."""
        self._went_on = False
        """A head has begun, or a piece of a body was there, in the data that is being read."""
        self._too_large = False
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        drop_unread(transport)
        self._wait_for_head(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._went_on = False
        super().data_received(data)
        self._silent_bytes = 0 if self._went_on else self._silent_bytes + len(data)
        if self._silent_bytes > HEAD_BYTES:
            self._too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._went_on = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A trailer is behind the body, where nobody looks: it is no header of the request."""
        if self.cycle is None or self.cycle.scope is not self.scope:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._too_large = size > HEAD_BYTES
        if self._too_large or len(self.pipeline) >= MOST_PIPELINED:
            raise _Refused
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._went_on = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        rest = self.cycle.more_body
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif not (self.pipeline or self._is_answering()):
            self._wait_for_head(REST_S if rest else HEAD_S)

    def send_400_response(self, msg: str) -> None:
        """What cannot be read, or is too large to be."""
        if self._is_refused or self.transport.is_closing():
            return
        if self._too_large:
            self._refuse(431, f"The head of the request is larger than {HEAD_BYTES:,} bytes.\n")
        else:
            super().send_400_response(msg)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # --- waiting ------------------------------------------------------------------------------------------------

    def _wait_for_head(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._give_up)
        self._without_head[self] = None
        if len(self._without_head) > MOST_WITHOUT_HEAD:
            next(iter(self._without_head))._give_up()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._without_head.pop(self, None)

    def _give_up(self) -> None:
        """With an answer for who has begun to ask. One that never asks is a browser's, opened in case it is needed."""
        self._stop_waiting()
        if self._silent_bytes or self._has_begun():
            self._refuse(408, f"The head of the request did not come in {HEAD_S:g} s.\n")
        else:
            self._close()

    def _has_begun(self) -> bool:
        """A head, of which the rest is missing."""
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def _refuse(self, status: int, sentence: str) -> None:
        log.event("request_refused", status=status, peer=self.client[0] if self.client else "")
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(sentence) + sentence.encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_waiting()
        self._is_refused = True
        self._timer = self.loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        """Once all is read of what was answered, or it takes too long."""
        self._stop_waiting()
        seconds = CLOSE_S + self.transport.get_write_buffer_size() / LEAST_BYTES_PER_S
        self.transport.close()
        self._timer = self.loop.call_later(seconds, self.transport.abort)


def drop_unread(transport: asyncio.BaseTransport) -> None:
    """Where the system can (Linux)."""
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
