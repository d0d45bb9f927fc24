"""The one ASGI app: the page, the WebSocket, and what operators ask for.

Knows: paths, HTTP headers. Does not know: what happens on the socket (`connection`).

    /                 the page            /v1/realtime                  OpenAI Realtime over WebSocket
    /page/...         its files           /v1/realtime/client_secrets   for pages of others
    /metrics                              /v1/models, audio, chat       one part alone (`rest`)

Who may enter is decided at the `door`, for every path that it does not leave open. In front of all this is `health`.
"""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxtral_voice import __version__
from voxtral_voice.observe import log
from voxtral_voice.realtime.fields import shown
from voxtral_voice.realtime.resume import asked
from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server import client_secrets, rest
from voxtral_voice.server.auth import Who
from voxtral_voice.server.connection import converse, resume
from voxtral_voice.server.door import Door
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.errors import ApiError
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
    app.add_middleware(
        Door,
        auth=runtime.auth,
        metrics=runtime.metrics,
        admission=runtime.admission,
        refusals=runtime.refusals,
        sessions=runtime.sessions,
    )
    if origins := runtime.config.server.allowed_origins:
        methods = ["GET", "POST", "DELETE"]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=["*"])
    for suffix, kind in TYPES.items():
        mimetypes.add_type(kind, suffix)
    app.add_exception_handler(HTTPException, not_there)  # type: ignore[arg-type]
    _add_sockets(app, runtime)  # before the page's files, which are no place for a socket
    app.mount("/page", StaticFiles(directory=PAGE))
    app.include_router(client_secrets.router(runtime))
    app.include_router(rest.router(runtime))

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/metrics")
    async def metrics() -> Response:
        measure(runtime)
        text = await asyncio.to_thread(runtime.metrics.text)  # it reads files of /proc
        return Response(text, media_type="text/plain; version=0.0.4")

    return app


def measure(runtime: Runtime) -> None:
    """What nobody counts as it happens."""
    metrics, config = runtime.metrics, runtime.config
    metrics.ready.set(runtime.ready)
    metrics.sessions_held.set(sum(session.is_held for session in runtime.sessions))
    metrics.places.set(config.limits.most_sessions(config.profile))
    for name, depth in runtime.sessions.deepest_queues().items():
        metrics.queue_depth.labels(name).set(depth)


def _add_sockets(app: FastAPI, runtime: Runtime) -> None:
    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        if (wrong := wrong_intent(socket)) is not None:
            await socket.send_denial_response(wrong.response())
        elif (wanted := asked(socket.headers, socket.scope.get("subprotocols", ()))) is not None:
            await resume(socket, runtime, wanted)
        else:
            await converse(socket, runtime, opening(socket))

    @app.websocket("/{path:path}")
    async def elsewhere(socket: WebSocket) -> None:
        await socket.send_denial_response(errors.unknown_url("WebSocket", socket.url.path).response())


async def not_there(request: Request, error: HTTPException) -> Response:
    """A path or a method that is not there: below /v1/ in the form of OpenAI's errors, as everything there."""
    path, headers = request.url.path, error.headers or {}
    if not path.startswith("/v1/") or error.status_code not in (404, 405):
        return await http_exception_handler(request, error)
    if error.status_code == 404:
        return errors.unknown_url(request.method, path).response()
    response = errors.wrong_method(request.method, path, headers.get("Allow", "")).response()
    response.headers.update(headers)
    return response


def wrong_intent(socket: WebSocket) -> ApiError | None:
    """An empty one is none."""
    intent = socket.query_params.get("intent")
    if not intent or intent == "transcription":
        return None
    message = f"Invalid value for 'intent': expected 'transcription', or none, but got {shown(intent)}."
    return errors.invalid(message, "intent")


def opening(socket: WebSocket) -> Opening:
    """What the client says before its first frame. Any model is taken: there is one, and the session says which."""
    who: Who = socket.state.who
    if who.name:
        log.event("client_admitted", key=who.name)
    query = socket.query_params
    return Opening(query.get("intent"), who.session)


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
