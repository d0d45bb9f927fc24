"""The door: whoever asks for anything but what is open to all shows who they are, before more is read of them.

Knows: what is open to all, the order of the checks, how a no is said over HTTP (an OpenAI-style body, also to a
WebSocket before it is accepted). Does not know: who may enter (`auth`), for whom there is a place (`admission`), how
one without a place is told so (`refusals`), what is behind.

Behind it, `state.who` of a request or a socket is the `Who`, and `state.place` of a socket its `Place`, None for one
that goes on with a session. The door leaves a place that nobody behind it has taken.

A full server says so before it asks for a key: a storm of clients costs no more than it has to.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxtral_voice.config import is_loopback
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.realtime.resume import Asked, asked
from voxtral_voice.server.admission import Admission, Place, Refused
from voxtral_voice.server.auth import Auth, Refusal, Who
from voxtral_voice.server.error_body import error_body
from voxtral_voice.server.refusals import Refusals, response, tell_page
from voxtral_voice.server.sessions import Sessions

OPEN: Final = frozenset({"/", "/livez", "/readyz", "/favicon.ico"})
PAGE: Final = "/page/"
OPEN_HERE: Final = frozenset({"/metrics", "/v1/sessions"})
PATH_CHARS: Final = 100
"""Of a path that a client made up, in the log."""


class Door:
    """Everything is closed that is not named in `is_open`: a path that is added later, too."""

    def __init__(
        self,
        app: ASGIApp,
        auth: Auth,
        metrics: Metrics,
        admission: Admission | None = None,
        refusals: Refusals | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self._app, self._auth, self._metrics = app, auth, metrics
        limits = LimitsConfig()
        self._admission = admission or Admission(limits, limits.most_sessions("fake"))
        self._refusals = refusals or Refusals(metrics)
        self._sessions = Sessions() if sessions is None else sessions  # an empty one is false

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_page(scope):
            await self._app(scope, receive, send)
        elif (misnamed := self._auth.misnamed(HTTPConnection(scope).headers)) is not None:
            await self._refuse(misnamed, scope, receive, send)
        elif is_open(scope) and (scope["path"] not in OPEN_HERE or self._auth.is_ours(HTTPConnection(scope).headers)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(WebSocket(scope, receive, send))
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        verdict = await self._auth.check(HTTPConnection(scope).headers)
        if isinstance(verdict, Refusal):
            await self._refuse(verdict, scope, receive, send)
        else:
            scope.setdefault("state", {})["who"] = verdict
            await self._app(scope, receive, send)

    async def _socket(self, socket: WebSocket) -> None:
        headers, names = socket.headers, socket.scope.get("subprotocols", ())
        back, is_page = asked(headers, names), "origin" in headers
        if back is None and not is_page and (no := self._admission.check(_peer(socket.scope), _now())) is not None:
            await self._send_away(no, socket)  # who it is makes no difference
            return
        verdict = await self._auth.check(headers, names, opens_session=True, resumes=back is not None)
        if isinstance(verdict, Refusal):
            await self._refuse(verdict, socket.scope, socket.receive, socket._send)
            return
        place = self._place(verdict, socket, back)
        if isinstance(place, Refused):
            await self._send_away(place, socket)
            return
        socket.scope.setdefault("state", {}).update(who=verdict, place=place)
        try:
            await self._app(socket.scope, socket.receive, socket._send)
        finally:
            if place is not None and not place.taken:
                place.leave()

    def _place(self, who: Who, socket: WebSocket, back: Asked | None) -> Place | Refused | None:
        """None for one who comes back to a session that has its place already. One that is not here may be in the
        store, and how often that is looked for has a limit: whoever makes up tokens keeps nobody else from theirs."""
        if back is None:
            return self._admission.enter(who.digest, _peer(socket.scope), _now())
        return None if self._sessions.find(back) is not None else self._admission.come_back(_now())

    async def _send_away(self, no: Refused, socket: WebSocket) -> None:
        self._refusals.note(no, _now())
        if "origin" in socket.headers and self._refusals.may_tell_page(_now()):
            await tell_page(no, socket)
        else:
            await socket.send_denial_response(response(no))

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        self._note(refusal, scope)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refused(refusal))
        else:
            await refused(refusal)(scope, receive, send)

    def _note(self, refusal: Refusal, scope: Scope) -> None:
        self._metrics.refusals.labels(refusal.code).inc()
        log.event("client_refused", code=refusal.code, path=scope["path"][:PATH_CHARS], peer=_peer(scope))


def is_page(scope: Scope) -> bool:
    """It says itself what is wrong with the name that it was asked for by."""
    path: str = scope["path"]
    return path == "/" or path.startswith(PAGE)


def is_open(scope: Scope) -> bool:
    """To everybody. What an operator asks for, to this machine: a scraper there needs no key. But not by a stranger's
    name for this machine: that is another site's page, and has a key to show, where keys are asked for."""
    path = scope["path"]
    if path in OPEN_HERE:
        return is_loopback(_peer(scope))
    return path in OPEN or path.startswith(PAGE)


def refused(refusal: Refusal) -> JSONResponse:
    body = error_body(refusal.status, refusal.message, refusal.code)
    return JSONResponse(body, refusal.status, {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None)


def _peer(scope: Scope) -> str:
    """ "" where nobody knows."""
    return (scope.get("client") or ("",))[0]


def _now() -> float:
    return asyncio.get_running_loop().time()
