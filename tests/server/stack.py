"""The server's own stack of HTTP and WebSocket, with any app behind it: no sessions, no engines."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from voxtral_voice.server.protocols.frames import BoundedWebSocket
from voxtral_voice.server.protocols.heads import PatientHttp, listen

MOST_BYTES = 16 * 2**20


class Stack(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await listen(self, sockets or [])


@asynccontextmanager
async def serving(app: ASGIApp, tls: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[tuple[Stack, int]]:
    """The server and its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        context = None if tls is None else lambda *_: tls
        chosen = {"http": PatientHttp, "ws": BoundedWebSocket, "ws_max_size": MOST_BYTES, **settings}
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
            ssl_context_factory=context,
            **chosen,
        )
        server = Stack(config)
        running = asyncio.ensure_future(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """What comes over a WebSocket goes back; HTTP is answered with the length of its body."""
    if scope["type"] == "http":
        await _length(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


async def _length(receive: Receive, send: Send) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
