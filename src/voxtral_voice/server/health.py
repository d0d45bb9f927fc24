"""How the server is, as a load balancer asks for it; and the front of the app, which is there before the engines are.

Knows: the three paths, what the server is at, that nobody new is let in before it is ready and when it goes away.
Does not know: who may enter (`door`), how many (`admission`), what makes it ready (`synthetic`) or go away (`drain`).

    /livez    200 as long as the event loop answers
    /readyz   200 when it can be used, else 503; the body says why not
    /ping     204 while it loads, 200 when it can be used, 503 when it should get nobody new: failing, full, busy, going
              away

    loading -> untested -> ready <-> failing
                              |  ... any of them -> draining
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from voxtral_voice.server.admission import Refused
from voxtral_voice.server.refusals import response
from voxtral_voice.server.runtime import Runtime

State = Literal["loading", "untested", "ready", "failing", "draining"]
Closed = Literal["loading", "draining"]

LIVE, READY, PING, METRICS = "/livez", "/readyz", "/ping", "/metrics"
RETRY_S: Final = 2
"""When who was refused should come again: engines load for some seconds, and behind a load balancer another server is
there at once."""
WAIT_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Voxtral Voice AI</title>"
    "<p>The server is loading its models. This page looks again by itself.</p></html>"
)
REFUSALS: Final[Mapping[Closed, Refused]] = {
    "loading": Refused(
        "closed", 503, "server_loading", "The server is loading its models: try again in a few seconds.", RETRY_S
    ),
    "draining": Refused(
        "closed",
        503,
        "server_going_away",
        "The server is going away: connect again, to another one or to the next.",
        RETRY_S,
    ),
}


@dataclass(slots=True)
class Health:
    """What the server is at."""

    loading: dict[str, str] = field(default_factory=lambda: {"server": "starting"})
    """What is not there yet, and why; empty once everything is."""
    runtime: Runtime | None = None
    """There when nothing is loading any more."""
    draining: bool = False

    def loaded(self, part: str) -> None:
        del self.loading[part]

    @property
    def state(self) -> State:
        if self.draining:
            return "draining"
        if self.runtime is None:
            return "loading"
        if self.failing:
            return "failing"
        return "ready" if self.runtime.ready else "untested"

    @property
    def failing(self) -> dict[str, str]:
        """Engine or process -> why it cannot be used now."""
        runtime = self.runtime
        return {} if runtime is None else runtime.failing | runtime.engines.failing()

    @property
    def ping(self) -> int:
        """The status that a load balancer understands without a body."""
        if self.runtime is not None and not self.runtime.admission.has_room(_now()):
            return 503
        return {"ready": 200, "loading": 204, "untested": 204}.get(self.state, 503)

    def told(self) -> JSONResponse:
        """The answer to /readyz."""
        state = self.state
        engines = {} if self.runtime is None else self.runtime.engines.names()
        degraded = {} if self.runtime is None else self.runtime.degraded  # it can be used: something else does the work
        body: dict[str, object] = {"ready": state == "ready", "state": state, "engines": engines}
        body |= {"failing": self.failing, "degraded": degraded}
        if state == "loading":
            body["loading"] = self.loading
        return JSONResponse(body, 200 if state == "ready" else 503)


class Front:
    """The whole server, as an ASGI app: `opens` gives it what is behind."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._app: ASGIApp | None = None
        self.requests = 0
        """That are being answered now; but for those about health."""
        self.sockets = 0
        """That are open now."""

    @property
    def under_way(self) -> int:
        return self.requests + self.sockets

    def opens(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_socket = scope["type"] == "websocket"
        if not is_socket and (answer := self._about_health(scope)) is not None:
            await answer(scope, receive, send)
        elif self._app is None or (self._health.draining and scope["path"] != METRICS):
            await self._refuse(scope, receive, send)
        elif is_socket:
            self.sockets += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self.sockets -= 1
        else:
            self.requests += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self.requests -= 1

    def _about_health(self, scope: Scope) -> Response | None:
        if scope["path"] not in (LIVE, READY, PING):
            return None
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Method Not Allowed", 405, {"Allow": "GET, HEAD"})
        if scope["path"] == LIVE:
            return PlainTextResponse("ok")
        return self._health.told() if scope["path"] == READY else Response(status_code=self._health.ping)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: Closed = "draining" if self._health.draining else "loading"
        no = REFUSALS[state]
        if self._health.runtime is not None:
            self._health.runtime.refusals.note(no, _now())
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response(no))
        elif scope["path"] == "/" and state == "loading":
            headers = {"Refresh": str(RETRY_S), "Retry-After": str(RETRY_S)}
            await HTMLResponse(WAIT_PAGE, 503, headers)(scope, receive, send)
        else:
            await response(no)(scope, receive, send)


def _now() -> float:
    return asyncio.get_running_loop().time()
