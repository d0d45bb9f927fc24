"""How one session hears: the client's audio through voice activity to the core.

Knows: frames of voice activity, how far the client is ahead of them, what of ours may come back as an echo. Does not
know: turns, the wire, sockets.

A client whose audio is too far ahead of voice activity is read no further (`backlog`), so that TCP holds it up. Voice
activity that fails is asked again until it works: what was said meanwhile waits, and nothing of it is lost.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from voxtral_voice.audio.echo import EchoGuard
from voxtral_voice.audio.level import frames_dbfs
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, VAD_FRAME_SAMPLES
from voxtral_voice.server.backlog import Backlog
from voxtral_voice.server.ingest import WIRE_RATE_HZ, Ingest
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime

BACKLOG: Final = 768 * 1024
"""Bytes of the client's audio (16 s) that may wait for voice activity, and one piece more."""
FRAMES_BATCH: Final = 64
"""Voice-activity frames (2 s) judged at once."""
BYTES_PER_HEARD_SAMPLE: Final = BYTES_PER_SAMPLE * WIRE_RATE_HZ // LISTEN_RATE_HZ
PIECE_BYTES: Final = 24_000
"""0.5 s: a larger append is heard in several pieces."""
FRAME_S: Final = VAD_FRAME_SAMPLES / LISTEN_RATE_HZ
ECHO_S: Final = 0.7
"""So long after the last audio was played its echo may still come."""
HEAR_S: Final = 3.0
"""Voice activity that takes longer than this for a batch is broken: a hundred times what it takes."""
AGAIN_S: Final = 0.2
"""Between two tries of the same frames; while the circuit is open, between two looks at it."""


class Ear:
    """feed: gives the core an event. detects: whether the session wants voice activity. may_go_on: waits while the
    session is held. now: on the session's clock. tell: says to the client why it is not heard."""

    def __init__(
        self,
        runtime: Runtime,
        feed: Callable[[ev.Event], None],
        detects: Callable[[], bool],
        may_go_on: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._runtime = runtime
        self._feed, self._detects, self._may_go_on, self._now, self._tell = feed, detects, may_go_on, now, tell
        self._ingest = Ingest()
        self.audio = self._ingest.audio
        self._voice_activity = runtime.engines.voice_activity.session()
        self._pushed_bytes = 0
        self._heard_to = 0
        """Behind the last frame that voice activity has judged, or was not asked to."""
        self._backlog = Backlog(BACKLOG, lambda: self._pushed_bytes - self._heard_to * BYTES_PER_HEARD_SAMPLE)
        self._frames_due = False
        self._frames_whole = asyncio.Event()
        self._deaf_to = 0
        """Frames before this sample were dropped by the client."""
        self._echo = EchoGuard()
        self._played_to = -math.inf
        """When the client has played what it was sent."""

    async def take(self, pcm: bytes) -> None:
        """The next audio of the client: 16-bit, 24 kHz, mono. Waits while too much of it is not heard yet."""
        for at in range(0, len(pcm), PIECE_BYTES):
            if at:
                await asyncio.sleep(0)
            self._push(pcm[at : at + PIECE_BYTES])
            await self._backlog.room()

    def _push(self, pcm: bytes) -> None:
        self._ingest.push(pcm)
        self._pushed_bytes += len(pcm)
        self._runtime.metrics.ingest_audio.inc(len(pcm) / BYTES_PER_SAMPLE / WIRE_RATE_HZ)
        if self._ingest.has_frames and not self._frames_due:
            self._frames_due = True
            self._runtime.tick.call(self._frames_whole.set)

    @property
    def frames_behind(self) -> int:
        """Of the client's audio, that voice activity has not judged yet."""
        return max(0, self._pushed_bytes // BYTES_PER_HEARD_SAMPLE - self._heard_to) // VAD_FRAME_SAMPLES

    def catch_up(self) -> None:
        """What the client says next is about all the audio that it has sent."""
        self._ingest.flush()
        self._feed(ev.AudioReceived(self.audio.end_sample))

    async def hear(self) -> None:
        """For ever."""
        while True:
            await self._frames_whole.wait()
            self._frames_whole.clear()
            self._frames_due = False
            while self._ingest.has_frames:
                await self._may_go_on()
                await self._hear_frames(*self._take_frames())

    def _take_frames(self) -> tuple[int, Samples]:
        began = time.thread_time()
        first, frames = self._ingest.frames(FRAMES_BATCH)
        self._runtime.metrics.ingest_cpu.inc(time.thread_time() - began)
        self._feed(ev.AudioReceived(self.audio.end_sample))
        return first, frames

    async def _hear_frames(self, first: int, frames: Samples) -> None:
        if (probabilities := await self._judged(frames)) is not None:
            await self._may_go_on()
            if first >= self._deaf_to:
                self._feed(ev.FramesHeard(first, tuple(probabilities), frames_dbfs(frames), self._echoes(frames)))
        self._heard_to = max(self._heard_to, first + frames.size)
        self._backlog.less()

    async def _judged(self, frames: Samples) -> Sequence[float] | None:
        """Until it works. None: nobody wants to know it."""
        told = False
        while self._detects():
            if self._runtime.circuits.closed("voice_activity"):
                try:
                    async with asyncio.timeout(HEAR_S):
                        probabilities = await self._voice_activity.probabilities(frames)
                except ENGINE_FAULTS as error:
                    message = self._runtime.failed("voice_activity", error)
                    self._voice_activity = self._runtime.engines.voice_activity.session()
                    if not told:
                        self._tell(f"voice_activity: {message}")
                    told = True
                else:
                    self._runtime.worked("voice_activity")
                    return probabilities
            await asyncio.sleep(AGAIN_S)
        return None

    def _echoes(self, frames: Samples) -> tuple[float, ...]:
        """How much each frame is like what the client plays; () while it plays nothing."""
        now = self._now()
        if now > self._played_to + ECHO_S:
            return ()
        began = now - len(frames) * FRAME_S
        return tuple(self._echo.likeness(frame, began + index * FRAME_S) for index, frame in enumerate(frames))

    def played(self, notice: ev.ReplyAudioDelta) -> None:
        """The client plays this, and may hear it."""
        self._echo.played(notice.samples, notice.plays_at)
        self._played_to = notice.plays_at + notice.samples.size / SPEAK_RATE_HZ

    def played_again(self, samples: Samples, away_ms: float) -> None:
        """The client was away for so long; the end of what it was to play, which are these samples, comes only now."""
        again_s = samples.size / SPEAK_RATE_HZ
        plays_at = max(self._now(), self._played_to - again_s - away_ms / 1000)
        self._echo.played(samples, plays_at)
        self._played_to = plays_at + again_s

    def forget(self) -> None:
        """What came until now is not heard any more, also where it waits or is being judged."""
        self._ingest.forget_frames()
        self._deaf_to = self._heard_to = self._ingest.framed_to
        self._backlog.less()
        self._voice_activity.reset()

    def close(self) -> None:
        """It hears nothing any more, and keeps nothing: others may still have the audio."""
        self.audio.drop()
        vars(self).clear()
