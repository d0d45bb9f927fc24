"""What must hold of every conversation: one function for each rule, named after it.

Knows: the core's events and commands, and the frames that the wire makes of them. Does not know: who speaks and which
engine answers (`simulation`); what really happened there is asked of a `World`.

A rule looks at one thing and returns a sentence when it is broken. `Watch` keeps the facts that the rules share: it
sees each command in the order of the core, and each frame in the order of the wire.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tests.realtime.order import Order
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import DEADLINE_STATES, State
from voxtral_voice.conversation.history import shown
from voxtral_voice.conversation.listener import LONGEST_WAIT_MS
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.replies import LATE_CANCEL_S
from voxtral_voice.conversation.session import SAID, Session

Frame = dict[str, Any]
ReplyNotice = (
    ev.ReplyTextDelta | ev.ReplyAudioDelta | ev.ReplyEnded | ev.ReplyMessageStarted | ev.ReplyCallStarted
    | ev.ReplyCallDelta | ev.ReplyCallEnded
)  # fmt: skip

REPLY_WITHIN_S: Final = 1.0
"""From the moment that a committed turn's words are there to the reply's `response.created`."""
PHANTOM_WITHIN_S: Final = 2.0
"""From the moment that an interruption is known to hold no words to the next `response.created`."""
IDLE_GRACE_S: Final = 1.0
"""How late the idle timeout may be: the core learns of silence with the next frames."""
WORDS_OFF: Final = 1
"""Words by which the heard text may differ from what was played."""
LONG_HISTORY: Final = 100
"""A history this long is never full here."""
LONG_HISTORY_CHARS: Final = 100_000
BUSY_WAKES: Final = 3
"""So many wake-ups at one moment are a loop."""
GRAIN_S: Final = 1e-6


class Broken(AssertionError):  # noqa: N818 - said of the rule
    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class World(Protocol):
    """What the rules ask the world for."""

    now: float
    session: Session
    policy: Policy

    def words_heard(self, reply_id: str) -> tuple[int, int] | None:
        """How many words of it the client has played by now, at least and at most, as far as the core can know."""
        ...

    def words_until(self, reply_id: str, ms: float) -> int | None:
        """How many words of it lie in the first `ms` of its audio."""
        ...

    def voiced_since(self, sample: int) -> bool:
        """A sound above the threshold, behind this sample, was given to the core."""
        ...


@dataclass(slots=True)
class Spoken:
    """A turn of the user, from its first notice on."""

    item_id: str
    start_sample: int
    stopped: bool = False
    committed: bool = False
    wants_reply: bool = False
    answered: bool = False
    text: str | None = None
    lost: bool = False
    deltas: str = ""


@dataclass(slots=True)
class Answer:
    """A reply that the client was told of."""

    started: ev.ReplyStarted
    item_id: str | None = None
    """Of its message."""
    text: str = ""
    samples: int = 0
    wire_samples: int = 0
    ended: ev.ReplyEnded | None = None
    speaks: bool = False
    """Its message has begun."""
    calls: dict[str, str] = field(default_factory=dict)
    """Item -> its arguments so far; a call that was told to its end is in `Watch.called`."""
    has_called: bool = False
    items: set[str] = field(default_factory=set)
    """Of its output."""
    truncated: bool = False


@dataclass(slots=True)
class Watch:
    world: World
    waived: frozenset[str] = frozenset()
    """Rules that the core does not keep yet."""
    seen_waived: dict[str, str] = field(default_factory=dict)
    order: Order = field(default_factory=Order)

    event: ev.Event = field(default_factory=ev.Wake)
    """Being carried out."""
    state_before: State = State.OPEN
    step_stops: list[str] = field(default_factory=list)
    step_ends: list[str] = field(default_factory=list)
    turns: dict[str, Spoken] = field(default_factory=dict)
    speaking: Spoken | None = None
    replies: dict[str, Answer] = field(default_factory=dict)
    live: Answer | None = None
    asides: dict[str, Answer] = field(default_factory=dict)
    """Beside the conversation, and not ended."""
    called: dict[str, str] = field(default_factory=dict)
    """Call that was told to its end, or made by the client -> its arguments."""
    overheard: list[ev.Transcribe] = field(default_factory=list)
    """Sounds with words, during a reply that may not be interrupted, that are in no turn yet."""
    interrupted_at: float = -math.inf
    """When a turn cancelled a reply, or its last words."""
    last: Answer | None = None
    turns_since_reply: int = 0
    """Reasons for a reply that no reply has used up: turns, timeouts and phantoms."""
    asks: int = 0
    """Replies that the client asked for and that have not begun."""
    work: dict[str, bool] = field(default_factory=dict)
    """Replies that engines work for: True = still."""
    attempts: dict[int, ev.Transcribe] = field(default_factory=dict)
    """Neither answered nor abandoned."""
    abandoned: set[int] = field(default_factory=set)
    heard: tuple[int, int] = (0, 0)
    """Place of the sound that was last transcribed to its end."""
    given: set[str] = field(default_factory=set)
    """Final transcripts that the core got while it wanted them."""
    received: int = 0
    forgotten: int = 0
    plays_to: float = -math.inf
    """When a client that plays at once has played all that was sent."""
    due: dict[str, float] = field(default_factory=dict)
    """Turn -> when its reply must have begun."""
    phantom: str | None = None
    """The turn that interrupted a reply which had more to say."""
    phantom_due: float | None = None
    idle_from: float | None = None
    wakes: int = 0
    woken_at: float = -math.inf
    floor_told: str | None = None
    speculating: int = 0
    wants_our_events: bool = False
    """The client asked for the events that are ours."""
    client_items: list[str] = field(default_factory=list)
    """The conversation as a client knows it."""
    named: set[str] = field(default_factory=set)
    """Ids of replies and items that stood in a frame."""

    # --- one step of the core -----------------------------------------------------------------------------------

    def before(self, event: ev.Event) -> None:
        self.event = event
        self.state_before = self.world.session.state
        self.step_stops.clear()
        self.step_ends.clear()
        match event:
            case ev.AudioReceived(end_sample):
                self.received = end_sample
            case ev.TranscriptHeard(attempt, text, _, final):
                job = self.attempts.pop(attempt, None)
                if job is not None and final:
                    self.given.add(text.strip())
                elif job is not None and self._is_kept(event):
                    self.overheard.append(job)
            case ev.TranscriptFailed(attempt):
                self.attempts.pop(attempt, None)
            case ev.Configure() | ev.ClearAudio():
                self.overheard.clear()
            case ev.CreateReply(options) if not options.aside:
                self.asks += 1
            case ev.Restored(history, rest):
                self.asks += bool(rest) or event.owed
                for entry in history:  # the client knows them from before
                    self.client_items.append(entry.id)
                    self.order.items.append(entry.id)
                    self.order.item_kinds[entry.id] = f"message {getattr(entry, 'role', '')}"
            case ev.AddItem(ev.CallItem(item_id, call)):
                self.called[item_id] = call.arguments

    def _is_kept(self, heard: ev.TranscriptHeard) -> bool:
        """A sound that becomes a turn when the reply is over."""
        session, detection = self.world.session, self.detection
        polite = detection is not None and not detection.interrupt_response
        over_a_reply = session.state in (State.REPLYING, State.CONTESTED)
        return polite and over_a_reply and session.facts(heard).kind in SAID

    def command(self, command: ev.Command) -> None:
        kind = type(command)
        for rule in ON_COMMAND.get(kind, ()):
            self.judge(rule.__name__, rule(self, command))
        if (note := NOTES.get(kind)) is not None:
            note(self, command)

    def after(self, something_said: bool) -> None:
        """Frames of which nothing follows change no more than the time."""
        alone = not something_said and type(self.event) is ev.FramesHeard
        for rule in AS_TIME_GOES_BY if alone else EACH_STEP:
            self.judge(rule.__name__, rule(self))

    def frame(self, frame: Frame) -> None:
        for rule in ON_FRAME:
            self.judge(rule.__name__, rule(self, frame))

    def finish(self) -> None:
        for rule in AT_THE_END:
            self.judge(rule.__name__, rule(self))

    def answered(self, asked: Frame, frames: list[Frame]) -> None:
        self.judge("every_request_is_answered", every_request_is_answered(self, asked, frames))

    def judge(self, rule: str, problem: str | None) -> None:
        if problem is None:
            return
        if rule not in self.waived:
            raise Broken(rule, problem)
        self.seen_waived.setdefault(rule, problem)

    def excuse(self) -> None:
        """What is due is not due any more: the user or the client has changed the course of things."""
        self.due.clear()
        self.phantom = self.phantom_due = None

    @property
    def detection(self) -> ev.TurnDetection | None:
        return self.world.session.settings.turn_detection


# --- replies ----------------------------------------------------------------------------------------------------


def one_active_reply(watch: Watch, started: ev.ReplyStarted) -> str | None:
    """A reply of the conversation begins when no other is active; and each begins only once."""
    if watch.live is not None and not started.aside:
        return f"{started.reply_id} begins while {watch.live.started.reply_id} is active"
    return f"{started.reply_id} begins again" if started.reply_id in watch.replies else None


def nothing_of_a_reply_outside_its_life(watch: Watch, said: ReplyNotice) -> str | None:
    """Text, audio, calls and end belong to the active reply: nothing of a cancelled or a held one leaves."""
    active = watch.live.started.reply_id if watch.live is not None else None
    alive = said.reply_id == active or said.reply_id in watch.asides
    return None if alive else f"{said.reply_id} speaks, {active} is active"


def the_end_sums_it_up(watch: Watch, ended: ev.ReplyEnded) -> str | None:
    """A reply's end gives the sum of its text and audio."""
    reply = watch.replies.get(ended.reply_id)
    if reply is None:
        return None
    if ended.text != reply.text:
        return f"{ended.text!r} is not {reply.text!r}"
    return None if ended.audio_ms == round(reply.samples / 24) else f"{ended.audio_ms} ms, not {reply.samples / 24:.1f}"


def stages_sum_to_the_whole(_: Watch, ended: ev.ReplyEnded) -> str | None:
    """No stage of a turn's timeline takes less than no time, and together they are the whole wait."""
    timeline = ended.timeline
    if timeline is None:
        return None
    stages, total = timeline.stages_ms(), timeline.total_ms()
    if any(ms < -0.2 for ms in stages.values()):
        return f"{stages}"
    if total is not None and abs(sum(stages.values()) - total) > 0.1 * len(stages) + 0.1:
        return f"{stages} is not {total}"
    return None


def work_stops_with_the_reply(watch: Watch) -> str | None:
    """The engines are told to stop in the very step in which the client is told of a reply's end."""
    still = [reply_id for reply_id in watch.step_ends if watch.work.get(reply_id)]
    return f"engines go on with {still}" if still else None


def no_work_for_a_stopped_reply(watch: Watch, work: ev.Respond | ev.Recite | ev.Speak) -> str | None:
    """A reply is begun once; nothing is asked of an engine for one that was not begun, or was stopped."""
    if isinstance(work, ev.Speak):
        return None if watch.work.get(work.reply_id) else f"{work} but the reply was not begun, or stopped"
    return f"{work.reply_id} is begun again" if work.reply_id in watch.work else None


def every_work_is_stopped(watch: Watch) -> str | None:
    """Every reply that was begun has a StopReply."""
    still = [reply_id for reply_id, on in watch.work.items() if on]
    return f"engines still work for {still}" if still else None


def every_reply_ends(watch: Watch) -> str | None:
    """Every reply that the client was told of has its one end."""
    still = [*([watch.live.started.reply_id] if watch.live is not None else ()), *watch.asides]
    return f"{still} have no end" if still else None


def a_reason_for_each_reply(watch: Watch, started: ev.ReplyStarted) -> str | None:
    """A reply is asked for: by a request, a turn, an idle timeout, or a phantom interruption; each gives one."""
    if started.aside:
        return None if isinstance(watch.event, ev.CreateReply) and watch.event.options.aside else "nobody asked for it"
    if watch.asks or watch.turns_since_reply or watch.phantom is not None:
        return None
    return f"{started.reply_id} answers nothing"


def audio_keeps_to_its_lead(watch: Watch, audio: ev.ReplyAudioDelta) -> str | None:
    """Audio is sent when less than `lead_ms` of what was sent before is still to be played."""
    if audio.reply_id in watch.asides:
        return None
    ahead_ms = 1000 * (watch.plays_to - watch.world.now)
    return f"{ahead_ms:.1f} ms ahead" if ahead_ms >= watch.world.policy.lead_ms + 0.01 else None


def audio_says_when_it_plays(watch: Watch, audio: ev.ReplyAudioDelta) -> str | None:
    """`plays_at` is when a client that plays everything at once comes to it."""
    if audio.reply_id in watch.asides:
        return None
    plays_at = max(watch.world.now, watch.plays_to)
    return None if abs(audio.plays_at - plays_at) < 1e-3 else f"{audio.plays_at:.3f}, not {plays_at:.3f}"


def audio_waits_in_a_contest(watch: Watch, audio: ev.ReplyAudioDelta) -> str | None:
    """While it is open whether the user interrupts, no audio leaves."""
    contested = watch.state_before is State.CONTESTED and watch.world.session.state is State.CONTESTED
    held = contested and watch.detection is not None and watch.detection.interrupt_response
    return f"{audio.reply_id} goes on" if held and audio.reply_id not in watch.asides else None


# --- calls, and what is beside the conversation -----------------------------------------------------------------


def words_follow_their_message(watch: Watch, said: ev.ReplyTextDelta | ev.ReplyAudioDelta) -> str | None:
    """Text and audio come when the reply's message has begun."""
    reply = watch.replies.get(said.reply_id)
    return None if reply is None or reply.speaks else f"{said.reply_id} has no message"


def a_message_begins_once(watch: Watch, begun: ev.ReplyMessageStarted) -> str | None:
    """A reply has one message at most, and it has nothing but white space to say before that."""
    reply = watch.replies.get(begun.reply_id)
    return f"{begun.reply_id} has a message" if reply is None or reply.speaks else None


def calls_are_told_in_order(
    watch: Watch, told: ev.ReplyCallStarted | ev.ReplyCallDelta | ev.ReplyCallEnded
) -> str | None:
    """A call begins once; what comes of it later comes while it is not whole."""
    reply = watch.replies.get(told.reply_id)
    known = reply is not None and told.item_id in reply.calls
    if isinstance(told, ev.ReplyCallStarted):
        return f"{told.item_id} begins again" if known or told.item_id in watch.called else None
    return None if known else f"{told.item_id} has not begun, or is whole"


def a_call_in_the_history_is_what_was_told(watch: Watch) -> str | None:
    """Of each call stand the arguments that the client was told, and it is complete when the client thinks so."""
    told = {item: text for reply in watch.replies.values() for item, text in reply.calls.items()}
    for item in watch.world.session.history:
        if not isinstance(item, ev.CallItem):
            continue
        whole = item.id in watch.called
        arguments = watch.called[item.id] if whole else told.get(item.id)
        if arguments != item.call.arguments or whole != (item.status == "completed"):
            return f"{item}, and {arguments!r} was told, {'whole' if whole else 'in part'}"
    return None


def responders_see_whole_calls(watch: Watch, work: ev.Respond | ev.Prepare) -> str | None:
    """A call that was cut off, or not told, is not shown to a responder."""
    whole = set(watch.called.values())
    calls = [part for part in work.messages if isinstance(part, ev.ToolCall)]
    unknown = [call for call in calls if call.arguments not in whole]
    return f"{unknown} is no call that was told" if unknown else None


def responders_hear_the_newest_turn(watch: Watch, work: ev.Respond) -> str | None:
    """Only one who listens is given sound: once, of the turn that was transcribed last, as its audio is kept, and
    behind all else, as nothing before that is heard."""
    sounds = [part for part in work.messages if isinstance(part, ev.Sound)]
    places = [(sound.start_sample, sound.end_sample) for sound in sounds]
    last = work.messages[-1:] == tuple(sounds)
    if not places or (places == [watch.heard] and last and watch.world.policy.listens):
        return None
    return f"{sounds} is given, {watch.heard} was heard last"


def a_cancel_stops_what_it_names(watch: Watch, ended: ev.ReplyEnded) -> str | None:
    """A client's cancel stops the reply that it names; one that names none those of the conversation; nothing else
    stops what is beside it."""
    if ended.status != "cancelled":
        return None
    by = watch.event.reply_id if isinstance(watch.event, ev.CancelReply) else None
    if ended.reply_id in watch.asides:
        return None if by == ended.reply_id else f"{ended.reply_id} is beside the conversation"
    return f"{by} was named, {ended.reply_id} is stopped" if by not in (None, ended.reply_id) else None


def a_late_cancel_spares_the_next_reply(watch: Watch, ended: ev.ReplyEnded) -> str | None:
    """A cancel that names no reply stops nothing right after an interruption."""
    bare = isinstance(watch.event, ev.CancelReply) and watch.event.reply_id is None
    late = bare and watch.world.now - watch.interrupted_at < LATE_CANCEL_S - GRAIN_S
    return f"{ended.reply_id} is stopped by a cancel that was meant for another" if late else None


def asides_leave_no_trace(watch: Watch) -> str | None:
    """Nothing of what is beside the conversation stands in it."""
    history = {item.id for item in watch.world.session.history}
    replies = [reply for reply in watch.replies.values() if reply.started.aside]
    seen = {item for reply in replies for item in reply.items} & history
    return f"{seen} are in the history" if seen else None


def the_history_is_bounded(watch: Watch, _: ev.ItemAdded) -> str | None:
    """When something was added it has no more items, and no more characters, than the policy allows; but for an item
    that is too large alone."""
    items, policy = list(watch.world.session.history), watch.world.policy
    chars = sum(len(part[1]) for item in items for part in shown(item) if isinstance(part, tuple))
    too_long = len(items) > policy.max_items or (len(items) > 1 and chars > policy.max_history_chars)
    return f"{len(items)} items, {chars} characters" if too_long and isinstance(watch.event, ev.AddItem) else None


def what_is_said_becomes_a_turn(watch: Watch) -> str | None:
    """What is said into a reply that may not be interrupted is a turn after it."""
    lost = [f"[{job.start_sample}, {job.end_sample})" for job in watch.overheard]
    return f"{lost} lie in no turn" if lost else None


# --- what is never seen -----------------------------------------------------------------------------------------


def no_trace_of_a_dropped_reply(watch: Watch) -> str | None:
    """Neither the wire nor the history ever names a reply that was prepared and dropped."""
    dropped = watch.work.keys() - watch.replies.keys()
    if seen := dropped & watch.named:
        return f"the client has heard of {sorted(seen)}"
    history = {item.id for item in watch.world.session.history}
    strangers = history - set(watch.client_items)
    return f"the client knows nothing of {sorted(strangers)}" if strangers else None


def no_words_of_a_dropped_transcript(watch: Watch, done: ev.TranscriptDone) -> str | None:
    """A turn's words are those of a final transcript that was wanted when it came."""
    return None if done.text in watch.given or not done.text else f"nobody heard {done.text!r}"


# --- turns ------------------------------------------------------------------------------------------------------


def speech_starts_once(watch: Watch, started: ev.SpeechStarted) -> str | None:
    """A turn begins when no other is open, with an id of its own, inside the audio that there is."""
    if watch.speaking is not None:
        return f"{watch.speaking.item_id} has not stopped"
    if started.item_id in watch.turns:
        return f"{started.item_id} began before"
    inside = watch.forgotten <= started.start_sample <= watch.received
    return None if inside else f"{started.start_sample} is not in [{watch.forgotten}, {watch.received}]"


def silence_is_no_speech(watch: Watch, started: ev.SpeechStarted) -> str | None:
    """No turn begins without a sound."""
    return None if watch.world.voiced_since(started.start_sample) else f"{started.item_id} begins in silence"


def speech_stops_once(watch: Watch, stopped: ev.SpeechStopped) -> str | None:
    """A turn stops once, behind its start and inside the audio that there is."""
    turn = watch.speaking
    if turn is None or turn.item_id != stopped.item_id:
        return f"{stopped.item_id} is not open"
    inside = turn.start_sample < stopped.end_sample <= watch.received
    return None if inside else f"{stopped.end_sample} is not in ({turn.start_sample}, {watch.received}]"


def a_turn_is_committed_once(watch: Watch, committed: ev.AudioCommitted) -> str | None:
    """A turn is committed once, behind its stop."""
    turn = watch.turns.get(committed.item.id)
    if turn is None:
        return None
    return f"{turn.item_id} is committed again, or not stopped" if turn.committed or not turn.stopped else None


def stopped_turns_are_committed(watch: Watch) -> str | None:
    """What stops is committed in the same step, unless the client cleared its audio or ends its turns by itself."""
    if not watch.step_stops or isinstance(watch.event, ev.ClearAudio | ev.Configure):
        return None
    lost = [item_id for item_id in watch.step_stops if not watch.turns[item_id].committed]
    return f"{lost} stopped and was not committed" if lost else None


def one_transcript_for_each_turn(watch: Watch, done: ev.TranscriptDone | ev.TranscriptLost) -> str | None:
    """A committed turn has one transcript, completed or failed."""
    turn = watch.turns.get(done.item_id)
    if turn is None or not turn.committed:
        return f"{done.item_id} is not committed"
    return f"{done.item_id} has one already" if turn.text is not None or turn.lost else None


def every_turn_has_a_transcript(watch: Watch) -> str | None:
    """Once the engines have answered, each committed turn has its transcript, and none is open."""
    if watch.speaking is not None and watch.world.session.state is State.OPEN:
        return f"{watch.speaking.item_id} has not stopped, and the floor is open"
    without = [t.item_id for t in watch.turns.values() if t.committed and t.text is None and not t.lost]
    return f"no transcript for {without}" if without else None


def transcripts_only_grow(watch: Watch, delta: ev.TranscriptDelta | ev.TranscriptDone) -> str | None:
    """The deltas of a transcript come before its end, and are the end when that begins with them."""
    turn = watch.turns.get(delta.item_id)
    if turn is None:
        return f"{delta.item_id} is no turn"
    if isinstance(delta, ev.TranscriptDelta):
        return "a delta behind the end" if turn.text is not None or turn.lost else None
    incomplete = delta.text.startswith(turn.deltas) and turn.deltas != delta.text
    return f"{turn.deltas!r} was told of {delta.text!r}" if incomplete else None


def one_attempt_at_the_open_turn(watch: Watch, job: ev.Transcribe) -> str | None:
    """The open turn is transcribed by one attempt at a time: the one before was answered, or is abandoned."""
    turn = watch.speaking
    if turn is None or job.start_sample != turn.start_sample:
        return None
    others = [a for a, other in watch.attempts.items() if other.start_sample == turn.start_sample]
    return f"{others} are still under way" if others else None


def no_work_for_an_abandoned_attempt(watch: Watch, job: ev.Transcribe | ev.Judge | ev.Prepare) -> str | None:
    """Nothing is asked for an attempt that was abandoned."""
    return f"{job.attempt} was abandoned" if job.attempt in watch.abandoned else None


def every_attempt_is_settled(watch: Watch) -> str | None:
    """Each attempt was answered or abandoned, and the core waits for none."""
    waiting = {*watch.attempts, *watch.world.session._listener._under_way}
    return f"{sorted(waiting)} are under way" if waiting else None


def audio_is_still_there(watch: Watch, job: ev.Transcribe | ev.Judge) -> str | None:
    """Engines are given audio that was received and is not forgotten."""
    inside = watch.forgotten <= job.start_sample < job.end_sample <= watch.received
    return None if inside else f"[{job.start_sample}, {job.end_sample}) of [{watch.forgotten}, {watch.received}]"


# --- the floor --------------------------------------------------------------------------------------------------


def deadline_only_where_the_table_says(watch: Watch) -> str | None:
    """A deadline is armed in the states of `floor.DEADLINE_STATES` alone."""
    session = watch.world.session
    armed = session._deadline is not None and session.state not in DEADLINE_STATES
    return f"armed in {session.state.value}" if armed else None


def settling_has_an_end(watch: Watch) -> str | None:
    """While a turn settles it is always known when that ends."""
    session = watch.world.session
    forever = session.state is State.SETTLING and session.wake_at() is None
    return "a turn that nobody will end" if forever else None


def waking_is_no_loop(watch: Watch) -> str | None:
    """After a wake-up there is nothing more to be woken for at that moment."""
    now = watch.world.now
    if not isinstance(watch.event, ev.Wake):
        return None
    at = watch.world.session.wake_at()
    again = at is not None and at <= now
    watch.wakes = watch.wakes + 1 if again and now == watch.woken_at else int(again)
    watch.woken_at = now
    return f"woken at {now:.6f}, and again for {at}" if watch.wakes > BUSY_WAKES else None


def the_floor_is_told(watch: Watch) -> str | None:
    """What the client was last told of the floor is so."""
    state = watch.world.session.state.value
    return None if watch.floor_told in (None, state) else f"told {watch.floor_told}, and it is {state}"


def speculation_ends(watch: Watch, told: ev.Speculated) -> str | None:
    """What was begun is kept or dropped, and nothing else is."""
    if told.outcome == "begun":
        return None
    return None if watch.speculating else f"{told.outcome} without having begun"


def words_get_a_reply(watch: Watch) -> str | None:
    """A committed turn that wants a reply, and has words or lost them, gets one soon or is told why not."""
    history, now = watch.world.session.history, watch.world.now
    awaited = [turn for turn in watch.turns.values() if turn.committed and turn.text is None and not turn.lost]
    if any(turn.item_id in history for turn in awaited):  # the reply is to know what was said before, too
        watch.due = dict.fromkeys(watch.due, now + REPLY_WITHIN_S)
    late = [item_id for item_id, at in watch.due.items() if now > at]
    return f"no reply to {late}" if late else None


def a_phantom_goes_on(watch: Watch) -> str | None:
    """After an interruption that held no words the assistant speaks again."""
    late = watch.phantom_due is not None and watch.world.now > watch.phantom_due
    return f"{watch.phantom} had no words, and all is silent" if late else None


def what_waits_begins(watch: Watch) -> str | None:
    """What is asked for while a reply goes on begins as soon as that has ended."""
    return "nothing is active, and a request waits" if watch.world.session._next and not watch.live else None


def idle_turns_begin(watch: Watch) -> str | None:
    """With an idle timeout set, a silence of that length after a reply is a turn."""
    detection = watch.detection
    if isinstance(watch.event, ev.Configure | ev.CommitAudio | ev.ClearAudio):
        watch.idle_from = None
    if watch.idle_from is None or watch.world.session.state is not State.OPEN:
        return None
    if detection is None or not detection.idle_timeout_ms or not detection.create_response:
        return None
    silent_s = watch.world.now - max(watch.idle_from, watch.plays_to)
    late = silent_s > detection.idle_timeout_ms / 1000 + IDLE_GRACE_S
    return f"{silent_s:.1f} s of silence" if late else None


def idle_only_when_wanted(watch: Watch, _: ev.IdleTimeout) -> str | None:
    """There is no idle timeout without the client's setting."""
    return None if watch.detection is not None and watch.detection.idle_timeout_ms else "nobody asked for it"


# --- what was heard ---------------------------------------------------------------------------------------------


def heard_text_is_what_was_played(watch: Watch) -> str | None:
    """Of each reply in the history stand the words that the client played, to within one."""
    items = {item.id: item for item in watch.world.session.history}
    for reply_id, reply in watch.replies.items():
        item, heard = items.get(reply.item_id or ""), watch.world.words_heard(reply_id)
        if not isinstance(item, ev.Item) or heard is None or reply.truncated or item.modality == "text":
            continue
        words, (least, most) = len((item.text or "").split()), heard
        if not least - WORDS_OFF <= words <= most + WORDS_OFF:
            return f"{reply_id}: {words} words in the history, {least} to {most} were played, of {reply.text!r}"
    return None


def truncation_keeps_what_was_played(watch: Watch, cut: ev.ItemTruncated) -> str | None:
    """The words that are left lie in the audio that the client says it played, to within one."""
    reply = next((r for r in watch.replies.values() if r.item_id == cut.item_id), None)
    if reply is None:
        return f"{cut.item_id} is no reply's"
    if cut.audio_end_ms > round(reply.samples / 24):
        return f"{cut.audio_end_ms} ms of {reply.samples / 24:.0f}"
    heard = watch.world.words_until(reply.started.reply_id, cut.audio_end_ms)
    words = len(cut.text.split())
    off = heard is not None and abs(words - heard) > WORDS_OFF
    return f"{words} words are left, {heard} lie in {cut.audio_end_ms} ms of {reply.text!r}" if off else None


# --- the wire ---------------------------------------------------------------------------------------------------


def the_wire_is_in_order(watch: Watch, frame: Frame) -> str | None:
    """Rules 1 to 8 of `tests/realtime/order`."""
    try:
        watch.order.receive(frame)
    except AssertionError as error:
        return f"{frame['type']}: {error}"
    return None


def the_wire_is_finished(watch: Watch) -> str | None:
    """Nothing on the wire is left open."""
    try:
        watch.order.finish()
    except AssertionError as error:
        return str(error)
    return None


def an_interrupted_reply_ends_before_the_turn(watch: Watch, frame: Frame) -> str | None:
    """The response that a turn interrupts is done before that turn is committed."""
    if frame["type"] != "input_audio_buffer.committed" or frame["item_id"] not in watch.turns:
        return None
    spoke = watch.turns[frame["item_id"]].stopped
    open_still = spoke and watch.order._active is not None
    interrupts = watch.detection is not None and watch.detection.interrupt_response
    return f"{watch.order._active} is active" if open_still and interrupts else None


def the_wire_carries_all_audio(watch: Watch, frame: Frame) -> str | None:
    """Each audio frame holds the samples of its notice, and they sum to the reply's."""
    if frame["type"] == "response.output_audio.delta":
        audio = frame["delta"]
        size = (len(audio) * 3 // 4 - audio[-2:].count("=")) // 2
        watch.replies[frame["response_id"]].wire_samples += size
    elif frame["type"] == "response.output_audio.done":
        reply = watch.replies[frame["response_id"]]
        if reply.wire_samples != reply.samples:
            return f"{reply.wire_samples} samples of {reply.samples}"
    return None


def our_own_events_are_asked_for(watch: Watch, frame: Frame) -> str | None:
    """A client gets events that are not in the protocol only when it has asked for them."""
    asked = watch.wants_our_events or not frame["type"].startswith("voxtral_voice.")
    return None if asked else f"{frame}"


def items_stand_behind_known_ones(watch: Watch, frame: Frame) -> str | None:
    """A new item stands behind one that the client has. (Keeps what the client has seen, for the rules of the end.)"""
    response = frame.get("response")
    watch.named.add(frame.get("response_id") or (response["id"] if response else ""))
    if frame["type"] == "conversation.item.added":
        item_id, previous = frame["item"]["id"], frame["previous_item_id"]
        items = watch.client_items
        if previous is not None and previous not in items:
            return f"{item_id} stands behind {previous}, which is not there"
        items.insert(0 if previous is None else items.index(previous) + 1, item_id)
    elif frame["type"] == "conversation.item.deleted" and frame["item_id"] in watch.client_items:
        watch.client_items.remove(frame["item_id"])
    return None


def client_and_history_agree(watch: Watch) -> str | None:
    """The client knows the items of the history in their order; more than those only when the history is full."""
    ours = [item.id for item in watch.world.session.history]
    theirs = watch.client_items
    if watch.world.policy.max_items >= LONG_HISTORY and watch.world.policy.max_history_chars >= LONG_HISTORY_CHARS:
        return None if ours == theirs else f"{ours} here, {theirs} there"
    rest = iter(theirs)
    return None if all(item_id in rest for item_id in ours) else f"{ours} here, {theirs} there"


ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "session.update": ("session.updated",),
    "input_audio_buffer.commit": ("input_audio_buffer.committed",),
    "input_audio_buffer.clear": ("input_audio_buffer.cleared",),
    "conversation.item.create": ("conversation.item.added", "conversation.item.done"),
    "conversation.item.delete": ("conversation.item.deleted",),
    "conversation.item.retrieve": ("conversation.item.retrieved",),
    "conversation.item.truncate": ("conversation.item.truncated",),
    "response.cancel": ("response.done",),
}


def every_request_is_answered(watch: Watch, asked: Frame, frames: list[Frame]) -> str | None:
    """A client's event gets its answer in the same step, or one error that names it, and not both."""
    errors = [f for f in frames if f["type"] == "error"]
    if len(errors) > 1 or any(f["error"]["event_id"] != asked.get("event_id") for f in errors):
        return f"{asked} -> {errors}"
    kinds = [f["type"] for f in frames]
    answered = all(kind in kinds for kind in ANSWERS[asked["type"]]) if asked["type"] in ANSWERS else None
    if answered is None:  # response.create: it may wait for the end of the user's turn
        session = watch.world.session
        answered = "response.created" in kinds or session._asked is not None or session._next is not None
    if errors and asked["type"] == "response.create":
        answered = "response.created" in kinds
    return f"{asked} -> {kinds}" if answered == bool(errors) else None


# --- what the rules share ---------------------------------------------------------------------------------------


def _reply_started(watch: Watch, started: ev.ReplyStarted) -> None:
    reply = watch.replies[started.reply_id] = Answer(started, started.item_id, speaks=started.item_id is not None)
    if started.item_id is not None:
        reply.items.add(started.item_id)
    if started.aside:
        watch.asides[started.reply_id] = reply
        return
    watch.live = watch.last = reply
    watch.asks = max(0, watch.asks - 1)
    watch.turns_since_reply = 0
    watch.idle_from = None
    for turn in watch.turns.values():
        turn.answered = turn.answered or turn.committed
    watch.excuse()


def _message_started(watch: Watch, begun: ev.ReplyMessageStarted) -> None:
    reply = watch.replies[begun.reply_id]
    reply.speaks, reply.item_id = True, begun.item_id
    reply.items.add(begun.item_id)


def _call_started(watch: Watch, started: ev.ReplyCallStarted) -> None:
    reply = watch.replies[started.reply_id]
    reply.calls[started.item_id] = ""
    reply.items.add(started.item_id)


def _call_delta(watch: Watch, told: ev.ReplyCallDelta) -> None:
    watch.replies[told.reply_id].calls[told.item_id] += told.delta


def _call_ended(watch: Watch, told: ev.ReplyCallEnded) -> None:
    watch.called[told.item_id] = watch.replies[told.reply_id].calls.pop(told.item_id)
    watch.replies[told.reply_id].has_called = True


def _reply_text(watch: Watch, said: ev.ReplyTextDelta) -> None:
    watch.replies[said.reply_id].text += said.delta


def _reply_audio(watch: Watch, said: ev.ReplyAudioDelta) -> None:
    watch.replies[said.reply_id].samples += said.samples.size
    if said.reply_id in watch.asides:
        return
    watch.plays_to = max(watch.world.now, watch.plays_to) + said.samples.size / 24_000


def _reply_ended(watch: Watch, ended: ev.ReplyEnded) -> None:
    reply = watch.replies[ended.reply_id]
    reply.ended = ended
    watch.step_ends.append(ended.reply_id)
    if watch.asides.pop(ended.reply_id, None) is not None:
        return
    watch.live = None
    if ended.status == "cancelled":
        _silenced(watch)
        if ended.reason == "turn_detected":
            watch.interrupted_at = watch.world.now
            if watch.speaking is not None and not reply.has_called:
                watch.phantom = watch.speaking.item_id
    else:
        watch.idle_from = watch.world.now


def _silenced(watch: Watch) -> None:
    """A client plays no more of what it has: it was interrupted, or stopped."""
    watch.plays_to = -math.inf


def _stop_reply(watch: Watch, stop: ev.StopReply) -> None:
    if watch.work.get(stop.reply_id):
        watch.work[stop.reply_id] = False


def _begin_work(watch: Watch, work: ev.Respond | ev.Recite | ev.Apologise) -> None:
    watch.work[work.reply_id] = True


def _transcribe(watch: Watch, job: ev.Transcribe) -> None:
    watch.attempts[job.attempt] = job
    if job.final:
        watch.heard = (job.start_sample, job.end_sample)


def _abandon(watch: Watch, job: ev.Abandon) -> None:
    watch.attempts.pop(job.attempt, None)
    watch.abandoned.add(job.attempt)


def _forget(watch: Watch, forget: ev.ForgetAudio) -> None:
    too_old = min(forget.before_sample, watch.received - LONGEST_WAIT_MS * 16)
    watch.overheard = [job for job in watch.overheard if job.end_sample > too_old]
    watch.forgotten = max(watch.forgotten, forget.before_sample)


def _speech_started(watch: Watch, started: ev.SpeechStarted) -> None:
    watch.speaking = watch.turns[started.item_id] = Spoken(started.item_id, started.start_sample)
    watch.excuse()
    watch.idle_from = None
    was_playing, last = watch.plays_to > watch.world.now, watch.last
    _silenced(watch)
    if was_playing and last is not None and last.ended is not None and last.ended.status == "completed":
        item = watch.world.session.history.get(last.item_id or "")
        if item is not None and item.status == "incomplete":
            watch.interrupted_at = watch.world.now
            watch.phantom = None if last.has_called else started.item_id


def _speech_stopped(watch: Watch, stopped: ev.SpeechStopped) -> None:
    watch.turns[stopped.item_id].stopped = True
    watch.speaking = None
    watch.step_stops.append(stopped.item_id)
    if isinstance(watch.event, ev.ClearAudio | ev.Configure):
        watch.excuse()


def _audio_committed(watch: Watch, committed: ev.AudioCommitted) -> None:
    item_id = committed.item.id
    turn = watch.turns.setdefault(item_id, Spoken(item_id, 0, stopped=False))
    turn.committed = True
    detection = watch.detection
    by_itself = detection is not None and detection.create_response and watch.live is None
    turn.wants_reply = by_itself or (watch.asks > 0 and watch.live is None)
    watch.turns_since_reply += 1
    start, end = committed.start_sample, committed.end_sample
    watch.overheard = [job for job in watch.overheard if not (start < job.end_sample and job.start_sample < end)]


def _transcript_delta(watch: Watch, delta: ev.TranscriptDelta) -> None:
    watch.turns[delta.item_id].deltas += delta.delta


def _transcript_done(watch: Watch, done: ev.TranscriptDone | ev.TranscriptLost) -> None:
    turn = watch.turns[done.item_id]
    words = isinstance(done, ev.TranscriptDone) and bool(done.text)
    turn.lost = isinstance(done, ev.TranscriptLost)
    turn.text = done.text if isinstance(done, ev.TranscriptDone) else None
    if watch.speaking is None:
        _make_due(watch, turn)
    heard = watch.world.policy.listens and turn.answered  # its reply did not wait for the words
    if not words and not turn.lost and not heard:  # nothing is due, and what the client asked for has nothing to answer
        watch.asks = 0


def _make_due(watch: Watch, turn: Spoken) -> None:
    """What has to follow, now that the words of a turn are known or lost. What the user says later decides first."""
    now = watch.world.now
    turns = list(watch.turns.values())
    later = turns[turns.index(turn) + 1 :]
    if not turn.wants_reply or not all(t.committed and (t.lost or t.text is not None) for t in later):
        return
    unanswered = [t for t in turns if t.committed and t.wants_reply and not t.answered and t.text]
    if (turn in unanswered or (turn.lost and not turn.answered)) and not later:
        watch.due[turn.item_id] = now + REPLY_WITHIN_S
    elif unanswered or (turn.item_id == watch.phantom and not _all_was_heard(watch)):
        watch.phantom, watch.phantom_due = turn.item_id, now + PHANTOM_WITHIN_S


def _all_was_heard(watch: Watch) -> bool:
    """Of the interrupted reply nothing that had been sent was lost; whether more would have come is not asked."""
    last = watch.last
    if last is None or not last.text.strip():
        return False
    item = watch.world.session.history.get(last.item_id or "")
    return not isinstance(item, ev.Item) or (item.text or "").split() == last.text.split()


def _item_truncated(watch: Watch, cut: ev.ItemTruncated) -> None:
    for reply in watch.replies.values():
        if reply.item_id == cut.item_id:
            reply.truncated = True


def _refused(watch: Watch, _: ev.Refused) -> None:
    if isinstance(watch.event, ev.CreateReply) and not watch.event.options.aside:
        watch.asks = max(0, watch.asks - 1)


def _floor_changed(watch: Watch, told: ev.FloorChanged) -> None:
    watch.floor_told = told.state


def _speculated(watch: Watch, told: ev.Speculated) -> None:
    watch.speculating += 1 if told.outcome == "begun" else -1


def _idle_timeout(watch: Watch, _: ev.IdleTimeout) -> None:
    watch.turns_since_reply += 1
    watch.idle_from = None


NOTES: Final[dict[type[ev.Command], Callable[[Watch, Any], None]]] = {
    ev.ReplyStarted: _reply_started,
    ev.ReplyMessageStarted: _message_started,
    ev.ReplyCallStarted: _call_started,
    ev.ReplyCallDelta: _call_delta,
    ev.ReplyCallEnded: _call_ended,
    ev.ReplyTextDelta: _reply_text,
    ev.ReplyAudioDelta: _reply_audio,
    ev.ReplyEnded: _reply_ended,
    ev.StopReply: _stop_reply,
    ev.Respond: _begin_work,
    ev.Recite: _begin_work,
    ev.Apologise: _begin_work,
    ev.Transcribe: _transcribe,
    ev.Abandon: _abandon,
    ev.ForgetAudio: _forget,
    ev.SpeechStarted: _speech_started,
    ev.SpeechStopped: _speech_stopped,
    ev.AudioCommitted: _audio_committed,
    ev.TranscriptDelta: _transcript_delta,
    ev.TranscriptDone: _transcript_done,
    ev.TranscriptLost: _transcript_done,
    ev.ItemTruncated: _item_truncated,
    ev.Refused: _refused,
    ev.FloorChanged: _floor_changed,
    ev.Speculated: _speculated,
    ev.IdleTimeout: _idle_timeout,
}

ON_COMMAND: Final[dict[type[ev.Command], tuple[Callable[[Watch, Any], str | None], ...]]] = {
    ev.ReplyStarted: (one_active_reply, a_reason_for_each_reply),
    ev.ReplyMessageStarted: (nothing_of_a_reply_outside_its_life, a_message_begins_once),
    ev.ReplyCallStarted: (nothing_of_a_reply_outside_its_life, calls_are_told_in_order),
    ev.ReplyCallDelta: (nothing_of_a_reply_outside_its_life, calls_are_told_in_order),
    ev.ReplyCallEnded: (nothing_of_a_reply_outside_its_life, calls_are_told_in_order),
    ev.ReplyTextDelta: (nothing_of_a_reply_outside_its_life, words_follow_their_message),
    ev.ReplyAudioDelta: (
        nothing_of_a_reply_outside_its_life,
        words_follow_their_message,
        audio_keeps_to_its_lead,
        audio_says_when_it_plays,
        audio_waits_in_a_contest,
    ),
    ev.ReplyEnded: (
        nothing_of_a_reply_outside_its_life,
        the_end_sums_it_up,
        stages_sum_to_the_whole,
        a_cancel_stops_what_it_names,
        a_late_cancel_spares_the_next_reply,
    ),
    ev.Respond: (no_work_for_a_stopped_reply, responders_see_whole_calls, responders_hear_the_newest_turn),
    ev.Recite: (no_work_for_a_stopped_reply,),
    ev.Speak: (no_work_for_a_stopped_reply,),
    ev.Transcribe: (one_attempt_at_the_open_turn, no_work_for_an_abandoned_attempt, audio_is_still_there),
    ev.Judge: (no_work_for_an_abandoned_attempt, audio_is_still_there),
    ev.Prepare: (no_work_for_an_abandoned_attempt, responders_see_whole_calls),
    ev.SpeechStarted: (speech_starts_once, silence_is_no_speech),
    ev.SpeechStopped: (speech_stops_once,),
    ev.AudioCommitted: (a_turn_is_committed_once,),
    ev.TranscriptDelta: (transcripts_only_grow,),
    ev.TranscriptDone: (one_transcript_for_each_turn, no_words_of_a_dropped_transcript, transcripts_only_grow),
    ev.TranscriptLost: (one_transcript_for_each_turn,),
    ev.ItemAdded: (the_history_is_bounded,),
    ev.ItemTruncated: (truncation_keeps_what_was_played,),
    ev.Speculated: (speculation_ends,),
    ev.IdleTimeout: (idle_only_when_wanted,),
}
AS_TIME_GOES_BY: Final[tuple[Callable[[Watch], str | None], ...]] = (
    settling_has_an_end,
    words_get_a_reply,
    a_phantom_goes_on,
    idle_turns_begin,
)
EACH_STEP: Final[tuple[Callable[[Watch], str | None], ...]] = (
    *AS_TIME_GOES_BY,
    deadline_only_where_the_table_says,
    waking_is_no_loop,
    the_floor_is_told,
    what_waits_begins,
    work_stops_with_the_reply,
    stopped_turns_are_committed,
)
ON_FRAME: Final[tuple[Callable[[Watch, Frame], str | None], ...]] = (
    the_wire_is_in_order,
    an_interrupted_reply_ends_before_the_turn,
    the_wire_carries_all_audio,
    our_own_events_are_asked_for,
    items_stand_behind_known_ones,
)
AT_THE_END: Final[tuple[Callable[[Watch], str | None], ...]] = (
    every_reply_ends,
    every_work_is_stopped,
    every_turn_has_a_transcript,
    every_attempt_is_settled,
    no_trace_of_a_dropped_reply,
    heard_text_is_what_was_played,
    a_call_in_the_history_is_what_was_told,
    asides_leave_no_trace,
    what_is_said_becomes_a_turn,
    client_and_history_agree,
    the_wire_is_finished,
)
RULES: Final = frozenset(
    rule.__name__ for rules in (*ON_COMMAND.values(), EACH_STEP, ON_FRAME, AT_THE_END) for rule in rules
) | {"every_request_is_answered", "a_refused_update_changes_nothing", "the_floor_comes_to_rest"}
"""The last two are judged by the world."""


# --- memory -----------------------------------------------------------------------------------------------------


def parts(root: object) -> int:
    """Objects of ours, and entries of containers, that can be reached from here: what grows when a session leaks."""
    seen: set[int] = set()
    stack: list[object] = [root]
    entries = 0
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        inner = _inner(value)
        if inner:
            seen.add(id(value))
            entries += len(inner)
            stack += inner
    return entries


def _inner(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if not type(value).__module__.startswith("voxtral_voice") or isinstance(value, type):
        return []
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
