"""Ten thousand conversations keep every rule; and each rule notices when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.conversation.invariants import RULES, Broken, parts
from tests.conversation.simulation import NOT_YET, Traits, World, converse
from tests.realtime import oracle
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.floor import TABLE, Signal, State
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.realtime.wire import Incoming, ItemLookup, SoundLookup, Wire, no_sounds

CONVERSATIONS = 10_000
BLOCKS = 20
TRAITS = Traits(
    turns=3, chunk_s=0.1, network_s=0.02, hearing_s=0.0, engines=1.0, faults=0.02, leaks=0.0, restless=0.1,
    word_times=True, leaves=False, levels=True, tools=True,
)  # fmt: skip


@pytest.mark.no_cover  # three times as slow, and the other tests reach every branch
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_conversation_keeps_every_rule(block: int) -> None:
    for seed in range(block, CONVERSATIONS, BLOCKS):
        converse(seed)


def test_the_same_seed_is_the_same_conversation() -> None:
    assert converse(7, keep=None).story() == converse(7, keep=None).story()


def test_a_session_does_not_grow_with_its_turns() -> None:
    """With a short history and all replies that can be truncated: after 200 turns it is no larger than after 100."""
    sizes = []
    for turns in (100, 200):
        world = converse(1, traits=replace(TRAITS, turns=turns), policy=Policy(max_items=20))
        sizes.append(parts(world.session))
    assert sizes[1] < 1.1 * sizes[0]


def test_what_leaves_is_what_the_clients_types_allow() -> None:
    for seed in range(60):
        oracle.read(converse(seed).frames, ours=True)


def test_the_world_walks_every_arrow_of_the_floor() -> None:
    walked: set[tuple[State, Signal]] = set()

    class Walked(Session):
        def _signal(self, signal: Signal, now: float) -> None:
            walked.add((self.state, signal))
            super()._signal(signal, now)

    for seed in range(400):
        converse(seed, session=Walked)
        if TABLE.keys() <= walked:
            return
    pytest.fail(f"never walked: {TABLE.keys() - walked}")


# --- the rules notice -------------------------------------------------------------------------------------------

Bend = Callable[[Session, ev.Event, float, list[ev.Command]], list[ev.Command]]


def dropping(*kinds: type[ev.Command]) -> Bend:
    return lambda *step: [c for c in step[-1] if not isinstance(c, kinds)]


def changing(kind: type[ev.Command], **fields: Any) -> Bend:
    """`fields`: name -> new value, from the command."""

    def bend(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
        return [
            replace(c, **{name: new(c) for name, new in fields.items()}) if isinstance(c, kind) else c for c in commands
        ]

    return bend


def adding(kind: type[ev.Command], more: Callable[[Any], ev.Command]) -> Bend:
    """Behind each command of the kind, another one."""
    return lambda *step: [
        c for command in step[-1] for c in ((command, more(command)) if isinstance(command, kind) else (command,))
    ]


def _begin_again(ended: ev.ReplyEnded) -> ev.Command:
    return ev.ReplyStarted(f"again_{ended.reply_id}", f"again_{ended.reply_id}", None, "audio", "af_heart", None)


def _remember_a_ghost(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
    if any(isinstance(c, ev.Speculated) and c.outcome == "dropped" for c in commands):
        session.history.add(ev.Item("ghost", "assistant", "audio", "dropped words"))
    return commands


def _hear_ghosts(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
    if session.state is State.OPEN and isinstance(event, ev.FramesHeard):
        return [*commands, ev.SpeechStarted(f"ghost_{now}", event.first_sample)]
    return commands


def _arm_in_open(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
    if session.state is State.OPEN:
        session._deadline = now + 1.0
    return commands


def _believe_all_was_heard(
    session: Session, event: ev.Event, now: float, commands: list[ev.Command]
) -> list[ev.Command]:
    for ended in (c for c in commands if isinstance(c, ev.ReplyEnded)):
        for item in session.history:
            if isinstance(item, ev.Item) and item.role == "assistant" and item.status == "incomplete":
                session.history.update(item.id, text=f"{ended.text} and more and more", status="incomplete")
    return commands


def _half_calls(respond: ev.Respond) -> tuple[ev.Shown, ...]:
    return tuple(replace(part, arguments="{") if isinstance(part, ev.ToolCall) else part for part in respond.messages)


def _other_sounds(respond: ev.Respond) -> tuple[ev.Shown, ...]:
    return tuple(replace(part, start_sample=0) if isinstance(part, ev.Sound) else part for part in respond.messages)


def _remember_asides(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
    for started in (c for c in commands if isinstance(c, ev.ReplyStarted) and c.aside):
        session.history.add(ev.Item(started.item_id or "", "assistant", "text", "beside"))
    return commands


def _end_late(session: Session, event: ev.Event, now: float, commands: list[ev.Command]) -> list[ev.Command]:
    """The interrupted reply ends when the turn is committed."""
    held: list[ev.Command] = session.__dict__.setdefault("held", [])
    held += [c for c in commands if isinstance(c, ev.ReplyEnded) and c.reason == "turn_detected"]
    rest = [c for c in commands if c not in held]
    if any(isinstance(c, ev.AudioCommitted) for c in rest):
        rest += held
        held.clear()
    return rest


BENDS: dict[str, Bend] = {
    "one_active_reply": adding(ev.ReplyStarted, lambda c: replace(c, reply_id=f"second_{c.reply_id}")),
    "nothing_of_a_reply_outside_its_life": adding(ev.ReplyEnded, lambda c: ev.ReplyTextDelta(c.reply_id, "late")),
    "the_end_sums_it_up": changing(ev.ReplyEnded, text=lambda c: c.text + "x"),
    "stages_sum_to_the_whole": changing(
        ev.ReplyEnded, timeline=lambda c: c.timeline and replace(c.timeline, transcript=0.0, speech_end=1.0)
    ),
    "work_stops_with_the_reply": dropping(ev.StopReply),
    "every_work_is_stopped": dropping(ev.StopReply),
    "no_work_for_a_stopped_reply": adding(ev.StopReply, lambda c: ev.Speak(c.reply_id, 0, "more", "af_heart", 1.0)),
    "every_reply_ends": dropping(ev.ReplyEnded),
    "the_wire_is_finished": dropping(ev.ReplyEnded),
    "a_reason_for_each_reply": adding(ev.ReplyEnded, _begin_again),
    "audio_says_when_it_plays": changing(ev.ReplyAudioDelta, plays_at=lambda c: c.plays_at + 1),
    "no_trace_of_a_dropped_reply": _remember_a_ghost,
    "no_words_of_a_dropped_transcript": changing(ev.TranscriptDone, text=lambda _: "something else"),
    "speech_starts_once": adding(ev.SpeechStarted, lambda c: c),
    "silence_is_no_speech": _hear_ghosts,
    "speech_stops_once": changing(ev.SpeechStopped, end_sample=lambda _: 0),
    "a_turn_is_committed_once": adding(ev.AudioCommitted, lambda c: c),
    "stopped_turns_are_committed": dropping(ev.AudioCommitted),
    "one_transcript_for_each_turn": adding(ev.TranscriptDone, lambda c: c),
    "every_turn_has_a_transcript": dropping(ev.TranscriptDone, ev.TranscriptLost),
    "transcripts_only_grow": changing(ev.TranscriptDelta, delta=lambda c: c.delta[:-1]),
    "one_attempt_at_the_open_turn": dropping(ev.Abandon),
    "no_work_for_an_abandoned_attempt": adding(ev.Abandon, lambda c: ev.Judge(c.attempt, 0, 1)),
    "audio_is_still_there": adding(ev.SpeechStarted, lambda c: ev.ForgetAudio(c.start_sample + 1)),
    "deadline_only_where_the_table_says": _arm_in_open,
    "the_floor_is_told": changing(ev.FloorChanged, state=lambda _: "contested"),
    "speculation_ends": changing(ev.Speculated, outcome=lambda _: "dropped"),
    "idle_only_when_wanted": adding(ev.Configured, lambda _: ev.IdleTimeout("idle", 0, 1)),
    "heard_text_is_what_was_played": _believe_all_was_heard,
    "truncation_keeps_what_was_played": changing(ev.ItemTruncated, text=lambda c: c.text + " and so on and on"),
    "an_interrupted_reply_ends_before_the_turn": _end_late,
    "items_stand_behind_known_ones": changing(ev.ItemAdded, after=lambda _: "ghost"),
    "client_and_history_agree": dropping(ev.ItemDeleted),
    "every_request_is_answered": dropping(ev.Configured),
    "words_follow_their_message": dropping(ev.ReplyMessageStarted),
    "a_message_begins_once": adding(ev.ReplyMessageStarted, lambda c: c),
    "calls_are_told_in_order": dropping(ev.ReplyCallStarted),
    "a_call_in_the_history_is_what_was_told": changing(ev.ReplyCallDelta, delta=lambda c: c.delta[1:]),
    "responders_see_whole_calls": changing(ev.Respond, messages=_half_calls),
    "responders_hear_the_newest_turn": changing(ev.Respond, messages=_other_sounds),
    "asides_leave_no_trace": _remember_asides,
    "a_cancel_stops_what_it_names": changing(ev.ReplyEnded, status=lambda _: "cancelled"),
}


def bent(bend: Bend) -> type[Session]:
    class Bent(Session):
        def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
            return bend(self, event, now, super().receive(event, now))

    return Bent


class Hasty(Session):
    """Sends audio too early."""

    def __init__(self, settings: ev.Settings, ids: Callable[[str], str], policy: Policy) -> None:
        super().__init__(settings, ids, replace(policy, lead_ms=policy.lead_ms + 300))


class Rude(Session):
    @property
    def _held(self) -> bool:
        return False


class Mute(Session):
    @property
    def _wants_reply_by_itself(self) -> bool:
        return False


class Sleeping(Session):
    def wake_at(self) -> float | None:
        return None


class Dozing(Session):
    """Sleeps when nobody speaks."""

    def wake_at(self) -> float | None:
        return None if self.state is State.OPEN else super().wake_at()


class Sleepless(Session):
    now = 0.0

    def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
        self.now = now
        return super().receive(event, now)

    def wake_at(self) -> float | None:
        return self.now


class Stuck(Session):
    def _done(self, now: float) -> None:
        pass


class Forgetful(Session):
    """Waits for a transcript that has failed."""

    def _transcript_failed(self, event: ev.TranscriptFailed, now: float) -> None:
        pass


class Deaf(Session):
    """Forgets what is said into a reply that may not be interrupted."""

    def _make_way(self, now: float) -> None:
        if self.state is State.OPEN or self._interrupts:
            super()._make_way(now)


class Hurried(Session):
    """Takes every cancel for one of what is said now."""

    def _cancel(self, event: ev.CancelReply, now: float) -> None:
        super()._cancel(event, now + 1.0)


class Hoarding(Session):
    def __init__(self, settings: ev.Settings, ids: Callable[[str], str], policy: Policy) -> None:
        super().__init__(settings, ids, replace(policy, max_history_chars=10**9, max_items=10**6))


class Dawdling(Session):
    """Forgets what was asked for while a reply went on."""

    def _send_due(self, now: float) -> None:
        waiting, self._next = self._next, None
        super()._send_due(now)
        self._next = waiting


class Doubled(Wire):
    def notice(self, notice: ev.Notice, client_event_id: str | None = None) -> list[bytes]:
        frames = super().notice(notice, client_event_id)
        return [*frames, *frames[-1:]]


class Lossy(Wire):
    """Loses a piece of audio now and then."""

    def notice(self, notice: ev.Notice, client_event_id: str | None = None) -> list[bytes]:
        frames = super().notice(notice, client_event_id)
        return (
            [] if isinstance(notice, ev.ReplyAudioDelta) and orjson.loads(frames[0])["event_id"][-1] == "3" else frames
        )


class Talkative(Wire):
    def notice(self, notice: ev.Notice, client_event_id: str | None = None) -> list[bytes]:
        frames = super().notice(notice, client_event_id)
        return [*frames, self._events.encode("voxtral_voice.floor", {"state": "open"})]


class Careless(Wire):
    """Takes a part of what it refuses."""

    def client(self, frame: str | bytes, items: ItemLookup, sounds: SoundLookup = no_sounds) -> Incoming:
        if isinstance(frame, str) and '"speed":99' in frame:
            self._session = replace(self._session, speed=1.4)
        return super().client(frame, items, sounds)


BROKEN: dict[str, dict[str, Any]] = {
    **{rule: {"session": bent(bend)} for rule, bend in BENDS.items()},
    "audio_keeps_to_its_lead": {"session": Hasty},
    "audio_waits_in_a_contest": {"session": Rude},
    "words_get_a_reply": {"session": Mute},
    "a_phantom_goes_on": {"session": Mute},
    "settling_has_an_end": {"session": Sleeping},
    "idle_turns_begin": {"session": Dozing},
    "waking_is_no_loop": {"session": Sleepless},
    "the_floor_comes_to_rest": {"session": Stuck},
    "every_attempt_is_settled": {"session": Forgetful},
    "what_is_said_becomes_a_turn": {"session": Deaf},
    "a_late_cancel_spares_the_next_reply": {"session": Hurried},
    "the_history_is_bounded": {"session": Hoarding},
    "what_waits_begins": {"session": Dawdling},
    "the_wire_is_in_order": {"wire": Doubled},
    "the_wire_carries_all_audio": {"wire": Lossy},
    "a_refused_update_changes_nothing": {"wire": Careless},
    "our_own_events_are_asked_for": {"wire": Talkative},
}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_broken_rule_is_noticed(rule: str) -> None:
    """With all other rules waived. What else such a world breaks on is not of interest here."""
    assert any(_notices(seed, rule) for seed in range(300))


def _notices(seed: int, rule: str) -> bool:
    try:
        World(seed, **BROKEN[rule], waived=RULES - {rule}).run()
    except Broken as broken:
        return broken.rule == rule
    except (AssertionError, KeyError, ValueError, TypeError):
        return False
    return False


def test_every_waived_rule_is_a_rule() -> None:
    assert NOT_YET <= RULES


def test_a_failure_shows_the_seed_and_what_came_last() -> None:
    with pytest.raises(Broken, match=r"^speech_starts_once: ") as raised:
        converse(1, session=bent(BENDS["speech_starts_once"]), traits=TRAITS)
    [note] = raised.value.__notes__
    assert note.startswith("seed 1, Traits(")
    assert "SpeechStarted(" in note.splitlines()[-1]
