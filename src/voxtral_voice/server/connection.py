"""A WebSocket comes in: it becomes a link of a session.

Knows: that a new client gets a new session. Does not know: what either does.
"""

from __future__ import annotations

from starlette.websockets import WebSocket

from voxtral_voice.realtime.wire import Opening
from voxtral_voice.server.link import Link
from voxtral_voice.server.live import LiveSession
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
