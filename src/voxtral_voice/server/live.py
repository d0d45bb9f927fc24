"""A session: one conversation, which may outlive the socket that it began with.

Knows: the order in which things happen. Does not know: what they mean (`conversation`, `realtime`), how an engine does
its work (`runner`), how the client's frames are read (`listener`), how it is heard (`ear`), sockets (`link`).

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

import orjson

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.errors import first_of
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import close_label
from voxtral_voice.observe.watch import Glance, Shell, Watch
from voxtral_voice.realtime.event_ids import AudioRuns, EventIds
from voxtral_voice.realtime.resume import Asked, Tokens, make_token
from voxtral_voice.realtime.sent_log import Sent
from voxtral_voice.realtime.wire import Incoming, Opening, Said, Wire
from voxtral_voice.server.alarm import Alarm
from voxtral_voice.server.auth import Who
from voxtral_voice.server.ear import Ear
from voxtral_voice.server.ids import new_id
from voxtral_voice.server.link import (
    GOING_AWAY,
    INTERNAL_ERROR,
    NO_CODE,
    NOBODY_THERE,
    NORMAL,
    RESUME_UNKNOWN,
    RESUMED,
    SLOW,
    End,
    Hangup,
    Link,
)
from voxtral_voice.server.listener import Listener
from voxtral_voice.server.outbox import Outbox
from voxtral_voice.server.resume_store import FIRST_FENCE
from voxtral_voice.server.runner import Runner
from voxtral_voice.server.runtime import Runtime, policy
from voxtral_voice.server.session_clock import SessionClock
from voxtral_voice.server.snapshot import Snapshot
from voxtral_voice.server.sounds import Sounds

INBOX: Final = 1024
"""Events of the engines that wait for the actor; when full, whoever brings the next one waits."""
TOKEN_BYTES: Final = 32
"""Random ones, in a resume token."""
IN_A_ROW: Final = 8
"""Events of the engines that are taken without letting the loop do its other work, however many wait."""


UNKNOWN: Final = End("resume_unknown", RESUME_UNKNOWN, "There is no such session to be resumed.", "resume_unknown")
GOODBYES: Final = frozenset({NORMAL, NO_CODE})
"""Of clients that do not come back, also those that close without a code. GOING_AWAY is none: a browser says so for a
page that it keeps, and may show again."""
NOT_RESUMED: Final = End("resume_expired", NOBODY_THERE, "nobody came back to it", gone=True)


class LiveSession:
    """who: may use it."""

    def __init__(
        self, runtime: Runtime, who: Who, opening: Opening | None = None, restored: Snapshot | None = None
    ) -> None:
        """restored: of the session that it is to be."""
        self.id = new_id("sess") if restored is None else restored.session_id
        self.who = who
        self.changes = 0
        """Of what a snapshot holds: grows with each."""
        self.fence = FIRST_FENCE
        """See `resume_store`."""
        self._restored = restored
        self._asked = Asked("", "")
        """How a restored one was asked for."""
        ids = self._event_ids = EventIds(secrets.token_hex(6), new_id)
        self._audio_runs = AudioRuns()
        self.over = asyncio.Event()
        self.closing = ExitStack()
        """What else has to be undone when it is over."""
        self._runtime = runtime
        session_s = round(runtime.config.server.max_session_minutes * 60)
        self._expires_at = round(time.time()) + session_s if restored is None else restored.expires_at
        self._session_s = max(0, self._expires_at - round(time.time()))
        self._wire = self._made_wire(ids, opening if restored is None else Opening(None, restored.patch, by_parts=True))
        self._ear = Ear(runtime, self._feed, self._detects, self._may_go_on, self._now, self._not_heard)
        self._sounds = Sounds(self._ear.audio)
        self._recording = runtime.recording(self.id, self._ear.audio)
        self._core = self._recording.session(self._wire.settings, new_id, policy(runtime.config, runtime.engines))
        self._inbox: asyncio.Queue[ev.Event] = asyncio.Queue(INBOX)  # full: the bringer waits
        self._outbox = Outbox()
        received = 0 if restored is None else restored.received
        self._listener = Listener(runtime.config.limits, runtime.metrics, received)
        self._asides: set[str] = set()
        """Replies that are not part of the conversation; the client need not play them."""
        self._alarm = Alarm()
        self._runner: Runner | None = None
        self._link: Link | None = None
        self._told: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._clock = SessionClock()
        self._linked = asyncio.Event()
        self._linked.set()
        self._tokens = Tokens()
        self._resume_s = runtime.config.server.resume_s
        self._give_up: asyncio.TimerHandle | None = None
        self._watch = self._watched()

    def _made_wire(self, ids: EventIds, opening: Opening | None) -> Wire:
        runtime = self._runtime
        return Wire(
            self.id,
            ids,
            runtime.voices(self.who),
            runtime.model,
            round(time.time()),
            self._session_s,
            runtime.config.turns.chosen_patience,
            opening,
        )

    def _watched(self) -> Watch:
        runtime = self._runtime
        shell = Shell(lambda: self._ear.audio.end_sample, self._padding_ms, self.queues)
        models = runtime.engines.names()
        return Watch(self.id, runtime.metrics, shell, self._now(), models=models, export=runtime.traces)

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
                self._runtime.keeping.ended(self, end.why)
                self._runtime.metrics.sessions_ended.labels(end.why).inc()
                log.event("session_closed", code=end.code, reason=end.reason)
        except Exception:
            logging.getLogger(log.ROOT).exception("session_broken")
        finally:
            if self._give_up is not None:
                self._give_up.cancel()
            self._let_go()
            self.over.set()

    def attach(self, link: Link) -> None:
        """From now on the client is talked to over this link."""
        self._link = link

    def may_resume(self, asked: Asked) -> bool:
        """It is there, the token is right, and what the client has not got can be sent again."""
        here = not self._told.done() and not self.over.is_set()
        return here and self._tokens.accept(asked.token) and self._outbox.can_go_on(asked.after)

    def resume(self, link: Link, asked: Asked) -> bool:
        """Go on over this link; one that is still there is closed. False: it may not be resumed so any more."""
        if not self.may_resume(asked):
            return False
        if self._link is not None:
            self._link.hang_up(RESUMED)
        self._hold()
        self._link = link
        self._outbox.log.rewind(asked.after)
        self._tokens.renew(self._new_token(), asked.token)
        event_id, greeting = self._wire.resumed(self._listener.came)
        self._outbox.greet(event_id, greeting)
        self._go_on()
        return True

    async def use(self, link: Link) -> None:
        """Until the attached link is lost; it is closed then."""
        end = End("server_stopped", GOING_AWAY, "the server stops", gone=True)
        try:
            with log.about(session=self.id):
                end = await link.until_lost(self._take, self._outbox)
        finally:
            ends = self._lost(link, end)
        self._runtime.metrics.closes.labels(close_label(end.code)).inc()
        await link.close(end)
        if ends:
            await self.over.wait()

    @property
    def at_rest(self) -> bool:
        """Nothing is being said in it, nothing waits for words or an answer, and the client has been sent all."""
        return self.over.is_set() or (self._core.at_rest and self._outbox.log.all_taken)

    def hang_up(self, end: End) -> None:
        """The session ends. Whoever is first says why."""
        if not self._told.done():
            self._told.set_result(end)

    def _lost(self, link: Link, end: End) -> bool:
        """True: the session is over with it."""
        if self._link is not link:  # it goes on over another
            return self.over.is_set()
        self._link = None
        resumable = self._tokens.newest is not None and end.code not in GOODBYES
        if self._told.done() or not resumable:
            self.hang_up(end)
            return True
        self._hold()
        log.event("session_held", code=end.code, reason=end.reason)
        self._runtime.sessions.held(self)
        self._give_up = asyncio.get_running_loop().call_later(self._resume_s, self.give_up)
        return False

    @property
    def token_digest(self) -> bytes | None:
        """Of the newest resume token; None: it cannot be resumed."""
        return self._tokens.newest

    @property
    def is_held(self) -> bool:
        """It has no link, and may get another."""
        return self._clock.is_held

    def give_up(self) -> None:
        """The client need not come back any more."""
        self.hang_up(NOT_RESUMED)

    def _hold(self) -> None:
        """Time stands still, and the core is given nothing."""
        self._clock.hold(asyncio.get_running_loop().time())
        self._alarm.stop()
        self._linked.clear()

    def _go_on(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
        self._runtime.sessions.goes_on(self)
        away_ms = 1000 * self._clock.go_on(asyncio.get_running_loop().time())
        with log.about(session=self.id):
            self._runtime.metrics.resumes.inc()
            log.event("session_resumed", away_ms=round(away_ms))
            unheard = self._outbox.log.unheard_ms()
            if unheard:  # of the newest reply: what is sent again of one before it is cut off by now
                again = self._wire.sound_of(self._outbox.log.unheard(unheard[-1][0]))
                self._ear.played_again(pcm16_to_float(again), away_ms)
            self._feed(ev.Reconnected(away_ms, unheard))
        self._linked.set()

    def _new_token(self) -> str:
        """The client is told of it with the next event that shows the session."""
        token = make_token(self.id, secrets.token_urlsafe(TOKEN_BYTES))
        self._wire.may_resume(token, self._resume_s)
        return token

    def _settle_resume(self) -> None:
        """The client wants that it may resume, or does not any more."""
        wanted = self._wire.wants_resume and self._resume_s > 0
        if wanted and self._tokens.newest is None:
            shown, self._asked = self._asked.token, replace(self._asked, token="")  # it counts once
            self._tokens.renew(self._new_token(), shown or None)
        elif not wanted:
            self._tokens.revoke()
            self._wire.may_not_resume()
        self._outbox.log.keep(wanted)

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
        self._outbox.close()
        del self._ear, self._sounds, self._recording, self._core, self._wire, self._outbox, self._alarm, self._watch
        self._runner = self._link = None

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._runner = Runner(self._runtime, self._ear.audio, group, self._inbox.put)
            self._settle_resume()
            if self._restored is None:
                self._send(self._wire.opening())
            else:
                self._restore(self._restored)
            group.create_task(self._listen())
            group.create_task(self._ear.hear())
            group.create_task(self._act())
            group.create_task(self._wake())
            group.create_task(self._until_told())
            group.create_task(self._listener.until_silent())

    def was_taken(self, asked: Asked, fence: int) -> None:
        """From the store. The token counts until it is known that the client has the next one."""
        self._asked, self.fence = asked, fence

    def _restore(self, snapshot: Snapshot) -> None:
        event_id, greeting = self._wire.resumed(self._listener.came, restored=True)
        self._outbox.greet(event_id, greeting)
        self._send(self._wire.refused_wishes())
        self._feed(snapshot.heard_to(self._asked.after))
        self._listener.understood.set()

    def token(self) -> tuple[bytes, bytes] | None:
        """Digests of the resume tokens that count, the newest first; None: it cannot be resumed."""
        return self._tokens.counting

    def knows(self, token: str) -> bool:
        """It counts."""
        return self._tokens.accept(token)

    def kept(self) -> Snapshot:
        """As it is now."""
        done = self._listener.done
        done.look(self._now(), all_taken_in=self._core.all_taken_in)
        session = orjson.dumps(self._wire.kept()).decode()
        conversation, saying = self._core.kept(), self._core.being_said()
        events, runs = self._event_ids.prefix, tuple(self._audio_runs.runs)
        return Snapshot(self.id, session, self._expires_at, done.kept, conversation, saying, events, runs)

    async def _until_told(self) -> None:
        raise Hangup(await self._told)

    # --- what an operator sees of it ----------------------------------------------------------------------------

    def glance(self) -> Glance:
        """Not of one that is over."""
        glance = self._watch.glance(self._now())
        return replace(glance, state="held") if self.is_held else glance

    def queues(self) -> dict[str, int]:
        """How much waits: for the client, of the engines, for voice activity."""
        return {
            "frames": self._outbox.log.waiting,
            "events": self._inbox.qsize(),
            "audio": self._ear.frames_behind,
        }

    def _padding_ms(self) -> float:
        detection = self._core.settings.turn_detection
        return 0.0 if detection is None else detection.prefix_padding_ms

    # --- the client ---------------------------------------------------------------------------------------------

    async def _take(self, frame: str | bytes) -> None:
        self._tokens.arrived()
        await self._listener.take(frame)

    async def _listen(self) -> None:
        wire, room = self._wire, self._outbox.room
        await self._listener.listen(wire.read, self._act_on, self._client_frame, self._may_go_on, room)

    def _act_on(self, said: Said) -> Incoming:
        return self._wire.act(said, self._core.history.get, self._sounds.get)

    async def _client_frame(self, incoming: Incoming) -> None:
        self._send(incoming.frames)
        await self._ear.take(incoming.pcm)
        await self._may_go_on()
        if incoming.events:
            self._settle_resume()
            self._ear.catch_up()
        for event in incoming.events:
            self._feed(event, incoming.client_event_id, incoming.sound)

    def _not_heard(self, why: str) -> None:
        self._send([self._wire.error("engine_failed", why, kind="server_error")])

    def _send(self, frames: Sequence[bytes], notice: ev.Notice | None = None) -> None:
        """notice: what they tell the client."""
        reply_id, audio_ms = None, 0.0
        if isinstance(notice, ev.ReplyAudioDelta) and notice.reply_id not in self._asides:
            reply_id, audio_ms = notice.reply_id, 1000 * notice.samples.size / SPEAK_RATE_HZ
        if reply_id is not None:
            self._audio_runs.add(self._event_ids.count, reply_id, audio_ms)
        for frame in frames:
            if not self._outbox.put(Sent(frame, reply_id, audio_ms)) and self._link is not None:
                self._link.hang_up(SLOW)

    # --- the core -----------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock.at(asyncio.get_running_loop().time())

    async def _may_go_on(self) -> None:
        """Wait while the session is held."""
        while not self._linked.is_set():
            await self._linked.wait()

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
        now = self._now()
        with log.about(turn=self._watch.turn):
            for command in self._core.receive(event, now):
                self._carry_out(command, now, client_event_id, sound)
        wake_at = self._core.wake_at()
        self._alarm.set(None if wake_at is None else self._clock.loop_time(wake_at))

    def _carry_out(self, command: ev.Command, now: float, client_event_id: str | None, sound: bytes) -> None:
        assert self._runner is not None
        if isinstance(command, ev.ResetVoiceActivity):
            self._ear.forget()
        elif isinstance(command, ev.TranscribeItem):
            self._runner.transcribe_item(command, sound)
        elif isinstance(command, ev.EngineCommand):
            self._runner.run(command)
        else:
            self.changes += not isinstance(command, ev.ReplyAudioDelta)
            self._note(command)
            if sound and isinstance(command, ev.ItemAdded):
                self._sounds.give(command.item.id, sound)
            self._watch.note(command, now)
            self._send(self._wire.notice(command, client_event_id), command)

    def _note(self, notice: ev.Notice) -> None:
        """What the shell has to know of what the client is told."""
        assert self._runner is not None
        self._sounds.note(notice)
        if isinstance(notice, ev.ReplyAudioDelta):
            self._runner.sent(notice.reply_id, notice.samples.size)
            if notice.reply_id not in self._asides:
                self._ear.played(notice)
        elif isinstance(notice, ev.ReplyStarted):
            self._runner.released(notice.reply_id)
            if notice.aside:
                self._asides.add(notice.reply_id)
        elif isinstance(notice, ev.ReplyEnded):
            self._asides.discard(notice.reply_id)
            self._timed(notice.timeline)
        elif isinstance(notice, ev.SpeechStopped):
            self._runner.turn_is_over()
        elif isinstance(notice, ev.AudioCommitted):
            self._runner.committed()

    def _timed(self, timeline: Timeline | None) -> None:
        """What the server itself took of the time until an answer's first sound tells how busy it is."""
        timeline = timeline or Timeline()
        total_ms, endpoint_ms = timeline.total_ms(), timeline.endpoint_ms()
        if total_ms is not None and endpoint_ms is not None:
            self._runtime.admission.load.turn((total_ms - endpoint_ms) / 1000, asyncio.get_running_loop().time())
