"""The door: whoever asks for anything but what is open to all shows who they are, before more is read of them.

Knows: what is open to all, how a no is said over HTTP (an OpenAI-style body, also to a WebSocket before it is
accepted). Does not know: who may enter (`auth`), what is behind.

Behind it, `state.who` of a request or a socket is the `Who`.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxtral_voice.config import is_loopback
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.auth import Auth, Refusal

OPEN: Final = frozenset({"/", "/livez", "/readyz", "/favicon.ico"})
PAGE: Final = "/page/"
METRICS: Final = "/metrics"
PATH_CHARS: Final = 100
"""Of a path that a client made up, in the log."""


class Door:
    """Everything is closed that is not named in `is_open`: a path that is added later, too."""

    def __init__(self, app: ASGIApp, auth: Auth, metrics: Metrics) -> None:
        self._app, self._auth, self._metrics = app, auth, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            await self._app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        headers = HTTPConnection(scope).headers
        verdict = await self._auth.check(headers, scope.get("subprotocols", ()), opens_session=is_socket)
        if not isinstance(verdict, Refusal):
            scope.setdefault("state", {})["who"] = verdict
            await self._app(scope, receive, send)
            return
        self._note(verdict, scope)
        response = refused(verdict)
        if is_socket:
            await WebSocket(scope, receive, send).send_denial_response(response)
        else:
            await response(scope, receive, send)

    def _note(self, refusal: Refusal, scope: Scope) -> None:
        self._metrics.refusals.labels(refusal.code).inc()
        peer = (scope.get("client") or ("",))[0]
        log.event("client_refused", code=refusal.code, path=scope["path"][:PATH_CHARS], peer=peer)


def is_open(scope: Scope) -> bool:
    """To everybody. What is counted, to this machine: a scraper there needs no key."""
    path = scope["path"]
    if path == METRICS:
        return is_loopback((scope.get("client") or ("",))[0])
    return path in OPEN or path.startswith(PAGE)


def refused(refusal: Refusal) -> JSONResponse:
    kind = "rate_limit_error" if refusal.status == 429 else "invalid_request_error"
    body = {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}}
    return JSONResponse(body, refusal.status, {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None)
