"""A session: one conversation, which may outlive the socket that it began with.

Knows: the order in which things happen. Does not know: what they mean (`conversation`, `realtime`), how an engine does
its work (`runner`), how the client is heard (`ear`), sockets (`link`).

    link (client frames) -> listener ----+
    ear (voice activity) ----------------+--> core and wire --> outbox -> link
    inbox (engines' events) -> actor ----+        |
    alarm (time) -> waker ---------------+        +--> runner, frames for the ear

Each of the four feeds the core in one step without waiting, so that nobody comes between an event and what follows from
it. Every queue has a bound; a full inbox holds up the engines.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.errors import first_of
from voxtral_voice.observe import log
from voxtral_voice.observe.trace import observe
from voxtral_voice.realtime.sent_log import Sent
from voxtral_voice.realtime.wire import Incoming, Opening, Wire
from voxtral_voice.server.alarm import Alarm
from voxtral_voice.server.auth import Who
from voxtral_voice.server.ear import Ear
from voxtral_voice.server.link import GOING_AWAY, INTERNAL_ERROR, SLOW, End, Hangup, Link
from voxtral_voice.server.outbox import Outbox
from voxtral_voice.server.runner import Runner
from voxtral_voice.server.runtime import Runtime, policy
from voxtral_voice.server.sounds import Sounds

INBOX: Final = 1024
"""Events of the engines that wait for the actor; when full, whoever brings the next one waits."""
ARRIVED: Final = 1
"""Frames of the client that wait for the listener; when full, the socket is read no further."""
LARGE_FRAME: Final = 32 * 1024
"""A client frame this large (0.5 s of audio) is decoded on a thread, so that the others' audio is not held up."""
IGNORED: Final = 64
"""Fields that mean nothing here and are logged, each once; a client may make up as many as it likes."""
IGNORED_CHARS: Final = 80
"""Of such a field's name."""
IN_A_ROW: Final = 8
"""Events of the engines that are taken without letting the loop do its other work, however many wait."""


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"


class LiveSession:
    """who: may use it."""

    def __init__(self, runtime: Runtime, who: Who, opening: Opening | None = None) -> None:
        self.id = new_id("sess")
        self.who = who
        self.over = asyncio.Event()
        self.closing = ExitStack()
        """What else has to be undone when it is over."""
        self._runtime = runtime
        self._session_s = round(runtime.config.server.max_session_minutes * 60)
        self._wire = Wire(
            self.id,
            new_id,
            runtime.voices(who),
            runtime.model,
            round(time.time()),
            self._session_s,
            runtime.config.turns.chosen_patience,
            opening,
        )
        self._ear = Ear(runtime, self._feed, self._detects, self._may_go_on, self._now)
        self._sounds = Sounds(self._ear.audio)
        self._ignored: set[str] = set()
        self._recording = runtime.recording(self.id, self._ear.audio)
        self._core = self._recording.session(self._wire.settings, new_id, policy(runtime.config, runtime.engines))
        self._arrived: asyncio.Queue[str | bytes] = asyncio.Queue(ARRIVED)  # full: the bringer waits
        self._inbox: asyncio.Queue[ev.Event] = asyncio.Queue(INBOX)  # full: the bringer waits
        self._outbox = Outbox()
        self._asides: set[str] = set()
        """Replies that are not part of the conversation; the client need not play them."""
        self._alarm = Alarm()
        self._runner: Runner | None = None
        self._link: Link | None = None
        self._told: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    # --- its life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the client leaves, the session expires, or something breaks. Never raises what a client can cause."""
        try:
            counted = self._runtime.metrics.sessions.track_inprogress()
            with log.about(session=self.id), self.closing, counted, self._recording:
                log.event("session_opened")
                end = await self._until_over()
                if self._link is not None:
                    self._link.hang_up(end)
                log.event("session_closed", code=end.code, reason=end.reason)
        finally:
            self._let_go()
            self.over.set()

    def attach(self, link: Link) -> None:
        """From now on the client is talked to over this link."""
        self._link = link

    async def use(self, link: Link) -> None:
        """Until the attached link is lost; it is closed then."""
        end = End("server_stopped", GOING_AWAY, "the server stops", gone=True)
        try:
            with log.about(session=self.id):
                end = await link.until_lost(self._arrived.put, self._outbox)
        finally:
            self._lost(end)
        await link.close(end)
        await self.over.wait()

    def hang_up(self, end: End) -> None:
        """The session ends. Whoever is first says why."""
        if not self._told.done():
            self._told.set_result(end)

    def _lost(self, end: End) -> None:
        self._link = None
        self.hang_up(end)

    async def _until_over(self) -> End:
        end: End | None = None
        try:
            async with asyncio.timeout(self._session_s):
                await self._converse()
        except* Hangup as hangup:
            end = first_of(hangup).end
        except* TimeoutError:
            minutes = self._runtime.config.server.max_session_minutes
            reason = f"Your session hit the maximum duration of {minutes:g} minutes."
            end = End("expired", GOING_AWAY, reason, "session_expired")
        except* Exception as broken:
            logging.getLogger(log.ROOT).error("session_broken", exc_info=broken)
            end = End("fault", INTERNAL_ERROR, "The server has a fault; it was logged.", "internal_error")
        assert end is not None, "a conversation ends with an exception"
        return end if end.error is None or end.farewell else self._with_farewell(end, end.error)

    def _with_farewell(self, end: End, code: str) -> End:
        return replace(end, farewell=self._wire.error(code, end.reason, kind="server_error"))

    def _let_go(self) -> None:
        """Of everything. What refers to itself would else wait for the collector, which may not come by for a hundred
        sessions."""
        self._ear.close()
        del self._ear, self._sounds, self._recording, self._core, self._wire, self._outbox, self._alarm
        self._runner = self._link = None

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._runner = Runner(self._runtime, self._ear.audio, group, self._inbox.put)
            self._send(self._wire.opening())
            group.create_task(self._listen())
            group.create_task(self._ear.hear())
            group.create_task(self._act())
            group.create_task(self._wake())
            group.create_task(self._until_told())

    async def _until_told(self) -> None:
        raise Hangup(await self._told)

    # --- the client ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            frame = await self._arrived.get()
            await self._may_go_on()
            await self._client_frame(frame)
            await self._outbox.room()

    async def _client_frame(self, frame: str | bytes) -> None:
        if len(frame) < LARGE_FRAME:
            incoming = self._wire.client(frame, self._core.history.get, self._sounds.get)
        else:
            incoming = await asyncio.to_thread(self._wire.client, frame, self._core.history.get, self._sounds.get)
            await self._may_go_on()
        if incoming.ignored:
            self._log_ignored(incoming)
        self._send(incoming.frames)
        if incoming.refused is not None:
            self._runtime.metrics.refusals.labels(incoming.refused).inc()
        await self._ear.take(incoming.pcm)
        if incoming.events:
            await self._may_go_on()
            self._ear.catch_up()
        for event in incoming.events:
            self._feed(event, incoming.client_event_id, incoming.sound)

    def _log_ignored(self, incoming: Incoming) -> None:
        for name in incoming.ignored:
            if name not in self._ignored and len(self._ignored) < IGNORED:
                self._ignored.add(name)
                log.event("field_ignored", field=name[:IGNORED_CHARS])

    def _send(self, frames: Sequence[bytes], reply_id: str | None = None, audio_ms: float = 0.0) -> None:
        for frame in frames:
            if not self._outbox.put(Sent(frame, reply_id, audio_ms)) and self._link is not None:
                self._link.hang_up(SLOW)

    # --- the core -----------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _may_go_on(self) -> None:
        """Wait while the session is held."""

    def _detects(self) -> bool:
        return self._core.settings.turn_detection is not None

    async def _act(self) -> None:
        for number in itertools.count(1):
            event = await self._inbox.get()
            await self._may_go_on()
            self._feed(event)
            await self._outbox.room()
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _wake(self) -> None:
        try:
            while True:
                await self._alarm.rings()
                await self._may_go_on()
                self._feed(ev.Wake())
        finally:
            self._alarm.stop()

    def _feed(self, event: ev.Event, client_event_id: str | None = None, sound: bytes = b"") -> None:
        """Give the core an event and carry out what it says. Never waits. sound: of the item that is added."""
        assert self._runner is not None
        for command in self._core.receive(event, self._now()):
            if isinstance(command, ev.ResetVoiceActivity):
                self._ear.forget()
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
        self._alarm.set(self._core.wake_at())

    def _note(self, notice: ev.Notice) -> None:
        """What the shell has to know of what the client is told."""
        assert self._runner is not None
        self._sounds.note(notice)
        if isinstance(notice, ev.ReplyAudioDelta):
            if notice.reply_id not in self._asides:
                self._ear.played(notice)
        elif isinstance(notice, ev.ReplyStarted):
            self._runner.released(notice.reply_id)
            if notice.aside:
                self._asides.add(notice.reply_id)
        elif isinstance(notice, ev.ReplyEnded):
            self._asides.discard(notice.reply_id)
        elif isinstance(notice, ev.SpeechStopped):
            self._runner.turn_is_over()
        elif isinstance(notice, ev.AudioCommitted):
            self._runner.committed()
