"""A conversation: events in, commands out.

Knows: the floor, its deadline, and what each step of the floor's table means for the user's side (`listener`) and the
assistant's (`replies`, and beside the conversation `asides`). Does not know: sockets, JSON, models, threads, clocks.
All state of a session is in these; the same events at the same times give the same commands.

    receive(event, now) -> commands      what happened -> what to do, in order
    wake_at() -> float | None            send a Wake then, if nothing else comes first
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from voxtral_voice.audio.echo import ECHO
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.asides import MOST, Asides
from voxtral_voice.conversation.contest import OVER_MS, Kind, Sound, Verdict, kind_of, look_again_ms, verdict
from voxtral_voice.conversation.endpoint import endpoint_wait_ms, odds_of_ending
from voxtral_voice.conversation.floor import DEADLINE_STATES, TABLE, Action, Signal, State
from voxtral_voice.conversation.gate import FRAME_MS, FRAME_SAMPLES, Offset, Onset
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.kept import Saying
from voxtral_voice.conversation.listener import Listener, Turn
from voxtral_voice.conversation.overheard import UNKNOWN_DB, Overheard
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.replies import Replies
from voxtral_voice.conversation.reply import Reply

MIN_COMMIT_MS: Final = 100
"""Shortest audio that the client may commit (OpenAI Realtime API)."""
CONTEST_GRACE_S: Final = 0.15
"""A contest is decided without the user's audio when it is so late."""
MOST_WAITS: Final = 6
"""A deadline is put off so often, by two frames each, for what may be a sound."""
IDLE_AGAIN_S: Final = 0.2
"""So long an idle timeout is put off for a sound."""
MOST_TURNS: Final = 16
"""Turns whose words are not there yet, beyond which the client may not commit more: each holds its audio."""
MOST_SOUNDS: Final = 8
"""Items of the client's whose audio is to be transcribed: each may have 120 s of it."""
NO_INTERRUPTION: Final = (Verdict.BACKCHANNEL, Verdict.NOISE)
SAID: Final = frozenset({Kind.STRONG, Kind.DENIAL, Kind.WORDS, Kind.WORD})
"""A sound with these during a reply that may not be interrupted is a turn after it."""

ReplyWork = ev.ReplyText | ev.ReplyCall | ev.ReplyTextEnded | ev.PhraseAudio | ev.PhraseEnded | ev.ReplyFailed


class Session:
    """ids("item") and ids("resp") give new ids; the session asks for nothing else from outside."""

    def __init__(self, settings: ev.Settings, ids: Callable[[str], str], policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._out: list[ev.Command] = []
        self.settings = settings
        self.state = State.OPEN
        self.history = History(self._policy.max_items, self._policy.max_history_chars)
        self._listener = Listener(settings, ids, self._policy, self.history, self._out)
        self._replies = Replies(settings, ids, self._policy, self.history, self._out)
        self._asides = Asides(settings, ids, self._policy, self.history, self._out)
        self._deadline: float | None = None
        self._idle_at: float | None = None
        """When the client's idle timeout is reached."""
        self._heard_at = 0.0
        """When voice activity last said something."""
        self._ask = ev.ReplyOptions()
        """Of the ASK that is being signalled."""
        self._asked: ev.ReplyOptions | None = None
        """Of an ASK that waits for the user's turn to end."""
        self._next: ev.ReplyOptions | None = None
        """Of an ASK that waits for the end of a reply which has called a tool."""
        self._handlers = self._make_handlers()
        self._actions = self._make_actions()

    # --- the two verbs ------------------------------------------------------------------------------------------

    def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
        self._handlers[type(event)](event, now)
        self._go_on_if_due(now)
        self._send_due(now)
        if self.state is State.OPEN and self._listener.overheard_waits:
            self._signal(Signal.SPEECH, now)
        if self.state is State.HEARING and not self._listener.speaking:  # what was heard during a reply is over already
            self._signal(Signal.SILENCE, now)
        if (due := self._begin_at()) is not None and now >= due:
            self._prepare(self._asked or ev.ReplyOptions(), self._listener.open)
        commands = self._out.copy()
        self._out.clear()
        return commands

    def wake_at(self) -> float | None:
        times = (
            self._deadline,
            self._begin_at(),
            self._stalls_at(),
            self._idle_at,
            self._replies.wake_at(held=self._held),
            self._asides.wake_at(),
        )
        return min((t for t in times if t is not None), default=None)

    @property
    def at_rest(self) -> bool:
        """Nobody says anything, and nothing that was said or asked waits for its words or its answer."""
        return self.state is State.OPEN and not self._listener.awaited() and not self._asides.any

    @property
    def all_taken_in(self) -> bool:
        """Nothing that the client has sent is still to become part of the conversation."""
        listener, asks = self._listener, (self._asked, self._next)
        buffered = self.settings.turn_detection is None and listener.uncommitted_ms > 0
        heard = listener.turn is None and listener.overheard is None and not listener.sounding and not buffered
        return heard and not listener.awaited() and asks == (None, None) and not self._asides.any

    def kept(self) -> ev.Restored:
        """What another server needs to go on. Not what the client has sent and what is not `all_taken_in`."""
        return self._replies.kept()

    def being_said(self) -> Saying | None:
        """To go on at another word than `kept` does (`kept.heard_to`)."""
        return self._replies.being_said()

    def facts(self, event: ev.TranscriptHeard) -> ev.WordFacts:
        """What would be decided by its words if it were received now. Changes nothing."""
        if event.facts is not None:
            return event.facts
        if self._listener.awaits_words_of_sound(event.attempt):
            return ev.WordFacts(kind=kind_of(event.text, event.language, self._replies.saying))
        if event.final:
            words = event.text.strip()
            return ev.WordFacts(ending=odds_of_ending(words), parked=self._replies.has_parked(words))
        return ev.WordFacts()

    # --- the floor ----------------------------------------------------------------------------------------------

    def _signal(self, signal: Signal, now: float) -> None:
        """Take the step that the table lists for (state, signal), if any."""
        step = TABLE.get((self.state, signal))
        if step is None:
            return
        if step.state is not self.state:
            self.state = step.state
            self._deadline = self._idle_at = None
            self._out.append(ev.FloorChanged(step.state.value))
        for action in step.actions:
            self._actions[action](now)
        if self.state not in DEADLINE_STATES:
            self._deadline = None

    def _wake(self, _: ev.Wake, now: float) -> None:
        if (idle_at := self._idle_at) is not None and now >= idle_at:
            self._reach_idle(now)
        if (stalls_at := self._stalls_at()) is not None and now >= stalls_at:
            self._listener.end_here()
            self._signal(Signal.SILENCE, now)
        if self._deadline is None or now < self._deadline:
            return
        if self.state is State.SETTLING and self._waits_for_a_sound(now):
            self._deadline = now + 2 * FRAME_MS / 1000
        elif self.state is State.SETTLING:
            self._signal(Signal.DEADLINE, now)
        else:
            self._decide_contest(now)

    def _waits_for_a_sound(self, now: float) -> bool:
        """At the deadline something sounds: the next frames tell whether the user goes on. Not for ever."""
        turn = self._listener.open
        if turn.waited >= MOST_WAITS or not self._listener.sounding or self._unheard_ms(now):
            return False
        turn.waited += 1
        return True

    def _reach_idle(self, now: float) -> None:
        """Unless somebody is about to speak."""
        if self._listener.sounding or self._listener.overheard is not None:
            self._idle_at = now + IDLE_AGAIN_S
        else:
            self._idle_at = None
            self._signal(Signal.IDLE, now)

    def _stalls_at(self) -> float | None:
        """When speech of which no more audio comes counts as fallen silent."""
        return self._heard_at + self._policy.stall_ms / 1000 if self.state is State.HEARING else None

    def _send_due(self, now: float) -> None:
        played = self._replies.send_due(now, held=self._held)
        if self._next is not None and self._replies.active is None:
            self._ask, self._next = self._next, None
            self._signal(Signal.ASK, now)
        elif played:
            self._done(now)
        self._asides.send_due(now)

    def _done(self, now: float) -> None:
        self._replies.current = self._replies.answering = None
        self._signal(Signal.DONE, now)
        if self.state is State.OPEN:
            self._await_idle(now)

    def _await_idle(self, now: float) -> None:
        """From when a reply was played to its end; and anew when a sound turned out to be nothing."""
        detection = self.settings.turn_detection
        wanted = detection is not None and detection.create_response and self._replies.any_yet
        idle_ms = detection.idle_timeout_ms if detection is not None and wanted else None
        self._idle_at = None if idle_ms is None else now + idle_ms / 1000

    @property
    def _held(self) -> bool:
        """During a contest nothing more leaves, so that a real interruption is heard at once."""
        return self.state is State.CONTESTED and self._interrupts

    @property
    def _interrupts(self) -> bool:
        """Speech during a reply may stop it."""
        return self._listener.detection.interrupt_response

    def _reconnected(self, event: ev.Reconnected, now: float) -> None:
        self._replies.reconnected(event, now)

    # --- the user speaks ----------------------------------------------------------------------------------------

    def _audio_received(self, event: ev.AudioReceived, _: float) -> None:
        self._listener.received = event.end_sample

    def _frames_heard(self, event: ev.FramesHeard, now: float) -> None:
        if self.settings.turn_detection is None:
            return
        self._heard_at = now
        for index, probability in enumerate(event.probabilities):
            level_db = event.levels_db[index] if event.levels_db else UNKNOWN_DB
            ours = bool(event.echoes) and event.echoes[index] >= ECHO
            sample = event.first_sample + index * FRAME_SAMPLES
            heard = 0.0 if ours or self._listener.is_committed(sample + FRAME_SAMPLES) else probability
            self._edge(self._listener.hear(sample, heard, level_db), now)
            self._overhear(now)
        if self.state is State.HEARING:
            self._go_on_hearing(now)
        elif self.state is State.SETTLING:
            self._listener.judge_if_due()
        self._listener.forget_old_audio()

    def _edge(self, edge: Onset | Offset | None, now: float) -> None:
        over_a_reply = self.state in (State.REPLYING, State.CONTESTED)
        if isinstance(edge, Onset):
            if over_a_reply:
                self._listener.overhear()
            if not (over_a_reply and self._interrupts):
                self._signal(Signal.SPEECH, now)
        elif isinstance(edge, Offset):
            if over_a_reply and not (self._listener.overheard is not None and self._interrupts):
                self._signal(Signal.GO_ON, now)
            self._signal(Signal.SILENCE, now)

    def _go_on_hearing(self, now: float) -> None:
        if self._listener.is_overlong():
            self._listener.end_here()
            self._signal(Signal.COMMIT, now)
            return
        self._listener.transcribe_partial_if_due()
        if self._listener.spoken_on_ms >= self._policy.park_ms and self._replies.drop_parked():
            self._listener.open.dropped += 1

    # --- a sound during the reply: was that for me? -------------------------------------------------------------

    def _overhear(self, now: float, later_ms: float = 0.0) -> None:
        """What is known of the sound now decides, each time anew. later_ms: silence of which there were no frames."""
        heard = self._listener.overheard
        if heard is None or heard.waits:
            return
        sound = heard.sound(usual_db=self._listener.usual_db, later_ms=later_ms)
        found = verdict(sound, self._listener.detection.patience)
        if self._is_for_us(heard, sound.kind, found):
            self._make_way(now)
            return
        if self._interrupts:
            self._contest(sound, found, now)
        waits_ms = self._policy.sound_gap_ms if heard.attempt is None else self._policy.late_words_ms
        if sound.silent_ms >= waits_ms:
            self._listener.forget_sound()
        self._listener.transcribe_sound_if_due()

    def _is_for_us(self, heard: Overheard, kind: Kind, found: Verdict) -> bool:
        if self.state is State.OPEN:  # the reply is over meanwhile
            return heard.attempt is None and not (heard.has_words and found in NO_INTERRUPTION)
        return found is Verdict.INTERRUPTION or (kind in SAID and not self._interrupts)

    def _make_way(self, now: float) -> None:
        """For the turn that the sound begins: at once, or when the reply is over."""
        if self.state is State.OPEN:
            self._signal(Signal.SPEECH, now)
        elif self._interrupts:
            self._signal(Signal.YIELD, now)
        else:
            self._listener.keep_sound()

    def _contest(self, sound: Sound, found: Verdict, now: float) -> None:
        if found is Verdict.UNDECIDED and sound.silent_ms < OVER_MS and self.state is not State.OPEN:
            patience = self._listener.detection.patience
            self._signal(Signal.SPEECH, now)
            self._arm_contest((look_again_ms(sound, patience) or sound.elapsed_ms) - sound.elapsed_ms, now)
        else:
            self._signal(Signal.GO_ON, now)

    def _arm_contest(self, undecided_ms: float, now: float) -> None:
        self._deadline = now + undecided_ms / 1000 + CONTEST_GRACE_S

    def _decide_contest(self, now: float) -> None:
        """No frames came, or not enough of them: the sound is over."""
        self._overhear(now, self._unheard_ms(now))
        self._signal(Signal.GO_ON, now)

    def _unheard_ms(self, now: float) -> float:
        """Time of which voice activity has told nothing, when that is more than its frames take."""
        since_ms = 1000 * (now - self._heard_at)
        return since_ms if since_ms > 4 * FRAME_MS else 0.0

    def _open_turn(self, _: float) -> None:
        self._listener.open_turn()

    def _drop_turn(self, now: float) -> None:
        """A reply that was asked for meanwhile has nothing more to wait for."""
        self._listener.drop_turn()
        self._replies.forget_cut()
        if self._asked is not None:
            self._ask, self._asked = self._asked, None
            self._signal(Signal.ASK, now)

    def _commit_audio(self, _: ev.CommitAudio, now: float) -> None:
        available_ms = self._listener.uncommitted_ms
        if self._listener.pending(given=False) >= MOST_TURNS:
            message = f"{MOST_TURNS} turns wait for their words already. Wait until one has them."
            self._refuse("rate_limit_exceeded", message)
        elif self._listener.turn is None and available_ms < MIN_COMMIT_MS:
            self._refuse(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {available_ms:.2f}ms of audio.",
            )
        else:
            self._listener.end_here()
            self._signal(Signal.COMMIT, now)

    def _clear_audio(self, _: ev.ClearAudio, now: float) -> None:
        self._signal(Signal.CLEAR, now)
        self._listener.clear()

    # --- is the turn over? --------------------------------------------------------------------------------------

    def _speculate(self, now: float) -> None:
        turn = self._listener.settle(now, min(now, self._heard_at))
        if self._policy.listens and self._wants_reply:
            attempt, language = self._listener.next_attempt, self.settings.language
            self._out.append(self._replies.preparation(attempt, turn.sound, language))
        self._listener.transcribe_turn()
        self._arm_endpoint(now)

    def _arm_endpoint(self, _: float) -> None:
        turn = self._listener.open
        assert turn.timeline.speech_end is not None
        wait_ms = endpoint_wait_ms(self._listener.detection, self._listener.signals())
        self._deadline = turn.timeline.speech_end + wait_ms / 1000

    def _begin_at(self) -> float | None:
        """When the answer to a turn that may be over is prepared; None: it is, or need not be."""
        turn, deadline = self._listener.turn, self._deadline
        if self.state is not State.SETTLING or turn is None or deadline is None or self._replies.current is not None:
            return None
        if not turn.prepared or not self._wants_reply or turn.dropped >= self._policy.max_dropped:
            return None
        if turn.transcript == "":
            return None
        if self._missing(self._asked or ev.ReplyOptions()):
            return None
        return deadline - self._policy.begin_before_ms / 1000

    def _turn_judged(self, event: ev.TurnJudged, now: float) -> None:
        if self._listener.judged(event):
            self._signal(Signal.JUDGED, now)

    def _words_judged(self, event: ev.WordsJudged, now: float) -> None:
        if self._listener.words_judged(event):
            self._signal(Signal.JUDGED, now)

    def _park_speculation(self, _: float) -> None:
        """What the responder answered as it heard it is dropped: nobody could tell if more sound is more words."""
        self._listener.go_on()
        if not self._policy.listens:
            self._replies.park()
        elif self._replies.current is not None:
            self._listener.open.dropped += 1
            self._replies.drop()

    def _drop_speculation(self, _: float) -> None:
        self._replies.drop()

    def _transcript_heard(self, event: ev.TranscriptHeard, now: float) -> None:
        event = replace(event, facts=self.facts(event))
        if self._listener.sound_transcript(event):
            self._overhear(now, self._unheard_ms(now))
            return
        turn = self._listener.transcript(event, now)
        if turn is not None:
            self._settled(turn, now)
        elif (partial := self._listener.partial(event)) is not None:
            self._out.append(self._replies.preparation(event.attempt, partial, event.language))

    def _transcript_failed(self, event: ev.TranscriptFailed, now: float) -> None:
        if self._listener.sound_failed(event):
            return
        turn = self._listener.transcript_failed(event)
        if turn is not None:
            self._settled(turn, now)

    def _settled(self, turn: Turn, now: float) -> None:
        """The final transcript is there, or was lost, before or after the commit."""
        if turn.committed:
            self._listener.tell_transcript(turn)
        else:
            self._expect(turn, now)

    def _expect(self, turn: Turn, now: float) -> None:
        """The words of a turn that may be over: have the responder read them, unless it has heard them itself, or their
        answer is there already."""
        if self._replies.parked is not None and not self._replies.unpark(turn, now):
            turn.dropped += 1
        if turn.transcript and self._wants_reply and not self._policy.listens:
            self._out.append(self._replies.preparation(turn.attempt, turn.transcript, turn.language))
        if turn.transcript == "":
            self._replies.drop()
        self._signal(Signal.JUDGED, now)

    # --- the reply ----------------------------------------------------------------------------------------------

    @property
    def _wants_reply_by_itself(self) -> bool:
        detection = self.settings.turn_detection
        return detection is not None and detection.create_response

    @property
    def _wants_reply(self) -> bool:
        return self._asked is not None or self._wants_reply_by_itself

    def _commit_turn(self, now: float) -> None:
        self._replies.answering = self._listener.commit_turn(now)

    def _commit_buffer(self, now: float) -> None:
        self._listener.commit_buffer(now)
        if self._wants_reply_by_itself and self._replies.active is None:
            self._ask = self._take_ask() or ev.ReplyOptions()
            self._signal(Signal.ASK, now)

    def _commit_silence(self, now: float) -> None:
        self._listener.commit_silence()
        self._ask = ev.ReplyOptions()
        self._signal(Signal.ASK, now)

    def _release(self, now: float) -> None:
        """After the commit: what was prepared may leave; what is not there yet will be waited for."""
        turn = self._replies.answering
        assert turn is not None
        if not self._wants_reply:
            self._replies.drop()
            self._replies.forget_cut()
            self._done(now)
        elif (reply := self._replies.current) is not None:
            turn.heard = reply.listens
            self._replies.release((self._take_ask() or ev.ReplyOptions()).request)
        else:
            self._answer_if_due(now)

    def _go_on_if_due(self, now: float) -> None:
        """What waits for words, and has them now."""
        self._asides.go_on(lambda options: not self._missing(options))
        if (reply := self._replies.waiting) is None:
            self._answer_if_due(now)
        else:
            self._go_on_with(reply)

    def _go_on_with(self, reply: Reply) -> None:
        """The client was told of it; it waits for words."""
        turn = self._replies.answering
        listens = turn is not None and self._listens_to(turn, reply.options)
        if turn is not None and turn.lost is not None and not (listens or turn.heard):
            self._replies.fail("transcriber", turn.lost)
        elif not self._missing(reply.options, turn if listens else None):
            self._replies.go_on(listens=listens)

    def _answer_if_due(self, now: float) -> None:
        """A turn that is over, when its words are there, or need not be, and those before it."""
        turn = self._replies.answering
        if turn is None or not self._replies.awaits_words:
            return
        options = self._awaited_ask or ev.ReplyOptions()
        listens = self._listens_to(turn, options)
        if not (turn.settled or listens):
            return
        hopeless = not turn.transcript and not listens
        if hopeless or not self._missing(options, turn):
            self._answer(turn, self._take_ask(), now)

    def _listens_to(self, turn: Turn, options: ev.ReplyOptions) -> bool:
        """The responder hears the turn itself, so that nothing waits for its words. It hears only what stands behind
        all else that it is shown."""
        last = self.history.shows_last(turn.item_id, options.input) if turn.committed else options.input is None
        return last and self._listener.can_be_heard(turn)

    @property
    def _awaited_ask(self) -> ev.ReplyOptions | None:
        """What the client asked for meanwhile; also while a reply went on that was interrupted just now."""
        return self._next if self._asked is None and self._replies.active is None else self._asked

    def _take_ask(self) -> ev.ReplyOptions | None:
        """That, once."""
        asked = self._awaited_ask
        if asked is self._asked:
            self._asked = None
        else:
            self._next = None
        return asked

    def _answer(self, turn: Turn, asked: ev.ReplyOptions | None, now: float) -> None:
        """The reply to a committed turn is due. asked: what the client wants of it, if it has said so."""
        options = asked or ev.ReplyOptions()
        if turn.transcript or self._listens_to(turn, options):
            if not self._replies.unpark(turn, now):
                self._prepare(options, turn)
            self._replies.release(options.request)
        elif turn.lost is not None:
            self._replies.start(options, turn, waits=True)
            self._replies.fail("transcriber", turn.lost)
        else:
            self._replies.drop_parked()
            self._answer_nothing(asked, now)

    def _prepare(self, options: ev.ReplyOptions, turn: Turn) -> None:
        self._replies.prepare(options, turn, listens=self._listens_to(turn, options))

    def _answer_nothing(self, asked: ev.ReplyOptions | None, now: float) -> None:
        """The turn has no words. What it interrupted goes on or begins again, else there is nothing to say."""
        if asked is not None:
            self._replies.start(asked, None, waits=bool(self._missing(asked)))
        elif not self._replies.resume():
            again = self._replies.take_cut()
            self._done(now)
            if again is not None:
                self._ask = again
                self._signal(Signal.ASK, now)

    def _remember_ask(self, _: float) -> None:
        """The reply comes when the turn is over; one that was prepared with other options is prepared again."""
        self._asked = self._ask
        if replace(self._asked, request=None) != ev.ReplyOptions():
            self._prepare_again()

    def _restored(self, event: ev.Restored, now: float) -> None:
        for entry in event.history:
            self.history.add(entry)
        if event.rest:
            self._replies.take_over(event)
            self._signal(Signal.REST, now)
        elif event.owed:
            self._ask = ev.ReplyOptions()
            self._signal(Signal.ASK, now)

    def _recite_rest(self, _: float) -> None:
        self._replies.resume()

    def _start_reply(self, _: float) -> None:
        """The client wants a reply now."""
        missing = self._missing(self._ask)
        self._replies.start(self._ask, self._asker(self._ask, missing), waits=bool(missing))

    def _missing(self, options: ev.ReplyOptions, but: Turn | None = None) -> list[Turn]:
        """What the reply is to see, and whose words are not there yet. Not what was deleted, nor `but`."""
        awaited = self._listener.awaited()
        said = self._said(options) if awaited else []
        return [turn for turn in awaited if turn.item_id in said and turn is not but]

    def _asker(self, options: ev.ReplyOptions, missing: list[Turn]) -> Turn | None:
        """The one of them that is the last said, so that there is no answer without its words."""
        return next((turn for turn in missing if turn.item_id == self._said(options)[-1]), None)

    def _said(self, options: ev.ReplyOptions) -> list[str]:
        """What of the user's the reply sees, by id, in order; and what else has no words yet."""
        if options.input is None:
            items = (item for item in self.history if isinstance(item, ev.Item))
            return [item.id for item in items if item.role == "user" or item.text is None]
        references = (part.item_id for part in options.input if isinstance(part, ev.ItemReference))
        return [item_id for item_id in references if item_id in self.history]

    def _interrupt(self, now: float) -> None:
        self._replies.stop(now, "turn_detected")

    def _cancel_reply(self, now: float) -> None:
        self._replies.stop(now, "client_cancelled")

    # --- the client's requests ----------------------------------------------------------------------------------

    def _configure(self, event: ev.Configure, now: float) -> None:
        if event.settings.turn_detection is None and self.settings.turn_detection is not None:
            self._signal(Signal.CLEAR, now)  # the client ends turns from now on; the audio stays in its buffer
        self.settings = self._replies.settings = self._asides.settings = event.settings
        self._listener.configure(event.settings)
        if event.settings.turn_detection is None or event.settings.turn_detection.idle_timeout_ms is None:
            self._idle_at = None
        self._prepare_again()
        self._out.append(ev.Configured())

    def _prepare_again(self) -> None:
        """What a reply is prepared from has changed while it was held."""
        self._replies.drop_parked()
        reply, turn = self._replies.current, self._replies.answering
        if reply is not None and not reply.released and turn is not None:
            self._replies.drop()
            options = self._asked or ev.ReplyOptions()
            if self._wants_reply and not self._missing(options):
                self._prepare(options, turn)

    def _create_reply(self, event: ev.CreateReply, now: float) -> None:
        options = event.options
        if (missing := self._missing_input(options)) is not None:
            message = f"Error creating response: the item with id '{missing}' does not exist."
            self._refuse("item_not_found", message, "response.input")
        elif options.aside:
            self._create_aside(options)
        elif self._asked is not None or self._next is not None:
            message = "A response is waiting for its turn already. Wait until it is finished."
            self._refuse("conversation_already_has_active_response", message)
        elif (reply := self._replies.active) is None:
            self._ask = options
            self._signal(Signal.ASK, now)
        elif reply.calls.any_told or reply.outdated:  # it goes on talking while the client has a tool's output
            self._next = options
        else:
            self._refuse(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {reply.id}. Wait until the response is "
                "finished before creating a new one.",
            )

    def _missing_input(self, options: ev.ReplyOptions) -> str | None:
        references = (part.item_id for part in options.input or () if isinstance(part, ev.ItemReference))
        return next((item_id for item_id in references if item_id not in self.history), None)

    def _create_aside(self, options: ev.ReplyOptions) -> None:
        if self._asides.full:
            message = f"There are {MOST} responses outside the conversation already. Wait until one is finished."
            self._refuse("rate_limit_exceeded", message)
        else:
            missing = self._missing(options)
            self._asides.start(options, self._asker(options, missing), waits=bool(missing))

    def _cancel(self, event: ev.CancelReply, now: float) -> None:
        reply, named = self._replies.active, event.reply_id
        if named is not None and named in self._asides:
            self._asides.cancel(named)
        elif reply is not None and named == reply.id:
            self._signal(Signal.CANCEL, now)
        elif named is None and not self._replies.just_interrupted(now) and self._is_asked_for:
            self._cancel_all(now)
        else:
            self._refuse("response_cancel_not_active", "Cancellation failed: no active response found")

    @property
    def _is_asked_for(self) -> bool:
        """There is a response of the conversation, or one is waited for."""
        return self._replies.active is not None or self._replies.awaits_words or self._asked is not None

    def _cancel_all(self, now: float) -> None:
        """Of the conversation: also what waits, so that everything that was asked for has its end."""
        if self._asked is not None and self.state in (State.HEARING, State.SETTLING):
            self._replies.drop()
            self._replies.start(self._asked, None, waits=True)
            self._replies.stop(now, "client_cancelled")
            self._asked = None
        elif self._replies.awaits_words:
            self._replies.start(self._take_ask() or ev.ReplyOptions(), self._replies.answering, waits=True)
        self._signal(Signal.CANCEL, now)
        if self._next is not None:
            self._ask, self._next = self._next, None
            self._signal(Signal.ASK, now)
            self._signal(Signal.CANCEL, now)

    def _add_item(self, event: ev.AddItem, now: float) -> None:
        item = event.item
        if item.id in self.history or self._is_taken(item.id):
            message = f"Error adding item: the item with id '{item.id}' already exists."
            self._refuse("item_create_duplicate_item_id", message, "item.id")
        elif event.after not in (None, "root") and event.after not in self.history:
            message = f"Error adding item: the previous item with id '{event.after}' does not exist."
            self._refuse("item_create_invalid_previous_item_id", message, "previous_item_id")
        elif (wordless := _is_wordless(event)) and self._listener.pending(given=True) >= MOST_SOUNDS:
            message = f"The audio of {MOST_SOUNDS} items is being transcribed already. Wait until one has its words."
            self._refuse("rate_limit_exceeded", message, "item")
        else:
            self._out.append(ev.ItemAdded(item, self.history.add(item, event.after)))
            if wordless:
                self._listener.transcribe_item(item.id, event.sound_ms, now)
            if isinstance(item, ev.OutputItem) and (reply := self._replies.active) is not None:
                reply.outdated = True
            self._prepare_again()

    def _is_taken(self, item_id: str) -> bool:
        """By what is being said or answered, though it may have been deleted: something will be said of it yet."""
        return any(item_id in side.item_ids() for side in (self._listener, self._replies, self._asides))

    def _delete_item(self, event: ev.DeleteItem, _: float) -> None:
        if event.item_id not in self.history:
            message = f"Error deleting item: the item with id '{event.item_id}' does not exist."
            self._refuse("item_delete_invalid_item_id", message, "item_id")
        else:
            self.history.delete(event.item_id)
            self._replies.forget_item(event.item_id)
            self._out.append(ev.ItemDeleted(event.item_id))
            self._prepare_again()

    def _truncate_item(self, event: ev.TruncateItem, now: float) -> None:
        item = self.history.get(event.item_id)
        reply = self._replies.spoken(event.item_id)
        if item is None:
            message = f"Error truncating item: the item with id '{event.item_id}' does not exist."
            self._refuse("item_truncate_invalid_item_id", message, "item_id")
        elif reply is None or reply.modality != "audio":
            message = f"Error truncating item: the item with id '{event.item_id}' holds no audio of a recent reply."
            self._refuse("unsupported_content_type", message, "item_id")
        else:
            self._truncate_reply(reply, event.audio_end_ms, now)

    def _truncate_reply(self, reply: Reply, audio_end_ms: int, now: float) -> None:
        """Of a reply that is still being sent it also means: stop."""
        if reply is self._replies.active:
            self._signal(Signal.CANCEL, now)
        self._replies.truncate(reply, audio_end_ms)

    def _of_reply(self, event: ReplyWork, now: float) -> None:
        """Work for a reply: for one beside the conversation, or for its own."""
        side = self._asides if event.reply_id in self._asides else self._replies
        match event:
            case ev.ReplyText():
                side.text(event, now)
            case ev.ReplyCall():
                side.call(event, now)
            case ev.ReplyTextEnded():
                side.text_ended(event, now)
            case ev.PhraseAudio():
                side.phrase_audio(event, now)
            case ev.PhraseEnded():
                side.phrase_ended(event, now)
            case _:
                side.failed(event, now)

    def _refuse(self, code: str, message: str, param: str | None = None) -> None:
        self._out.append(ev.Refused(code, message, param))

    # --- who handles what ---------------------------------------------------------------------------------------

    def _make_actions(self) -> dict[Action, Callable[[float], None]]:
        return {
            Action.OPEN_TURN: self._open_turn,
            Action.SPECULATE: self._speculate,
            Action.MOVE_DEADLINE: self._arm_endpoint,
            Action.PARK_SPECULATION: self._park_speculation,
            Action.DROP_SPECULATION: self._drop_speculation,
            Action.DROP_TURN: self._drop_turn,
            Action.COMMIT_TURN: self._commit_turn,
            Action.COMMIT_BUFFER: self._commit_buffer,
            Action.COMMIT_SILENCE: self._commit_silence,
            Action.RELEASE: self._release,
            Action.START_REPLY: self._start_reply,
            Action.RECITE_REST: self._recite_rest,
            Action.REMEMBER_ASK: self._remember_ask,
            Action.INTERRUPT: self._interrupt,
            Action.CANCEL_REPLY: self._cancel_reply,
        }

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
            ev.WordsJudged: self._words_judged,
            ev.TranscriptHeard: self._transcript_heard,
            ev.TranscriptFailed: self._transcript_failed,
            ev.ReplyText: self._of_reply,
            ev.ReplyCall: self._of_reply,
            ev.ReplyTextEnded: self._of_reply,
            ev.PhraseAudio: self._of_reply,
            ev.PhraseEnded: self._of_reply,
            ev.ReplyFailed: self._of_reply,
            ev.Apology: self._replies.apology,
            ev.Wake: self._wake,
            ev.Reconnected: self._reconnected,
            ev.Restored: self._restored,
        }
        return handlers  # type: ignore[return-value]  # each handler takes the very type that it is listed for


def _is_wordless(event: ev.AddItem) -> bool:
    """The item has sound, of which its words are made."""
    return event.sound_ms > 0 and isinstance(event.item, ev.Item) and event.item.text is None
