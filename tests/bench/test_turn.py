from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.timeline import ONSET_S, record, reply, said, silence, tone
from voxtral_voice.bench.player import PLAY_RATE_HZ
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Refused,
    ReplyBegan,
    ReplyEnded,
    Said,
    TextArrived,
    TurnCommitted,
)
from voxtral_voice.bench.score import figures
from voxtral_voice.bench.turn import TurnFigures, turns

Seen = Observation | list[Observation]
ROUNDED_MS = 0.2
"""Each figure is rounded to 0.1 ms."""
QUESTION = said(0, 1)
OLD = reply("old", 1.2, 8.0)
"""Heard from 1.21 to 9.21 s; the server has said all of it at 1.22."""


def one(*seen: Seen, thing: Said = QUESTION, jitter_ms: float = 0.0) -> TurnFigures:
    return turns(record([thing], *seen), jitter_ms)[0]


# --- V2V and its parts


def test_v2v_runs_from_the_last_voiced_sample_to_the_first_audible_one() -> None:
    turn = one(ReplyBegan(1.2, "a"), AudioArrived(1.3, "a", np.concatenate((silence(0.2), tone(1.0)))))
    assert (turn.v2v_ms, turn.wire_ms, turn.leading_silence_ms) == (500.0, 300.0, 200.0)
    assert (turn.played_ms, len(turn.audio)) == (1200.0, 1.2 * PLAY_RATE_HZ)
    assert turn.counted_v2v_ms == 500.0
    assert not turn.missed


def test_silence_is_not_sound() -> None:
    turn = one(ReplyBegan(1.2, "a"), AudioArrived(1.3, "a", silence(2.0)))
    assert (turn.v2v_ms, turn.wire_ms, turn.leading_silence_ms) == (None, 300.0, None)
    assert turn.missed


def test_a_jitter_buffer_is_part_of_v2v_and_saves_an_underrun() -> None:
    seen: list[Seen] = [ReplyBegan(1.2, "a"), AudioArrived(1.3, "a", tone(0.1)), AudioArrived(1.45, "a", tone(0.1))]
    bare, buffered = one(*seen), one(*seen, jitter_ms=60)
    assert (bare.v2v_ms, bare.underruns, bare.longest_gap_ms) == (300.0, 1, 50.0)
    assert (buffered.v2v_ms, buffered.wire_ms, buffered.underruns, buffered.longest_gap_ms) == (360.0, 300.0, 0, 0.0)


def test_a_reply_in_two_parts_counts_from_the_first_and_is_heard_whole() -> None:
    parts: list[Seen] = [
        reply("a", 1.2, 0.5),
        TextArrived(1.2, "a", "Let me see. "),
        TextArrived(2.5, "b", "Paris."),
        reply("b", 2.5),
    ]
    turn = one(*parts)
    assert turn.v2v_ms == 210.0
    assert turn.said == "Let me see. Paris."
    assert (turn.played_ms, len(turn.audio), turn.underruns) == (1500.0, 1.5 * PLAY_RATE_HZ, 0)


# --- cut-ins


def test_a_reply_before_the_end_is_a_cut_in_and_in_no_quantile() -> None:
    turn = one(reply("a", 0.5, 3.0))
    assert (turn.v2v_ms, turn.cut_ins, turn.answered_early, turn.missed) == (-490.0, 1, True, False)
    assert turn.counted_v2v_ms is None


def test_a_reply_heard_after_an_early_commit_is_in_no_quantile_either() -> None:
    turn = one(TurnCommitted(0.6, "i"), reply("a", 1.01))
    assert (turn.v2v_ms, turn.cut_ins, turn.answered_early) == (20.0, 1, True)
    assert turn.counted_v2v_ms is None


def test_the_answer_after_a_cut_in_counts() -> None:
    turn = one(reply("a", 0.5, ended=0.8, status="cancelled"), Flushed(0.8), reply("b", 1.4))
    assert (turn.v2v_ms, turn.counted_v2v_ms, turn.cut_ins, turn.status) == (410.0, 410.0, 1, "completed")


@pytest.mark.parametrize(
    ("replies", "cut"),
    [
        ([], 0),
        ([reply("a", 0.5, 0.1)], 0),  # before the first pause: a cut-in, but no pause was taken for the end
        ([reply("a", 1.1, 0.1)], 1),
        ([reply("a", 1.5, 0.1)], 1),  # after the pause, before the next: that is where it was decided
        ([reply("a", 1.1, 0.1), reply("b", 1.3, 0.1)], 1),
        ([reply("a", 1.1, 0.1), reply("b", 2.1, 0.1)], 2),
    ],
)
def test_pauses_that_were_cut_are_counted(replies: list[Seen], cut: int) -> None:
    hold = said(0, 3, kind="hold", pauses=((1.0, 1.4), (2.0, 2.4)))
    turn = one(*replies, thing=hold)
    assert (turn.pauses, turn.pauses_cut, turn.cut_ins) == (2, cut, len(replies))


# --- missed


def test_no_answer_is_missed_and_counts_as_the_deadline() -> None:
    turn = one(thing=replace(QUESTION, deadline_s=7))
    assert (turn.status, turn.missed, turn.v2v_ms, turn.counted_v2v_ms) == ("no_answer", True, None, 7000.0)
    assert (turn.said, turn.heard, len(turn.audio), turn.played_ms, turn.error) == ("", None, 0, 0, None)


@pytest.mark.parametrize(("at", "missed"), [(15.9, False), (16.1, True)])
def test_an_answer_after_the_deadline_is_missed(at: float, missed: bool) -> None:
    turn = one(reply("a", at))
    assert turn.missed is missed
    assert turn.counted_v2v_ms == (15_000.0 if missed else 14_910.0)


def test_a_reply_that_was_over_before_the_end_is_no_answer() -> None:
    turn = one(reply("a", 0.2, 0.3))
    assert (turn.cut_ins, turn.missed, turn.counted_v2v_ms) == (1, True, 15_000.0)


def test_a_cut_in_that_was_taken_back_is_no_answer() -> None:
    turn = one(reply("a", 0.5, 3.0), Flushed(1.2))
    assert (turn.cut_ins, turn.missed) == (1, True)


def test_a_reply_that_was_interrupted_is_an_answer() -> None:
    first, _ = turns(record([QUESTION, said(2, 3, "barge_in")], OLD, Flushed(2.5)))
    assert (first.missed, first.v2v_ms, first.played_ms) == (False, 210.0, 1290.0)


def test_a_tap_wants_no_answer() -> None:
    tap = one(thing=said(0, 1, "tap"))
    assert (tap.missed, tap.wants_answer, tap.status) == (False, False, "no_answer")


# --- how it ended


def test_a_failed_reply_says_why() -> None:
    turn = one(ReplyBegan(1.2, "a"), ReplyEnded(1.3, "a", "failed", "the voice broke"))
    assert (turn.status, turn.error, turn.missed) == ("failed", "the voice broke", True)


def test_a_reply_that_never_ended_is_unfinished() -> None:
    assert one(reply("a", 1.2)[:2]).status == "unfinished"
    assert one(reply("a", 1.2)[:1]).status == "no_answer"


def test_a_refusal_is_the_reason_of_a_missed_turn_only() -> None:
    assert one(Refused(1.2, "too long")).error == "too long"
    assert one(Refused(1.2, "no such item"), reply("a", 1.3)).error is None


def test_what_is_left_when_the_connection_breaks_is_missed() -> None:
    first, second, third = turns(
        record([QUESTION, said(5, 6), said(6.5, 7)], reply("a", 1.2), ReplyBegan(6.2, "b"), Lost(6.3, "it closed"))
    )
    assert (first.missed, first.error) == (False, None)
    assert (second.missed, second.status, second.error) == (True, "no_answer", "The connection broke: it closed")
    assert (third.missed, third.error) == (True, "The connection broke: it closed")


def test_a_late_transcript_is_the_turns_own() -> None:
    first, second = turns(
        record([QUESTION, said(5, 6)], TurnCommitted(1.1, "i"), reply("a", 1.2), Heard(5.9, "i", "What?"))
    )
    assert (first.heard, second.heard) == ("What?", None)


# --- what the server says of itself


def traced(trace: Any) -> TurnFigures:
    return one(reply("a", 1.2)[:2], ReplyEnded(1.3, "a", "completed", None, trace))


def test_the_servers_stages_are_passed_on() -> None:
    turn = traced({"stages_ms": {"silence": 64, "transcript": 30.5}, "endpoint_ms": 200})
    assert turn.stages_ms == {"silence": 64.0, "transcript": 30.5}
    assert turn.endpoint_ms == 200.0


@pytest.mark.parametrize(
    "trace",
    [
        None,
        {},
        [1],
        "x",
        7,
        {"stages_ms": 3, "endpoint_ms": "9"},
        {"stages_ms": {"a": True, "b": float("nan"), "c": None}},
        {"stages_ms": {"a": 1e308, "b": -1, "c": 10**400, "d": float("inf")}, "endpoint_ms": 1e308},
    ],
)
def test_a_trace_of_another_shape_is_none(trace: Any) -> None:
    assert (traced(trace).stages_ms, traced(trace).endpoint_ms) == ({}, None)


@pytest.mark.parametrize("status", ["exploded", None, 3, [1], {"a": 1}])
def test_a_status_that_nobody_knows_is_incomplete(status: Any) -> None:
    seen = record([QUESTION], [*reply("a", 1.2)[:2], ReplyEnded(1.3, "a", status)])
    assert turns(seen)[0].status == "incomplete"
    assert figures([seen]).statuses == {"incomplete": 1}


def test_it_is_json_without_the_audio() -> None:
    turn = traced({"stages_ms": {"silence": 64}})
    fields = orjson.loads(orjson.dumps(turn.as_json()))
    assert (fields["said_clip"], fields["v2v_ms"], fields["stages_ms"]) == ("en-core/one", 210.0, {"silence": 64.0})
    assert not fields.keys() & {"audio", "trace"}


# --- barge-in


def over(thing: Said, *seen: Seen, older: Seen = OLD) -> TurnFigures:
    return turns(record([QUESTION, thing], older, *seen))[1]


def barge_in(*seen: Seen, older: Seen = OLD) -> TurnFigures:
    """Its onset is at 2.1 s."""
    return over(said(2, 3, "barge_in"), *seen, older=older)


def stop(turn: TurnFigures) -> tuple[bool | None, float | None, float | None, float]:
    return turn.stopped, turn.stop_ms, turn.server_stop_ms, turn.old_audio_after_stop_ms


def test_a_flush_stops_the_older_reply() -> None:
    assert stop(barge_in(Flushed(2.4))) == (True, 300.0, 300.0, 0.0)


def test_audio_of_the_older_reply_after_the_flush_is_counted_and_is_the_servers_stop() -> None:
    turn = barge_in(Flushed(2.4), AudioArrived(2.6, "old", tone(0.25)))
    assert stop(turn) == (True, 300.0, 500.0, 250.0)


def test_a_server_that_only_stops_sending_is_silent_when_the_queue_is_empty() -> None:
    older: list[Observation] = [
        ReplyBegan(1.2, "old"),
        AudioArrived(1.3, "old", tone(1.0)),
        AudioArrived(2.2, "old", tone(0.4)),
        ReplyEnded(2.5, "old", "cancelled"),
    ]
    assert stop(barge_in(older=older)) == (True, 600.0, 100.0, 0.0)


def test_a_reply_that_had_just_fallen_silent_took_no_time_to_stop() -> None:
    older: list[Observation] = [
        ReplyBegan(1.2, "old"),
        AudioArrived(1.3, "old", np.concatenate((tone(0.5), silence(3.0)))),
    ]
    assert stop(barge_in(Flushed(2.4), older=older)) == (True, 0.0, 300.0, 0.0)


def test_a_stop_after_two_seconds_is_none() -> None:
    assert stop(barge_in(Flushed(4.2))) == (False, 2100.0, 2100.0, 0.0)


def test_a_reply_that_goes_on_was_not_stopped() -> None:
    assert stop(barge_in()) == (False, 7110.0, 0.0, 0.0)


def test_a_reply_that_comes_to_its_own_end_says_nothing() -> None:
    assert stop(barge_in(older=reply("old", 1.2, 2.0))) == (None, None, None, 0.0)


def test_a_reply_cancelled_before_the_interruption_says_nothing() -> None:
    assert stop(barge_in(older=reply("old", 1.2, 1.5, ended=1.9, status="cancelled"))) == (None, None, None, 0.0)


def test_there_may_be_nothing_to_stop() -> None:
    assert stop(barge_in(Flushed(2.4), older=[])) == (None, None, None, 0.0)
    assert stop(over(said(2, 3), Flushed(2.4))) == (None, None, None, 0.0)


def test_a_connection_that_breaks_says_nothing() -> None:
    assert stop(barge_in(Lost(2.5, "it closed"))) == (None, None, None, 0.0)
    assert stop(barge_in(Flushed(2.4), Lost(9.0, "it closed")))[0] is True


# --- taps


def tap(*seen: Seen, older: Seen = OLD, then: tuple[Said, ...] = ()) -> TurnFigures:
    """From 2.0 to 2.5 s."""
    return turns(record([QUESTION, said(2, 2.5, "tap"), *then], older, *seen))[1]


def test_a_reply_that_goes_on_over_a_tap_is_right() -> None:
    assert stop(tap()) == (False, None, None, 0.0)


def test_a_flush_at_a_tap_is_a_false_stop() -> None:
    assert stop(tap(Flushed(2.4))) == (True, 300.0, 300.0, 0.0)


@pytest.mark.parametrize(("at", "stopped"), [(3.4, True), (3.6, False)])
def test_a_false_stop_comes_within_a_second_after_the_tap(at: float, stopped: bool) -> None:
    assert tap(Flushed(at)).stopped is stopped
    assert tap(older=reply("old", 1.2, 8.0, ended=at, status="cancelled")).stopped is stopped


def test_what_is_said_next_is_not_the_taps_fault() -> None:
    assert tap(Flushed(3.4), then=(said(3, 4, "barge_in"),)).stopped is False


def test_a_reply_that_comes_to_its_own_end_over_a_tap_was_not_stopped() -> None:
    assert tap(older=reply("old", 1.2, 1.2)).stopped is False


def test_a_tap_into_silence_says_nothing() -> None:
    assert tap(older=[]).stopped is None


# --- always


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2), st.integers(1, 4_800), st.booleans()), max_size=15))
def test_the_parts_of_v2v_do_not_exceed_it(steps: list[tuple[float, int, int, bool]]) -> None:
    """(seconds that pass, reply, samples, whether audible). More than the parts: waiting for another reply to end."""
    now, seen = 1.05, list[Seen]()
    for step, name, samples, audible in steps:
        now += step
        seen.append(AudioArrived(now, str(name), (tone if audible else silence)(samples / PLAY_RATE_HZ)))
    turn = one(*seen, thing=replace(QUESTION, deadline_s=99))
    assert turn.missed == (turn.v2v_ms is None)
    if turn.v2v_ms is not None and turn.wire_ms is not None and turn.leading_silence_ms is not None:
        assert turn.v2v_ms >= turn.wire_ms + turn.leading_silence_ms - ROUNDED_MS
    assert turn.played_ms == pytest.approx(len(turn.audio) * 1000 / PLAY_RATE_HZ, abs=ROUNDED_MS)


def test_onset_is_where_a_stop_is_counted_from() -> None:
    later = over(replace(said(2, 3, "barge_in"), onset=2.3), Flushed(2.4))
    assert (later.stop_ms, barge_in(Flushed(2.4)).stop_ms) == (100.0, 400.0 - 1000 * ONSET_S)


# --- the decision, echoes, noise


def test_the_stop_after_the_decision_runs_from_the_first_word_of_the_server() -> None:
    thing = said(2.0, 3.0, "barge_in")
    told: list[Seen] = [ReplyEnded(2.35, "old", "cancelled"), Flushed(2.4)]
    turn = turns(record([QUESTION, thing], OLD[:2], *told))[1]
    assert turn.stop_ms == pytest.approx(300, abs=ROUNDED_MS)
    assert turn.decision_stop_ms == pytest.approx(50, abs=ROUNDED_MS)
    at_once = turns(record([QUESTION, thing], OLD, Flushed(2.4)))[1]
    assert at_once.decision_stop_ms == pytest.approx(0, abs=ROUNDED_MS)
    assert turns(record([QUESTION, thing], reply("old", 1.2, 0.9)))[1].decision_stop_ms is None


ECHO = said(1.23, 9.3, "echo", "own-echo/-10 dB", condition="own echo -10 dB", onset=1.23)


def echoed(*seen: Seen) -> TurnFigures:
    return turns(record([QUESTION, ECHO], OLD, *seen))[1]


def test_a_reply_that_survives_its_own_echo() -> None:
    turn = echoed()
    assert (turn.stopped, turn.wants_answer, turn.missed, turn.commits) == (False, False, False, 0)


def test_an_echo_that_breaks_the_reply_off() -> None:
    turn = echoed(Flushed(4.0))
    assert turn.stopped is True
    assert turn.stop_ms == pytest.approx(2770, abs=ROUNDED_MS)


def test_an_echo_that_is_taken_for_a_turn() -> None:
    turn = echoed(TurnCommitted(9.4, "i", 9.2), reply("self", 9.5))
    assert (turn.stopped, turn.stop_ms, turn.commits, turn.replies, turn.cut_ins) == (True, None, 1, 1, 0)


def test_noise_that_is_taken_for_a_turn() -> None:
    noise = said(0, 10, "soak", "soak/white-20", kind="soak", onset=0.0)
    turn = one(TurnCommitted(5, "i", 4.0), reply("a", 5.1), TurnCommitted(8, "j", 7.5), thing=noise)
    assert (turn.commits, turn.replies, turn.said_ms) == (2, 1, 10_000)
    assert (turn.wants_answer, turn.missed, turn.cut_ins, turn.stopped) == (False, False, 0, None)
