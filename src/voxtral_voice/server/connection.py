"""A WebSocket comes in: it becomes a link of a session.

Knows: that a new client gets a new session, and one that shows a resume token its own, and how a no is said. Does not
know: what a session or a link does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.websockets import WebSocket

from voxtral_voice.observe import log
from voxtral_voice.realtime.resume import Asked
from voxtral_voice.realtime.server_events import ServerEvents, error_object
from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server.admission import Place, Refused
from voxtral_voice.server.error_body import kind_of
from voxtral_voice.server.ids import new_id
from voxtral_voice.server.keeping import owner
from voxtral_voice.server.link import RESUME_UNKNOWN, TRY_AGAIN_LATER, End, Link
from voxtral_voice.server.live import UNKNOWN, LiveSession
from voxtral_voice.server.rest.errors import ApiError, of_refusal
from voxtral_voice.server.resume_store import NotYours, StoreDown
from voxtral_voice.server.runtime import Runtime

NOT_YOURS: Final = "The session is another key's."
STORE_DOWN: Final = "The server cannot look for the session now: try again in a few seconds."


async def converse(socket: WebSocket, runtime: Runtime, opening: Opening | None = None) -> None:
    """Until the link is lost or the session over."""
    session = LiveSession(runtime, socket.state.who, opening)
    await _begin(session, socket, runtime, socket.state.place)


async def _begin(session: LiveSession, socket: WebSocket, runtime: Runtime, place: Place | None) -> None:
    link = Link(socket, runtime.metrics)
    await link.accept()
    if place is not None:
        place.take()
        session.closing.callback(place.leave)
    session.attach(link)
    runtime.sessions.begin(session)
    await session.use(link)


async def resume(socket: WebSocket, runtime: Runtime, asked: Asked) -> None:
    """As above, with a session that is there, or in the store."""
    session, who = await runtime.keeping.find(asked), socket.state.who
    if session is None:
        await _restore(socket, runtime, asked)
    elif session.who.digest != who.digest:
        await _refuse(socket, runtime, ApiError(401, NOT_YOURS, code="invalid_api_key"))
    else:
        link = Link(socket, runtime.metrics)
        await link.accept()
        if session.resume(link, asked):
            await session.use(link)
        else:
            await link.close(UNKNOWN)


async def _restore(socket: WebSocket, runtime: Runtime, asked: Asked) -> None:
    """A session that another server had; it takes a place here."""
    who, place = socket.state.who, None
    try:
        if runtime.keeping.outlives_us:
            place = _place(socket, runtime, who.digest)
        if (taken := await runtime.keeping.take(asked, owner(who.digest))) is None:
            raise ApiError(404, UNKNOWN.reason, code="resume_unknown")
        snapshot, fence = taken
        session = LiveSession(runtime, who, restored=snapshot)
        session.was_taken(asked, fence)
        runtime.metrics.sessions_restored.inc()
        await _begin(session, socket, runtime, place)
    except NotYours:
        await _refuse(socket, runtime, ApiError(401, NOT_YOURS, code="invalid_api_key"))
    except StoreDown:
        await _refuse(socket, runtime, ApiError(503, STORE_DOWN, code="resume_store_down"))
    except ApiError as no:
        await _refuse(socket, runtime, no)
    finally:
        if place is not None and not place.taken:
            place.leave()


def _place(socket: WebSocket, runtime: Runtime, key: bytes) -> Place:
    """Raises ApiError."""
    peer = (socket.scope.get("client") or ("",))[0]
    place = runtime.admission.enter(key, peer, asyncio.get_running_loop().time())
    if isinstance(place, Refused):
        raise of_refusal(place)
    return place


async def _refuse(socket: WebSocket, runtime: Runtime, error: ApiError) -> None:
    """A page sees no answer to a handshake: it is let in, told, and let go."""
    runtime.metrics.refusals.labels(error.code).inc()
    log.event("resume_refused", code=error.code)
    if "origin" not in socket.headers:
        await socket.send_denial_response(error.response())
        return
    link = Link(socket, runtime.metrics)
    await link.accept()
    told = error_object(error.code or "", str(error), None, None)
    frame = ServerEvents(new_id).error(kind_of(error.status), told)
    code = TRY_AGAIN_LATER if error.status in (429, 503) else RESUME_UNKNOWN
    await link.close(End("resume_unknown", code, str(error), farewell=frame))
