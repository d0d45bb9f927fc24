"""How one who gets no place is told so, at the least cost: many of them come at once.

Knows: the answer's bytes, its form for a browser, what is counted and logged. Does not know: who gets a place
(`admission`), the order of checks (`door`).

A script reads the answer to its handshake: HTTP 503 or 429 with Retry-After. A page cannot: it is let in, told by an
`error` event, and let go with close code 1013. That costs ten times as much, so that only so many get it in a second.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import Final

import orjson
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.realtime.server_events import ServerEvents, error_object
from voxtral_voice.server.admission import Refused
from voxtral_voice.server.allowance import Bucket
from voxtral_voice.server.error_body import error_body, kind_of
from voxtral_voice.server.ids import new_id
from voxtral_voice.server.link import SUBPROTOCOL, TRY_AGAIN_LATER

PAGES_PER_S: Final = 20
"""Browsers that are told in their own way; the others are told as scripts are, which their pages see as a failure."""
LOG_EVERY_S: Final = 10.0
"""Between two lines about refusals: who storms a server does not fill its disk."""


def body(refused: Refused) -> bytes:
    return orjson.dumps(error_body(refused.status, refused.message, refused.code))


def response(refused: Refused) -> Response:
    return Response(body(refused), refused.status, {"Retry-After": str(refused.retry_after_s)}, "application/json")


@functools.cache
def raw(refused: Refused) -> bytes:
    """The whole answer, as it goes over the wire."""
    content = body(refused)
    head = (
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        f"retry-after: {refused.retry_after_s}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


class Refusals:
    """Of one server: counted, and logged now and then."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pages = Bucket(PAGES_PER_S, PAGES_PER_S)
        self._log_at = 0.0
        self._not_logged = 0

    def note(self, refused: Refused, now: float) -> None:
        self._metrics.refusals.labels(refused.code).inc()
        self._metrics.sessions_refused.labels(refused.reason).inc()
        self._not_logged += 1
        if now >= self._log_at:
            log.event("sessions_refused", "warning", reason=refused.reason, count=self._not_logged)
            self._log_at, self._not_logged = now + LOG_EVERY_S, 0

    def can_tell_page(self, now: float) -> bool:
        return self._pages.has(1, now)

    def may_tell_page(self, now: float) -> bool:
        """It counts as told."""
        if not self.can_tell_page(now):
            return False
        self._pages.take(1, now)
        return True


async def tell_page(refused: Refused, socket: WebSocket) -> None:
    """Let in, told, let go. One that is gone already is fine."""
    told = error_object(refused.code, refused.message, None, None)
    frame = ServerEvents(new_id).error(kind_of(refused.status), told)
    offered = socket.scope.get("subprotocols", [])
    try:
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        await socket.send_text(frame.decode())
        await socket.close(TRY_AGAIN_LATER, refused.message)
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass
