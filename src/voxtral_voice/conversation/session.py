"""A conversation: events in, commands out.

Knows: the floor, the turn, the reply, the history, and the deadline that is armed. Does not know: sockets, JSON,
models, threads, clocks. All state of a session is here; the same events at the same times give the same commands.

    receive(event, now) -> commands      what happened -> what to do, in order
    wake_at() -> float | None            send a Wake then, if nothing else comes first
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.endpoint import endpoint_wait_ms
from voxtral_voice.conversation.floor import DEADLINE_STATES, TABLE, Action, Signal, State
from voxtral_voice.conversation.gate import FRAME_SAMPLES, RATE_HZ, Offset, Onset, SpeechGate
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.reply import NewPhrase, Reply
from voxtral_voice.conversation.timeline import Timeline

MIN_COMMIT_MS: Final = 100
"""Shortest audio that the client may commit (OpenAI Realtime API)."""
MAX_COMMIT_MS: Final = 30_000
"""Under voice activity, a client's commit takes at most this much audio from before it."""
FORGET_STEP_MS: Final = 5_000
"""Audio that no turn can need any more is given up in steps of this length."""
REMEMBERED_REPLIES: Final = 32
"""Replies whose audio can still be truncated by the client; when full the oldest goes."""


@dataclass(slots=True)
class Turn:
    """What the user says until it is committed, and after that until its transcript is there."""

    item_id: str
    start_sample: int
    end_sample: int
    """Behind the last voiced sample."""
    partials: int = 0
    """Sample behind the last partial transcript."""
    partial_text: str = ""
    """The last partial, to compare the next one with."""
    stable_text: str = ""
    """Words that were already told to the client."""
    transcript: str | None = None
    language: str | None = None
    lost: str | None = None
    """Why there will be no transcript."""
    judged: float | None = None
    committed: bool = False
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def settled(self) -> bool:
        """The transcript is there, or will never be."""
        return self.transcript is not None or self.lost is not None


class Session:
    """ids("item") and ids("resp") give new ids; the session asks for nothing else from outside."""

    def __init__(self, settings: ev.Settings, ids: Callable[[str], str], policy: Policy | None = None) -> None:
        self.settings = settings
        self.state = State.OPEN
        self.history = History((policy or Policy()).max_items)
        self._policy = policy or Policy()
        self._ids = ids
        detection = settings.turn_detection or ev.TurnDetection()
        self._gate = SpeechGate(detection.threshold, self._policy.onset_ms, self._policy.tentative_silence_ms)
        self._out: list[ev.Command] = []
        self._deadline: float | None = None
        self._received = 0
        self._buffer_start = 0
        self._heard_to = 0
        self._forgotten = 0
        self._onset = 0
        self._attempts = 0
        self._turn: Turn | None = None
        self._listening: dict[int, Turn] = {}
        """By attempt: transcripts under way; at most one partial or final of the open turn, and those of committed
        turns that are not there yet."""
        self._reply: Reply | None = None
        self._answering: Turn | None = None
        """The turn that the reply answers, or will answer when its transcript is there."""
        self._asked: ev.ReplyOptions | None = None
        self._options = ev.ReplyOptions()
        self._spoken: OrderedDict[str, Reply] = OrderedDict()
        self._handlers: dict[type[ev.Event], Callable[[ev.Event, float], None]] = self._make_handlers()
        self._actions: dict[Action, Callable[[float], None]] = {
            Action.OPEN_TURN: self._open_turn,
            Action.SPECULATE: self._speculate,
            Action.MOVE_DEADLINE: self._arm_endpoint,
            Action.DROP_SPECULATION: self._drop_speculation,
            Action.DROP_TURN: self._drop_turn,
            Action.COMMIT_TURN: self._commit_turn,
            Action.COMMIT_BUFFER: self._commit_buffer,
            Action.RELEASE: self._release,
            Action.START_REPLY: self._start_reply,
            Action.REMEMBER_ASK: self._remember_ask,
            Action.CONTEST: self._contest,
            Action.INTERRUPT: self._interrupt,
            Action.CANCEL_REPLY: self._cancel_reply,
        }

    # --- the two verbs ------------------------------------------------------------------------------------------

    def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
        self._handlers[type(event)](event, now)
        self._send_due(now)
        out, self._out = self._out, []
        return out

    def wake_at(self) -> float | None:
        times = [self._deadline]
        if self._reply is not None and self._reply.released:
            if self._reply.ended:
                times.append(self._reply.played_at())
            elif not self._held:
                times.append(self._reply.next_due_at(self._policy.lead_ms))
        return min((t for t in times if t is not None), default=None)

    # --- the floor ----------------------------------------------------------------------------------------------

    def _signal(self, signal: Signal, now: float) -> None:
        """Take the step that the table lists for (state, signal), if any."""
        step = TABLE.get((self.state, signal))
        if step is None:
            return
        if step.state is not self.state:
            self.state = step.state
            self._deadline = None
        for action in step.actions:
            self._actions[action](now)
        if self.state not in DEADLINE_STATES:
            self._deadline = None

    def _wake(self, _: ev.Wake, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self.state is State.CONTESTED and not self._gate.voiced:
            self._deadline = now + FRAME_SAMPLES / RATE_HZ  # just fallen silent: the next frames decide
            return
        self._signal(Signal.DEADLINE, now)

    def _done(self, now: float) -> None:
        self._reply = self._answering = None
        self._signal(Signal.DONE, now)

    # --- the user's audio ---------------------------------------------------------------------------------------

    def _audio_received(self, event: ev.AudioReceived, _: float) -> None:
        self._received = event.end_sample

    def _frames_heard(self, event: ev.FramesHeard, now: float) -> None:
        if self.settings.turn_detection is None:
            return
        for index, probability in enumerate(event.probabilities):
            first = event.first_sample + index * FRAME_SAMPLES
            self._heard_to = first + FRAME_SAMPLES
            edge = self._gate.push(first, probability)
            if isinstance(edge, Onset):
                self._onset = edge.sample
                self._signal(Signal.SPEECH, now)
            elif isinstance(edge, Offset):
                if self._turn is not None:
                    self._turn.end_sample = edge.sample
                self._signal(Signal.SILENCE, now)
        if self.state is State.HEARING:
            self._while_hearing(now)
        self._forget_old_audio()

    def _forget_old_audio(self) -> None:
        before = self._heard_to - _samples(MAX_COMMIT_MS)
        if self._turn is None and before - self._forgotten >= _samples(FORGET_STEP_MS):
            self._forgotten = before
            self._out.append(ev.ForgetAudio(before))

    def _while_hearing(self, now: float) -> None:
        turn = self._open
        if self._heard_to - turn.start_sample >= _samples(self._policy.max_turn_ms):
            turn.end_sample = self._heard_to
            self._gate.reset()
            self._signal(Signal.COMMIT, now)
        elif self._partial_is_due(turn):
            turn.partials = self._heard_to
            self._transcribe(turn, self._heard_to, final=False)

    def _partial_is_due(self, turn: Turn) -> bool:
        every = _samples(self._policy.partial_every_ms)
        return every > 0 and self._heard_to - turn.partials >= every and not self._listening_to(turn)

    def _open_turn(self, _: float) -> None:
        padding = _samples(self._detection.prefix_padding_ms)
        start = max(self._buffer_start, self._onset - padding)
        self._turn = Turn(self._ids("item"), start, end_sample=self._heard_to, partials=self._onset)
        self._out.append(ev.SpeechStarted(self._turn.item_id, start))

    def _drop_turn(self, _: float) -> None:
        turn = self._open
        self._abandon(turn)
        self._turn = self._asked = None
        self._gate.reset()

    def _commit_audio(self, _: ev.CommitAudio, now: float) -> None:
        available = self._received - self._buffer_start
        if self._turn is None and available < _samples(MIN_COMMIT_MS):
            self._refuse(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {1000 * available / RATE_HZ:.2f}ms of audio.",
            )
        else:
            if self.state is State.HEARING:
                self._open.end_sample = self._heard_to
            self._gate.reset()
            self._signal(Signal.COMMIT, now)

    def _clear_audio(self, _: ev.ClearAudio, now: float) -> None:
        self._signal(Signal.CLEAR, now)
        self._gate.reset()
        self._buffer_start = self._received
        self._out += [
            ev.ForgetAudio(self._received),
            ev.ResetVoiceActivity(),
            ev.AudioCleared(),
        ]

    # --- speculation --------------------------------------------------------------------------------------------

    def _speculate(self, now: float) -> None:
        """The user is silent: prepare the answer as if the turn were over."""
        turn = self._open
        self._abandon(turn)
        heard_ago = max(0, self._heard_to - turn.end_sample) / RATE_HZ
        turn.timeline = Timeline(speech_end=now - heard_ago, tentative_end=now)
        turn.judged = None
        attempt = self._transcribe(turn, max(self._heard_to, turn.end_sample), final=True)
        if self._detection.kind == "semantic_vad":
            self._out.append(ev.Judge(attempt, turn.start_sample, self._heard_to))
        self._arm_endpoint(now)

    def _arm_endpoint(self, _: float) -> None:
        turn = self._open
        assert turn.timeline.speech_end is not None
        wait_ms = endpoint_wait_ms(self._detection, turn.judged, self._policy.min_endpoint_ms)
        self._deadline = turn.timeline.speech_end + wait_ms / 1000

    def _turn_judged(self, event: ev.TurnJudged, now: float) -> None:
        turn = self._turn
        if turn is not None and event.attempt == self._attempts:
            turn.judged = event.probability
            self._signal(Signal.JUDGED, now)

    def _drop_speculation(self, _: float) -> None:
        """The user goes on: as if nothing had been prepared."""
        turn = self._open
        self._abandon(turn)
        turn.transcript = turn.lost = turn.judged = None
        turn.timeline = Timeline()
        if self._reply is not None:
            self._out.append(ev.StopReply(self._reply.id))
            self._reply = self._answering = None

    def _transcribe(self, turn: Turn, end_sample: int, *, final: bool) -> int:
        self._attempts += 1
        self._listening[self._attempts] = turn
        self._out.append(
            ev.Transcribe(
                self._attempts,
                turn.start_sample,
                end_sample,
                self.settings.language,
                self.settings.transcription_prompt,
                final,
            )
        )
        return self._attempts

    def _listening_to(self, turn: Turn) -> list[int]:
        return [attempt for attempt, listened in self._listening.items() if listened is turn]

    def _abandon(self, turn: Turn) -> None:
        for attempt in self._listening_to(turn):
            del self._listening[attempt]
            self._out.append(ev.Abandon(attempt))

    def _transcript_heard(self, event: ev.TranscriptHeard, now: float) -> None:
        turn = self._listening.pop(event.attempt, None)
        if turn is None:
            return
        if not event.final:
            self._stabilise(turn, event.text)
            return
        turn.transcript, turn.language = event.text.strip(), event.language
        turn.timeline = replace(turn.timeline, transcript=now)
        self._settled(turn, now)

    def _transcript_failed(self, event: ev.TranscriptFailed, now: float) -> None:
        turn = self._listening.pop(event.attempt, None)
        if turn is None or (turn is self._turn and self.state is State.HEARING):
            return  # of a partial: the final one will say so too
        turn.lost = event.message
        self._settled(turn, now)

    def _stabilise(self, turn: Turn, text: str) -> None:
        """Tell the client the words that two partials in a row agree on; they are never taken back."""
        words, previous = text.split(), turn.partial_text.split()
        turn.partial_text = text
        agreed = 0
        while agreed < min(len(words), len(previous)) and words[agreed] == previous[agreed]:
            agreed += 1
        stable = " ".join(words[:agreed])
        if stable.startswith(turn.stable_text) and len(stable) > len(turn.stable_text):
            self._out.append(ev.TranscriptDelta(turn.item_id, stable[len(turn.stable_text) :]))
            turn.stable_text = stable

    def _settled(self, turn: Turn, now: float) -> None:
        """The final transcript is there, or was lost, before or after the commit."""
        if turn.committed:
            self._tell_transcript(turn)
            if turn is self._answering:
                self._answer(turn, now)
        elif turn.transcript and self._wants_reply:
            self._answering = turn
            self._begin_reply(self._asked or ev.ReplyOptions(), turn)

    # --- commit -------------------------------------------------------------------------------------------------

    def _commit_turn(self, now: float) -> None:
        turn, self._turn = self._open, None
        turn.committed = True
        turn.timeline = replace(turn.timeline, commit=now)
        self._out.append(ev.SpeechStopped(turn.item_id, turn.end_sample))
        self._add_user_item(turn)
        self._answering = turn

    def _commit_buffer(self, now: float) -> None:
        """Push to talk: everything since the last commit is the turn."""
        start = max(self._buffer_start, self._received - _samples(MAX_COMMIT_MS))
        if self.settings.turn_detection is None:
            start = self._buffer_start
        turn = Turn(self._ids("item"), start, end_sample=self._received, committed=True)
        turn.timeline = Timeline(speech_end=now, tentative_end=now, commit=now)
        self._transcribe(turn, self._received, final=True)
        self._add_user_item(turn)
        if self._wants_reply_by_itself and self._active is None:
            self._options = ev.ReplyOptions()
            self._signal(Signal.ASK, now)

    def _add_user_item(self, turn: Turn) -> None:
        item = ev.Item(turn.item_id, "user", "audio", None)
        after = self.history.add(item)
        self._out += [ev.AudioCommitted(item, after)]
        self._buffer_start = max(turn.end_sample, self._heard_to)
        self._buffer_start = self._received if self.settings.turn_detection is None else self._buffer_start
        if turn.settled:
            self._tell_transcript(turn)

    def _tell_transcript(self, turn: Turn) -> None:
        if turn.transcript is None:
            self.history.update(turn.item_id, text="", status="completed")
            self._out.append(ev.TranscriptLost(turn.item_id, turn.lost or ""))
            return
        self.history.update(turn.item_id, text=turn.transcript, status="completed")
        if turn.transcript.startswith(turn.stable_text) and turn.transcript != turn.stable_text:
            self._out.append(ev.TranscriptDelta(turn.item_id, turn.transcript[len(turn.stable_text) :]))
        seconds = (turn.end_sample - turn.start_sample) / RATE_HZ
        self._out.append(ev.TranscriptDone(turn.item_id, turn.transcript, seconds))

    # --- replies ------------------------------------------------------------------------------------------------

    @property
    def _wants_reply_by_itself(self) -> bool:
        detection = self.settings.turn_detection
        return detection is not None and detection.create_response

    @property
    def _wants_reply(self) -> bool:
        return self._asked is not None or self._wants_reply_by_itself

    def _release(self, now: float) -> None:
        """After the commit: what was prepared may leave; what is not there yet will be waited for."""
        turn = self._answering
        assert turn is not None
        wanted = self._wants_reply
        options, self._asked = self._asked or ev.ReplyOptions(), None
        self._options = options
        if not wanted:
            self._done(now)
        elif self._reply is not None:
            self._tell_started(self._reply)
        elif turn.settled:
            self._answer(turn, now)

    def _answer(self, turn: Turn, now: float) -> None:
        """The committed turn's transcript came (or was lost) after the commit."""
        if turn.lost is not None:
            if self._reply is None:
                self._tell_started(self._new_reply(self._options))
            self._fail(self._live_reply, turn.lost)
        elif self._reply is not None:  # the client asked for it, it waited for the words
            self._respond(self._reply, turn)
        elif turn.transcript:
            self._tell_started(self._begin_reply(self._options, turn))
        else:
            self._done(now)

    def _remember_ask(self, _: float) -> None:
        """The reply comes when the turn is over; one that was begun with other options is begun again."""
        self._asked = self._options
        turn = self._open
        if self._reply is not None and replace(self._asked, request=None) != ev.ReplyOptions():
            self._out.append(ev.StopReply(self._reply.id))
            self._begin_reply(self._asked, turn)

    def _start_reply(self, _: float) -> None:
        """The client wants a reply now: to its last words, when they are known."""
        reply = self._new_reply(self._options)
        self._answering = next((t for t in reversed(self._listening.values()) if t.committed), None)
        self._tell_started(reply)
        if self._answering is None:
            self._respond(reply, None)

    def _begin_reply(self, options: ev.ReplyOptions, turn: Turn) -> Reply:
        reply = self._new_reply(options)
        self._respond(reply, turn)
        return reply

    def _new_reply(self, options: ev.ReplyOptions) -> Reply:
        self._options = options
        modality = options.modality or self.settings.modality
        voice = options.voice or self.settings.voice
        reply_id, item_id = self._ids("resp"), self._ids("item")
        free_at = self._reply.played_at() if self._reply is not None else -math.inf
        self._reply = Reply(reply_id, item_id, modality, voice, self._policy.chunk_ms, free_at)
        return self._reply

    def _respond(self, reply: Reply, turn: Turn | None) -> None:
        instructions = self._options.instructions
        messages = self.history.messages(self.settings.instructions if instructions is None else instructions)
        if turn is not None and not turn.committed and turn.transcript:
            messages += (("user", turn.transcript),)
        language = turn.language if turn is not None else self.settings.language
        self._out.append(ev.Respond(reply.id, messages, language, self._max_tokens))

    @property
    def _max_tokens(self) -> int | None:
        return self._options.max_output_tokens or self.settings.max_output_tokens

    def _tell_started(self, reply: Reply) -> None:
        reply.released = True
        reply.after = self.history.last_id
        self.history.add(ev.Item(reply.item_id, "assistant", reply.modality, "", "in_progress"))
        self._spoken[reply.item_id] = reply
        if len(self._spoken) > REMEMBERED_REPLIES:
            self._spoken.popitem(last=False)
        self._out.append(
            ev.ReplyStarted(
                reply.id,
                reply.item_id,
                reply.after,
                reply.modality,
                reply.voice,
                self._max_tokens,
                self._options.request,
            )
        )

    def _reply_text(self, event: ev.ReplyText, now: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None:
            self._stamp(first_token=now)
            self._speak(reply, reply.add_text(event.delta), now)

    def _reply_text_ended(self, event: ev.ReplyTextEnded, now: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None:
            self._speak(reply, reply.end_text(), now)

    def _speak(self, reply: Reply, phrases: list[NewPhrase], now: float) -> None:
        if phrases:
            self._stamp(first_phrase=now)
        if reply.modality == "audio":
            speed = self.settings.speed
            self._out += [ev.Speak(reply.id, p.index, p.text, reply.voice, speed) for p in phrases]

    def _phrase_audio(self, event: ev.PhraseAudio, now: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None:
            reply.add_audio(event)
            self._stamp(first_audio=now)

    def _phrase_ended(self, event: ev.PhraseEnded, _: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None:
            reply.end_phrase(event.phrase)

    def _reply_failed(self, event: ev.ReplyFailed, _: float) -> None:
        reply = self._live(event.reply_id)
        if reply is not None:
            self._fail(reply, f"{event.engine}: {event.message}")

    def _fail(self, reply: Reply, message: str) -> None:
        """A speculative reply fails when it is released: the client may know nothing of it before."""
        reply.failure = message
        reply.discard()
        if not reply.released:
            self._out.append(ev.StopReply(reply.id))

    @property
    def _active(self) -> Reply | None:
        """The reply that the client knows of and that has not ended."""
        reply = self._reply
        return reply if reply is not None and reply.released and not reply.ended else None

    def _live(self, reply_id: str) -> Reply | None:
        """The reply with this id, if its engines' results are still wanted."""
        reply = self._reply
        if reply is None or reply.id != reply_id or reply.ended or reply.failure is not None:
            return None
        return reply

    def _stamp(self, **at: float) -> None:
        """Set stamps of the answered turn that are not set yet."""
        turn = self._answering
        if turn is not None:
            new = {name: when for name, when in at.items() if getattr(turn.timeline, name) is None}
            turn.timeline = replace(turn.timeline, **new)

    # --- sending and ending -------------------------------------------------------------------------------------

    @property
    def _held(self) -> bool:
        """During a contest nothing more leaves, so that a real interruption is heard at once."""
        return self.state is State.CONTESTED and self._detection.interrupt_response

    def _send_due(self, now: float) -> None:
        reply = self._reply
        if reply is None or not reply.released:
            return
        if not reply.ended:
            self._send_and_end(reply, now)
        if reply.ended and reply is self._reply and now >= reply.played_at():
            self._done(now)

    def _send_and_end(self, reply: Reply, now: float) -> None:
        if reply.failure is not None:
            self._end(reply, now, "failed", None)
            return
        if self._held:
            return
        notices = reply.due(now, self._policy.lead_ms)
        if any(isinstance(notice, ev.ReplyAudioDelta) for notice in notices):
            self._stamp(first_sent=now)
        self._out += notices
        if reply.all_sent:
            self._end(reply, now, "completed", None)

    def _end(
        self,
        reply: Reply,
        now: float,
        status: Literal["completed", "cancelled", "failed"],
        reason: Literal["turn_detected", "client_cancelled"] | None,
    ) -> None:
        """The one end of a reply that the client knows of."""
        reply.ended = True
        reply.discard()
        text = reply.sent_text if status == "completed" else reply.heard_text(reply.ledger.heard_ms(now))
        self.history.update(reply.item_id, text=text, status="completed" if status == "completed" else "incomplete")
        turn = self._answering
        self._out += [
            ev.StopReply(reply.id),
            ev.ReplyEnded(
                reply.id,
                status,
                reason,
                reply.sent_text,
                reply.audio_ms,
                reply.failure,
                turn.timeline if turn is not None else None,
            ),
        ]

    def _stop_reply(self, now: float, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        reply, self._reply = self._reply, None
        self._answering = None
        if reply is None:
            return
        if not reply.ended:
            self._end(reply, now, "cancelled", reason)
        else:  # all was sent, but not all was heard
            heard = reply.heard_text(reply.ledger.heard_ms(now))
            self.history.update(reply.item_id, text=heard, status="incomplete")

    def _contest(self, now: float) -> None:
        if self._detection.interrupt_response:
            heard_ago = (self._heard_to - self._onset) / RATE_HZ
            self._deadline = now - heard_ago + self._policy.contest_ms / 1000

    def _interrupt(self, now: float) -> None:
        self._stop_reply(now, "turn_detected")

    def _cancel_reply(self, now: float) -> None:
        self._stop_reply(now, "client_cancelled")

    # --- the client's requests ----------------------------------------------------------------------------------

    def _configure(self, event: ev.Configure, now: float) -> None:
        before, self.settings = self.settings.turn_detection, event.settings
        if self.settings.turn_detection is not None:
            self._gate.threshold = self.settings.turn_detection.threshold
        elif before is not None:  # the client ends turns from now on: an open one goes on in its buffer
            self._signal(Signal.CLEAR, now)
            self._gate.reset()
        self._out.append(ev.Configured())

    def _create_reply(self, event: ev.CreateReply, now: float) -> None:
        if (reply := self._active) is not None:
            self._refuse(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {reply.id}. Wait until the response is "
                "finished before creating a new one.",
            )
            return
        self._options = event.options
        self._signal(Signal.ASK, now)

    def _cancel(self, event: ev.CancelReply, now: float) -> None:
        reply = self._active
        if reply is None or event.reply_id not in (None, reply.id):
            self._refuse("response_cancel_not_active", "Cancellation failed: no active response found")
        else:
            self._signal(Signal.CANCEL, now)

    def _add_item(self, event: ev.AddItem, _: float) -> None:
        if event.item.id in self.history:
            self._refuse(
                "item_create_duplicate_item_id",
                f"Error adding item: the item with id '{event.item.id}' already exists.",
                "item.id",
            )
            return
        try:
            after = self.history.add(event.item, event.after)
        except KeyError:
            self._refuse(
                "item_create_invalid_previous_item_id",
                f"Error adding item: the previous item with id '{event.after}' does not exist.",
                "previous_item_id",
            )
            return
        self._out.append(ev.ItemAdded(event.item, after))

    def _delete_item(self, event: ev.DeleteItem, _: float) -> None:
        if event.item_id not in self.history:
            self._refuse(
                "item_delete_invalid_item_id",
                f"Error deleting item: the item with id '{event.item_id}' does not exist.",
                "item_id",
            )
            return
        self.history.delete(event.item_id)
        self._out.append(ev.ItemDeleted(event.item_id))

    def _truncate_item(self, event: ev.TruncateItem, now: float) -> None:
        item = self.history.get(event.item_id)
        if item is None:
            self._refuse(
                "item_truncate_invalid_item_id",
                f"Error truncating item: the item with id '{event.item_id}' does not exist.",
                "item_id",
            )
        elif item.role != "assistant" or item.modality != "audio" or item.id not in self._spoken:
            self._refuse(
                "unsupported_content_type",
                f"Error truncating item: the item with id '{event.item_id}' is not spoken by the assistant.",
                "item_id",
            )
        else:
            self._truncate_spoken(self._spoken[item.id], event.audio_end_ms, now)

    def _truncate_spoken(self, reply: Reply, audio_end_ms: int, now: float) -> None:
        """The client knows best what it played. Of a reply still being sent it also means: stop."""
        if reply is self._active:
            self._signal(Signal.CANCEL, now)
        heard_ms = min(audio_end_ms, reply.audio_ms)
        text = reply.heard_text(heard_ms)
        self.history.update(reply.item_id, text=text, status="incomplete")
        self._out.append(ev.ItemTruncated(reply.item_id, heard_ms, text))

    def _refuse(self, code: str, message: str, param: str | None = None) -> None:
        self._out.append(ev.Refused(code, message, param))

    # --- small things -------------------------------------------------------------------------------------------

    @property
    def _detection(self) -> ev.TurnDetection:
        detection = self.settings.turn_detection
        assert detection is not None
        return detection

    @property
    def _open(self) -> Turn:
        assert self._turn is not None
        return self._turn

    @property
    def _live_reply(self) -> Reply:
        assert self._reply is not None
        return self._reply

    def _make_handlers(self) -> dict[type[ev.Event], Callable[[ev.Event, float], None]]:
        handlers: dict[type[ev.Event], object] = {
            ev.Configure: self._configure,
            ev.AudioReceived: self._audio_received,
            ev.CommitAudio: self._commit_audio,
            ev.ClearAudio: self._clear_audio,
            ev.AddItem: self._add_item,
            ev.DeleteItem: self._delete_item,
            ev.TruncateItem: self._truncate_item,
            ev.CreateReply: self._create_reply,
            ev.CancelReply: self._cancel,
            ev.FramesHeard: self._frames_heard,
            ev.TurnJudged: self._turn_judged,
            ev.TranscriptHeard: self._transcript_heard,
            ev.TranscriptFailed: self._transcript_failed,
            ev.ReplyText: self._reply_text,
            ev.ReplyTextEnded: self._reply_text_ended,
            ev.PhraseAudio: self._phrase_audio,
            ev.PhraseEnded: self._phrase_ended,
            ev.ReplyFailed: self._reply_failed,
            ev.Wake: self._wake,
        }
        return handlers  # type: ignore[return-value]  # each handler takes the very type that it is listed for


def _samples(ms: float) -> int:
    return round(ms * RATE_HZ / 1000)
