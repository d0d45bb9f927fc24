"""What one session's client sends: read frame by frame, as fast as it may come.

Knows: frames in order, how many came and how many were worked on, who is held up, and that something has to come. Does
not know: sockets (`link`), what an event means (`realtime`), what becomes of it (`live`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.realtime.wire import Incoming, Said
from voxtral_voice.server.allowance import LONGEST_WAIT_S, Allowance
from voxtral_voice.server.ingest import WIRE_RATE_HZ
from voxtral_voice.server.link import POLICY, End, Hangup
from voxtral_voice.server.received import Received

ARRIVED: Final = 1
"""Frames that wait; when full, the socket is read no further."""
LARGE_FRAME: Final = 32 * 1024
"""A frame this large (0.5 s of audio) is read on a thread, so that the others' audio is not held up."""
FIRST_EVENT_S: Final = 120.0
"""A client that has sent nothing for so long since it came, or nothing that can be understood, keeps a place from
others. Who has sent anything may be silent as long as it likes."""
IGNORED: Final = 64
"""Fields that mean nothing here and are logged, each once; a client may make up as many as it likes."""
IGNORED_CHARS: Final = 80
"""Of such a field's name."""

SILENT: Final = End("silent", POLICY, "No event came that could be understood.", "session_silent")
TOO_FAST: Final = End(
    "too_fast", POLICY, "More audio came at once than the server takes: send it as it is spoken.", "rate_limit_exceeded"
)

Frame = str | bytes
Read = Callable[[Frame], Said]
Act = Callable[[Said], Incoming]
Do = Callable[[Incoming], Awaitable[None]]
Wait = Callable[[], Awaitable[None]]


class Listener:
    """came: frames that another process has received."""

    def __init__(self, limits: LimitsConfig, metrics: Metrics, came: int = 0) -> None:
        self.came = came
        """Frames."""
        self.done = Received(came)
        """Those of them that were worked on."""
        self.understood = asyncio.Event()
        """An event, for the first time."""
        self._metrics = metrics
        self._allowance = Allowance(limits)
        self._arrived: asyncio.Queue[Frame] = asyncio.Queue(ARRIVED)  # full: the bringer waits
        self._ignored: set[str] = set()

    async def take(self, frame: Frame) -> None:
        """Of a large one not before the session is done with it: until then it counts for the socket."""
        await self._arrived.put(frame)
        self.came += 1
        if len(frame) >= LARGE_FRAME:
            await self._arrived.join()

    async def listen(self, read: Read, act: Act, do: Do, may_go_on: Wait, room: Wait) -> None:
        """Read each frame, a large one on a thread; `act` on it and `do` what comes of it. may_go_on: waits while the
        session is held. room: waits until the client has taken enough of what it was sent. Raises Hangup."""
        while True:
            frame = await self._arrived.get()
            await may_go_on()
            if len(frame) < LARGE_FRAME:
                said = read(frame)
            else:
                said = await asyncio.to_thread(read, frame)
                await may_go_on()
            incoming = act(said)
            self._note(incoming)
            held_s = self._allowed(incoming)
            await do(incoming)
            self.done.frame(is_audio=bool(incoming.pcm))
            if held_s:
                self._metrics.held_up.inc(held_s)
                await asyncio.sleep(held_s)
            self._arrived.task_done()
            await room()

    async def until_silent(self) -> None:
        """Returns when something came in time. Raises Hangup."""
        try:
            async with asyncio.timeout(FIRST_EVENT_S):
                await self.understood.wait()
        except TimeoutError:
            raise Hangup(SILENT) from None

    def _note(self, incoming: Incoming) -> None:
        if incoming.refused is not None:
            self._metrics.refusals.labels(incoming.refused).inc()
        else:
            self.understood.set()
        for name in incoming.ignored:
            if name not in self._ignored and len(self._ignored) < IGNORED:
                self._ignored.add(name)
                log.event("field_ignored", field=name[:IGNORED_CHARS])

    def _allowed(self, incoming: Incoming) -> float:
        """How long the client is not to be read behind this. Raises Hangup when that is too long."""
        now = asyncio.get_running_loop().time()
        if incoming.events or incoming.frames:
            return self._allowance.event(now)
        held_s = self._allowance.audio(len(incoming.pcm) / BYTES_PER_SAMPLE / WIRE_RATE_HZ, now)
        if held_s > LONGEST_WAIT_S:
            raise Hangup(TOO_FAST)
        return held_s
