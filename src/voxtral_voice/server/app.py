"""The one ASGI app: the page, the WebSocket, and what operators ask for.

Knows: paths, HTTP headers. Does not know: what happens on the socket (`connection`).

    /                 the page            /v1/realtime   OpenAI Realtime over WebSocket
    /page/...         its files           /livez /readyz /metrics
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxtral_voice import __version__
from voxtral_voice.server.connection import Connection
from voxtral_voice.server.runtime import Runtime

PAGE: Final = Path(__file__).parent / "page"
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
"""Of the page's files, whatever this machine's own tables say: a browser runs no module of another type."""

HEADERS: Final = {
    b"content-security-policy": b"default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-cache",
}


def build_app(runtime: Runtime) -> FastAPI:
    app = FastAPI(title="Voxtral Voice AI", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecureHeaders)
    for suffix, kind in TYPES.items():
        mimetypes.add_type(kind, suffix)
    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        if is_foreign(socket):
            body = {"error": {"message": "Pages of another site may not connect.", "type": "invalid_request_error"}}
            await socket.send_denial_response(JSONResponse(body, 403))
        else:
            await Connection(socket, runtime).run()

    @app.get("/livez")
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        ready = runtime.ready and not runtime.failing
        body = {"ready": ready, "engines": runtime.engines.names(), "failing": runtime.failing}
        return JSONResponse(body, 200 if ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(runtime.metrics.text(), media_type="text/plain; version=0.0.4")

    return app


def is_foreign(socket: WebSocket) -> bool:
    """A browser says which site's page connects; any site could otherwise talk through a visitor's own server.

    Clients that are no browsers send no Origin.
    """
    origin = socket.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != socket.headers.get("host")


class SecureHeaders:
    """Adds `HEADERS` to every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS.items()]}
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
