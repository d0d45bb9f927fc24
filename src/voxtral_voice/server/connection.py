"""One WebSocket, one session, one TaskGroup.

Knows: the order in which things happen. Does not know: what they mean (`conversation`, `realtime`) or how an engine
does its work (`runner`).

    reader (client frames) -----------+
    hearer (voice activity) ----------+--> core and wire --> outbox -> writer
    inbox (engines' events) -> actor -+        |
    alarm (time) -> waker ------------+        +--> runner, frames for the hearer

Each of the four feeds the core in one step without waiting, so that nobody comes between an event and what follows from
it. Every queue has a bound. A client whose audio is too far ahead of voice activity is read no further (`backlog`), so
that TCP holds it up; a full inbox holds up the engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import secrets
import time
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from voxtral_voice.audio.echo import EchoGuard
from voxtral_voice.audio.level import frames_dbfs
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, VAD_FRAME_SAMPLES
from voxtral_voice.errors import first_of
from voxtral_voice.observe import log
from voxtral_voice.observe.trace import observe
from voxtral_voice.realtime.wire import Incoming, Opening, Wire
from voxtral_voice.server.alarm import Alarm
from voxtral_voice.server.backlog import Backlog
from voxtral_voice.server.ingest import WIRE_RATE_HZ, Ingest
from voxtral_voice.server.runner import Runner
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime, policy
from voxtral_voice.server.sounds import Sounds

SUBPROTOCOL: Final = "realtime"
INBOX: Final = 1024
"""Events of the engines that wait for the actor; when full, whoever brings the next one waits."""
OUTBOX: Final = 512
"""Frames that wait for the socket; when full, the client is not reading and is cut off."""
OUTBOX_BYTES: Final = 16 * 1024 * 1024
"""Of all of them. From half of either on nothing more is taken from the client and from the engines; what time and
voice activity bring goes on."""
BACKLOG: Final = 768 * 1024
"""Bytes of the client's audio (16 s) that may wait for voice activity, and one piece more."""
FRAMES_BATCH: Final = 64
"""Voice-activity frames (2 s) judged at once."""
BYTES_PER_HEARD_SAMPLE: Final = BYTES_PER_SAMPLE * WIRE_RATE_HZ // LISTEN_RATE_HZ
LARGE_FRAME: Final = 32 * 1024
"""A client frame this large (0.5 s of audio) is decoded on a thread, so that the others' audio is not held up."""
PIECE_BYTES: Final = 24_000
"""0.5 s: a larger append is heard in several pieces."""
IGNORED: Final = 64
"""Fields that mean nothing here and are logged, each once; a client may make up as many as it likes."""
IGNORED_CHARS: Final = 80
"""Of such a field's name."""
IN_A_ROW: Final = 8
"""Frames of the client, or events of the engines, that are taken without letting the loop do its other work, however
many wait."""
FRAME_S: Final = VAD_FRAME_SAMPLES / LISTEN_RATE_HZ
ECHO_S: Final = 0.7
"""So long after the last audio was played its echo may still come."""
HEAR_S: Final = 10.0
"""Voice activity that takes longer than this for a batch is broken."""
SEND_S: Final = 5.0
"""A client that takes no data for this long is cut off."""
CLOSE_REASON_BYTES: Final = 123
"""RFC 6455, section 5.5."""

GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1011, 1013


class Hangup(Exception):  # noqa: N818 - a way to leave, not an error
    """Leave the session and close the socket.

    error: code of the error event that says so before; None for a client that does not read.
    """

    def __init__(self, code: int, reason: str, error: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.error = error


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"


class Connection:
    def __init__(self, socket: WebSocket, runtime: Runtime, opening: Opening | None = None) -> None:
        self._socket = socket
        self._runtime = runtime
        self._session_id = new_id("sess")
        voices = runtime.voices(socket.state.who)
        session_s = round(runtime.config.server.max_session_minutes * 60)
        self._wire = Wire(
            self._session_id,
            new_id,
            voices,
            runtime.model,
            round(time.time()),
            session_s,
            runtime.config.turns.chosen_patience,
            opening,
        )
        self._session_s = session_s
        self._ingest = Ingest()
        self._sounds = Sounds(self._ingest.audio)
        self._ignored: set[str] = set()
        self._recording = runtime.recording(self._session_id, self._ingest.audio)
        self._session = self._recording.session(self._wire.settings, new_id, policy(runtime.config, runtime.engines))
        self._voice_activity = runtime.engines.voice_activity.session()
        self._inbox: asyncio.Queue[ev.Event] = asyncio.Queue(INBOX)  # full: the bringer waits
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(OUTBOX)  # full: the client is cut off
        self._outbox_bytes = 0
        self._sent = asyncio.Event()
        """A frame has left the outbox."""
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
        self._asides: set[str] = set()
        """Replies that are not part of the conversation; the client need not play them."""
        self._alarm = Alarm()
        self._runner: Runner | None = None

    async def run(self) -> None:
        """Until the client leaves, the session expires, or something breaks. Never raises what a client can cause."""
        offered = self._socket.scope.get("subprotocols", [])
        await self._socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        sessions = self._runtime.metrics.sessions
        with log.about(session=self._session_id), sessions.track_inprogress(), self._recording:
            log.event("session_opened")
            code, reason = await self._until_closed()
            log.event("session_closed", code=code, reason=reason)
        self._give_back()

    def _give_back(self) -> None:
        """The sound that was kept. A session refers to itself, so that else it would wait for the collector, which may
        not come by for a hundred sessions."""
        self._ingest = Ingest()
        self._sounds = Sounds(self._ingest.audio)
        self._outbox = asyncio.Queue(OUTBOX)
        self._runner = None

    async def _until_closed(self) -> tuple[int, str]:
        """Returns the close code and why."""
        end: Hangup | None = None
        try:
            async with asyncio.timeout(self._session_s):
                await self._converse()
        except* WebSocketDisconnect as left:
            end = Hangup(first_of(left).code, "the client left")
        except* Hangup as hangup:
            end = first_of(hangup)
            await self._close(end)
        except* TimeoutError:
            minutes = self._runtime.config.server.max_session_minutes
            reason = f"Your session hit the maximum duration of {minutes:g} minutes."
            end = Hangup(GOING_AWAY, reason, "session_expired")
            await self._close(end)
        except* Exception as broken:
            logging.getLogger(log.ROOT).error("session_broken", exc_info=broken)
            end = Hangup(INTERNAL_ERROR, "The server has a fault; it was logged.", "internal_error")
            await self._close(end)
        assert end is not None, "a conversation ends with an exception"
        return end.code, str(end)

    async def _close(self, end: Hangup) -> None:
        """Say why and close; a socket that is gone already is fine."""
        with contextlib.suppress(RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(SEND_S):
                if end.error is not None:
                    frame = self._wire.error(end.error, str(end), kind="server_error")
                    await self._socket.send_text(frame.decode())
                reason = str(end).encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
                await self._socket.close(end.code, reason)

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._runner = Runner(self._runtime, self._ingest.audio, group, self._inbox.put)
            self._send(self._wire.opening())
            group.create_task(self._read())
            group.create_task(self._write())
            group.create_task(self._hear())
            group.create_task(self._act())
            group.create_task(self._wake())

    # --- the socket ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        for number in itertools.count(1):
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            text = message.get("text")
            await self._client_frame(text if text is not None else message.get("bytes") or b"")
            await self._room_to_answer()
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _client_frame(self, frame: str | bytes) -> None:
        if len(frame) < LARGE_FRAME:
            incoming = self._wire.client(frame, self._session.history.get, self._sounds.get)
        else:
            incoming = await asyncio.to_thread(self._wire.client, frame, self._session.history.get, self._sounds.get)
        if incoming.ignored:
            self._log_ignored(incoming)
        self._send(incoming.frames)
        if incoming.refused is not None:
            self._runtime.metrics.refusals.labels(incoming.refused).inc()
        for at in range(0, len(incoming.pcm), PIECE_BYTES):
            if at:
                await asyncio.sleep(0)
            self._audio(incoming.pcm[at : at + PIECE_BYTES])
            await self._backlog.room()
        if incoming.events:
            self._catch_up()
        for event in incoming.events:
            self._feed(event, incoming.client_event_id, incoming.sound)

    def _log_ignored(self, incoming: Incoming) -> None:
        for name in incoming.ignored:
            if name not in self._ignored and len(self._ignored) < IGNORED:
                self._ignored.add(name)
                log.event("field_ignored", field=name[:IGNORED_CHARS])

    def _audio(self, pcm: bytes) -> None:
        self._ingest.push(pcm)
        self._pushed_bytes += len(pcm)
        self._runtime.metrics.ingest_audio.inc(len(pcm) / BYTES_PER_SAMPLE / WIRE_RATE_HZ)
        if self._ingest.has_frames and not self._frames_due:
            self._frames_due = True
            self._runtime.tick.call(self._frames_whole.set)

    def _catch_up(self) -> None:
        """What the client says next is about all the audio that it has sent."""
        self._ingest.flush()
        self._feed(ev.AudioReceived(self._ingest.audio.end_sample))

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            self._outbox_bytes -= len(frame)
            self._sent.set()
            try:
                async with asyncio.timeout(SEND_S):
                    await self._socket.send_text(frame.decode())
            except TimeoutError:
                raise Hangup(TRY_AGAIN_LATER, "The client does not read what is sent to it.") from None
            except (RuntimeError, OSError):
                raise WebSocketDisconnect(1006) from None

    def _send(self, frames: list[bytes] | tuple[bytes, ...]) -> None:
        try:
            for frame in frames:
                self._outbox.put_nowait(frame)
                self._outbox_bytes += len(frame)
                if self._outbox_bytes > OUTBOX_BYTES:
                    raise asyncio.QueueFull
        except asyncio.QueueFull:
            raise Hangup(TRY_AGAIN_LATER, "The client does not read what is sent to it.") from None

    async def _room_to_answer(self) -> None:
        """Wait while a client that reads slowly, or not, is behind: the writer cuts it off when it takes too long."""
        while self._outbox.qsize() > OUTBOX // 2 or self._outbox_bytes > OUTBOX_BYTES // 2:
            self._sent.clear()
            await self._sent.wait()

    # --- voice activity -----------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        while True:
            await self._frames_whole.wait()
            self._frames_whole.clear()
            self._frames_due = False
            while self._ingest.has_frames:
                await self._hear_frames(*self._take_frames())

    def _take_frames(self) -> tuple[int, Samples]:
        began = time.thread_time()
        first, frames = self._ingest.frames(FRAMES_BATCH)
        self._runtime.metrics.ingest_cpu.inc(time.thread_time() - began)
        self._feed(ev.AudioReceived(self._ingest.audio.end_sample))
        return first, frames

    async def _hear_frames(self, first: int, frames: Samples) -> None:
        if self._session.settings.turn_detection is not None:
            try:
                async with asyncio.timeout(HEAR_S):
                    probabilities = await self._voice_activity.probabilities(frames)
            except ENGINE_FAULTS as error:
                message = self._runtime.failed("voice_activity", error)
                raise Hangup(INTERNAL_ERROR, f"voice_activity: {message}", "internal_error") from error
            self._runtime.worked("voice_activity")
            if first >= self._deaf_to:
                self._feed(ev.FramesHeard(first, tuple(probabilities), frames_dbfs(frames), self._echoes(frames)))
        self._heard_to = max(self._heard_to, first + frames.size)
        self._backlog.less()

    def _echoes(self, frames: Samples) -> tuple[float, ...]:
        """How much each frame is like what the client plays; () while it plays nothing."""
        now = asyncio.get_running_loop().time()
        if now > self._played_to + ECHO_S:
            return ()
        began = now - len(frames) * FRAME_S
        return tuple(self._echo.likeness(frame, began + index * FRAME_S) for index, frame in enumerate(frames))

    def _forget_frames(self) -> None:
        """What came until now is not heard any more, also where it waits or is being judged."""
        self._ingest.forget_frames()
        self._deaf_to = self._heard_to = self._ingest.framed_to
        self._backlog.less()
        self._voice_activity.reset()

    # --- the core -----------------------------------------------------------------------------------------------

    async def _act(self) -> None:
        for number in itertools.count(1):
            self._feed(await self._inbox.get())
            await self._room_to_answer()
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _wake(self) -> None:
        try:
            while True:
                await self._alarm.rings()
                self._feed(ev.Wake())
        finally:
            self._alarm.stop()

    def _feed(self, event: ev.Event, client_event_id: str | None = None, sound: bytes = b"") -> None:
        """Give the core an event and carry out what it says. Never waits. sound: of the item that is added."""
        assert self._runner is not None
        for command in self._session.receive(event, asyncio.get_running_loop().time()):
            if isinstance(command, ev.ResetVoiceActivity):
                self._forget_frames()
            elif isinstance(command, ev.TranscribeItem):
                self._runner.transcribe_item(command, sound)
            elif isinstance(command, ev.EngineCommand):
                self._runner.run(command)
            else:
                self._note(command)
                if sound and isinstance(command, ev.ItemAdded):
                    self._sounds.give(command.item.id, sound)
                observe(command, self._runtime.metrics)
                self._send(self._wire.notice(command, client_event_id))
        self._alarm.set(self._session.wake_at())

    def _note(self, notice: ev.Notice) -> None:
        """What the shell has to know of what the client is told."""
        self._sounds.note(notice)
        if isinstance(notice, ev.ReplyAudioDelta):
            if notice.reply_id not in self._asides:
                self._echo.played(notice.samples, notice.plays_at)
                self._played_to = notice.plays_at + notice.samples.size / SPEAK_RATE_HZ
        elif isinstance(notice, ev.ReplyStarted):
            assert self._runner is not None
            self._runner.released(notice.reply_id)
            if notice.aside:
                self._asides.add(notice.reply_id)
        elif isinstance(notice, ev.ReplyEnded):
            self._asides.discard(notice.reply_id)
        elif isinstance(notice, ev.SpeechStopped):
            assert self._runner is not None
            self._runner.turn_is_over()
        elif isinstance(notice, ev.AudioCommitted):
            assert self._runner is not None
            self._runner.committed()
