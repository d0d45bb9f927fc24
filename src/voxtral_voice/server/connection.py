"""A WebSocket comes in: it becomes a link of a session.

Knows: that a new client gets a new session, and one that shows a resume token its own, and how a no is said. Does not
know: what a session or a link does.
"""

from __future__ import annotations

from starlette.websockets import WebSocket

from voxtral_voice.observe import log
from voxtral_voice.realtime.resume import Asked
from voxtral_voice.realtime.server_events import ServerEvents, error_object
from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server.link import RESUME_UNKNOWN, End, Link
from voxtral_voice.server.live import UNKNOWN, LiveSession, new_id
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.runtime import Runtime


async def converse(socket: WebSocket, runtime: Runtime, opening: Opening | None = None) -> None:
    """Until the link is lost or the session over."""
    session, link = LiveSession(runtime, socket.state.who, opening), Link(socket, runtime.metrics)
    await link.accept()
    if (place := socket.state.place) is not None:
        place.take()
        session.closing.callback(place.leave)
    session.attach(link)
    runtime.sessions.begin(session)
    await session.use(link)


async def resume(socket: WebSocket, runtime: Runtime, asked: Asked) -> None:
    """As above, with a session that is there."""
    session, who = runtime.sessions.find(asked), socket.state.who
    if session is None:
        await _refuse(socket, runtime, ApiError(404, UNKNOWN.reason, code="resume_unknown"))
    elif session.who.digest != who.digest:
        await _refuse(socket, runtime, ApiError(401, "The session is another key's.", code="invalid_api_key"))
    else:
        link = Link(socket, runtime.metrics)
        await link.accept()
        session.resume(link, asked)
        await session.use(link)


async def _refuse(socket: WebSocket, runtime: Runtime, error: ApiError) -> None:
    """A page sees no answer to a handshake: it is let in, told, and let go."""
    runtime.metrics.refusals.labels(error.code).inc()
    log.event("resume_refused", code=error.code)
    if "origin" not in socket.headers:
        await socket.send_denial_response(error.response())
        return
    link = Link(socket, runtime.metrics)
    await link.accept()
    frame = ServerEvents(new_id).error("invalid_request_error", error_object(error.code or "", str(error), None, None))
    await link.close(End("resume_unknown", RESUME_UNKNOWN, str(error), farewell=frame))
