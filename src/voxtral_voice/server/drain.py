"""The end of a server, in peace: who is here may finish what is being said, nobody new comes.

Knows: signals, how long is waited, close codes. Does not know: sessions' insides, uvicorn.

    first SIGTERM or SIGINT    not ready, no new sessions and requests; a session is closed once nothing is being said
                               in it, and all are at the deadline; then the server stops: exit status 0
    second                     ends the process at once, as if nothing had been done about signals
    while engines still load   ends at once, too: exit status 0
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from voxtral_voice.observe import log
from voxtral_voice.server.health import Front, Health
from voxtral_voice.server.link import GOING_AWAY, SERVICE_RESTART, End
from voxtral_voice.server.runtime import Runtime

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LOOK_S: Final = 0.05
"""Between two looks at what is still going on."""
CLOSE_S: Final = 1.0
"""For clients to take what is said to them at the end."""
LEAVES: Final = End("drained", GOING_AWAY, "The server is going away: connect again.", error="server_going_away")
RESTARTS: Final = replace(LEAVES, code=SERVICE_RESTART)
"""Its sessions go on: with another server of the same store, or with this one when it is back."""


class Stop:
    """What signals have asked for."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loading: asyncio.Task[object] | None = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._ask, number)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def until_asked(self) -> None:
        await self.asked.wait()

    @contextmanager
    def cancels_until_ready(self) -> Iterator[None]:
        """A signal before `is_ready` leaves the block."""
        self._loading = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._loading is None or not self.asked.is_set():
                raise
            self._loading.uncancel()
        finally:
            self.is_ready()

    def is_ready(self) -> None:
        self._loading = None

    def _ask(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.asked.set()
        if self._loading is not None:
            self._loading.cancel()


async def drain(runtime: Runtime, health: Health, front: Front) -> None:
    """Until nothing is going on any more, or for as long as the settings allow. No session is left then."""
    loop = asyncio.get_running_loop()
    limit_s = runtime.config.server.drain_s
    ends_at = loop.time() + limit_s
    health.draining = True
    runtime.metrics.draining.set(1)
    end = RESTARTS if runtime.keeping.outlives_us else LEAVES
    log.event("drain_began", sessions=len(runtime.sessions), requests=front.requests, at_most_s=limit_s)
    while (runtime.sessions or front.under_way) and loop.time() < ends_at:
        for session in runtime.sessions:
            if session.at_rest or session.is_held:
                session.hang_up(end)
        await asyncio.sleep(LOOK_S)
    log.event("drain_ended", cut_sessions=len(runtime.sessions), cut_requests=front.requests)
    await _cut(runtime, front, end)
    await runtime.keeping.finish()


async def _cut(runtime: Runtime, front: Front, end: End) -> None:
    """What is left. Its clients are told, those that listen."""
    for session in runtime.sessions:
        session.hang_up(end)
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            while runtime.sessions or front.sockets:  # noqa: ASYNC110 - they end one by one
                await asyncio.sleep(LOOK_S)
