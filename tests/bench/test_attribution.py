"""The rules by number, as the module's docstring has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.timeline import record, reply, said
from voxtral_voice.bench.attribution import exchanges
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Purpose,
    Refused,
    ReplyBegan,
    ReplyEnded,
    Said,
    TextArrived,
    TurnCommitted,
)

Seen = Observation | list[Observation]
FIRST, SECOND = said(0, 1), said(5, 6, clip="en-core/two")


def owners(things: tuple[Said, ...], *seen: Seen) -> list[list[float]]:
    """For each thing said, when its replies began."""
    return [[each.began for each in exchange.replies] for exchange in exchanges(record(things, *seen))]


# --- 2: whose reply


def test_a_reply_answers_what_was_said_last() -> None:
    assert owners((FIRST, SECOND), reply("a", 1.5), reply("b", 6.5)) == [[1.5], [6.5]]


def test_a_greeting_answers_nothing() -> None:
    assert owners((FIRST,), Heard(0.01, "x", "?"), reply("g", 0.05), reply("a", 1.5)) == [[1.5]]


def test_a_late_answer_belongs_to_what_was_committed() -> None:
    assert owners((FIRST, SECOND), TurnCommitted(1.2, "i"), reply("a", 5.5)) == [[5.5], []]


def test_a_commit_is_answered_once() -> None:
    seen = (TurnCommitted(1.2, "i"), reply("a", 1.3), reply("b", 5.5))
    assert owners((FIRST, SECOND), *seen) == [[1.3], [5.5]]


def test_a_late_commit_names_what_it_is_for_by_its_speech_end() -> None:
    late = TurnCommitted(5.5, "i", speech_end=1.05)
    assert owners((FIRST, SECOND), late, reply("a", 5.6)) == [[5.6], []]
    assert owners((FIRST, SECOND), replace(late, speech_end=None), reply("a", 5.6)) == [[], [5.6]]
    assert owners((FIRST, SECOND), replace(late, speech_end=99), reply("a", 5.6)) == [[], [5.6]]


def test_a_commit_of_a_noise_before_everything_is_nobodys() -> None:
    assert owners((FIRST,), TurnCommitted(0.05, "x"), reply("a", 0.5), reply("b", 1.5)) == [[1.5]]


def test_an_answer_to_a_tap_is_not_a_second_answer_to_the_question() -> None:
    tap = said(2, 2.3, "tap")
    assert owners((FIRST, tap), reply("a", 1.5, 3.0), TurnCommitted(2.5, "t"), reply("b", 2.6)) == [[1.5], [2.6]]
    assert owners((FIRST, tap), reply("a", 1.5, 3.0), reply("b", 2.6)) == [[1.5], [2.6]]


@pytest.mark.parametrize(
    "sign",
    [AudioArrived(1.5, "a", np.ones(9, np.float32)), TextArrived(1.5, "a", "Yes"), ReplyEnded(1.5, "a", "failed")],
)
def test_a_reply_begins_with_its_first_sign(sign: Observation) -> None:
    assert owners((FIRST,), sign, reply("a", 1.6)) == [[1.5]]


def test_empty_audio_is_none() -> None:
    [exchange] = exchanges(record([FIRST], ReplyBegan(1.2, "a"), AudioArrived(1.3, "a", np.zeros(0, np.float32))))
    assert exchange.replies[0].played is None
    assert exchange.replies[0].arrivals == []


# --- 1 and 3: commits and cut-ins


def cut_ins(thing: Said, *seen: Seen) -> list[float]:
    return exchanges(record([thing], *seen))[0].cut_ins()


def test_a_reply_heard_before_the_end_is_a_cut_in() -> None:
    assert cut_ins(FIRST, reply("a", 0.5)) == [0.51]


def test_a_turn_committed_before_the_end_is_a_cut_in_though_nothing_was_heard() -> None:
    assert cut_ins(FIRST, TurnCommitted(0.5, "i")) == [0.5]
    withdrawn: list[Observation] = [ReplyBegan(0.6, "a"), ReplyEnded(0.7, "a", "cancelled")]
    assert cut_ins(FIRST, TurnCommitted(0.5, "i"), withdrawn, TurnCommitted(1.2, "j"), reply("b", 1.3)) == [0.5]


def test_a_commit_and_the_reply_to_it_are_one() -> None:
    assert cut_ins(FIRST, TurnCommitted(0.5, "i"), reply("a", 0.6)) == [0.5]


def test_a_retracted_commit_is_none() -> None:
    assert cut_ins(FIRST, TurnCommitted(0.5, "i"), TurnCommitted(1.2, "i"), reply("a", 1.3)) == []


def test_what_was_heard_of_a_retracted_commit_is_a_cut_in_all_the_same() -> None:
    seen = (TurnCommitted(0.5, "i"), reply("a", 0.6, 0.1), TurnCommitted(1.2, "i"), reply("b", 1.3))
    assert cut_ins(FIRST, *seen) == [0.61]


def test_a_reply_that_was_withdrawn_unheard_is_none() -> None:
    withdrawn: list[Observation] = [ReplyBegan(0.5, "a"), ReplyEnded(0.6, "a", "cancelled")]
    assert cut_ins(FIRST, withdrawn, TurnCommitted(1.2, "i"), reply("b", 1.3)) == []


def test_a_reply_that_was_flushed_before_its_sound_is_none() -> None:
    silent: list[Observation] = [AudioArrived(0.5, "a", np.zeros(12_000, np.float32)), Flushed(0.7)]
    assert cut_ins(FIRST, silent, reply("b", 1.3)) == []


def test_an_early_reply_that_is_heard_in_time_is_none() -> None:
    assert cut_ins(FIRST, ReplyBegan(0.5, "a"), AudioArrived(1.1, "a", np.ones(2_400, np.float32))) == []


def test_nothing_cuts_into_a_tap() -> None:
    assert cut_ins(said(0, 1, "tap"), TurnCommitted(0.5, "i"), reply("a", 0.6)) == []


# --- 4: the answer


def answer(things: list[Said], *seen: Seen) -> list[float]:
    return [part.began for part in exchanges(record(things, *seen))[0].answer()]


def test_without_a_reply_there_is_no_answer() -> None:
    assert answer([FIRST]) == []


def test_after_a_cut_in_it_is_the_reply_to_the_whole() -> None:
    assert answer([FIRST], reply("a", 0.5, ended=0.8, status="cancelled"), reply("b", 1.3)) == [1.3]


def test_after_an_early_commit_it_is_the_reply_to_the_whole() -> None:
    seen = (TurnCommitted(0.5, "i"), reply("a", 1.1, 0.3), TurnCommitted(1.2, "j"), reply("b", 1.6))
    assert answer([FIRST], *seen) == [1.6]


def test_without_another_it_is_the_cut_in() -> None:
    assert answer([FIRST], reply("a", 0.5, 3.0)) == [0.5]


def test_a_reply_in_two_parts_is_one_answer() -> None:
    assert answer([FIRST], reply("a", 1.3), reply("b", 2.5)) == [1.3, 2.5]


def test_a_silent_part_before_the_first_sound_is_left_out() -> None:
    assert answer([FIRST], [ReplyBegan(1.2, "t"), ReplyEnded(1.3, "t", "completed")], reply("a", 1.6)) == [1.6]


@pytest.mark.parametrize("withdrawal", [Flushed(1.5), ReplyEnded(1.5, "a", "cancelled")])
def test_one_that_the_server_took_back_is_not_the_answer(withdrawal: Observation) -> None:
    assert answer([FIRST], reply("a", 1.1, 3.0)[:2], withdrawal, reply("b", 1.8)) == [1.8]


def test_one_that_was_interrupted_is() -> None:
    interruption = said(1.5, 2.5, "barge_in")
    assert answer([FIRST, interruption], reply("a", 1.1, 3.0), Flushed(1.8), reply("b", 2.8)) == [1.1]


def test_if_all_failed_it_is_the_last() -> None:
    failed: list[Observation] = [ReplyBegan(1.3, "b"), ReplyEnded(1.4, "b", "failed", "no voice")]
    assert answer([FIRST], reply("a", 0.5, ended=0.8, status="cancelled"), failed) == [1.3]


# --- 5: transcripts


def heard(things: list[Said], *seen: Seen) -> list[str | None]:
    return [exchange.heard() for exchange in exchanges(record(things, *seen))]


def test_a_late_transcript_belongs_to_its_item() -> None:
    assert heard([FIRST, SECOND], TurnCommitted(1.2, "i"), Heard(5.5, "i", "What?")) == ["What?", None]


def test_a_transcript_without_a_commit_belongs_to_what_was_said_last() -> None:
    assert heard([FIRST, SECOND], Heard(1.2, "i", "What?"), Heard(6.2, "j", "Where?")) == ["What?", "Where?"]


def test_transcripts_of_a_turn_cut_in_two_are_put_together_in_order() -> None:
    commits: list[Observation] = [TurnCommitted(0.5, "i"), TurnCommitted(1.2, "j")]
    assert heard([FIRST], commits, Heard(1.3, "j", "is that?"), Heard(1.4, "i", "What")) == ["What is that?"]


def test_a_failed_or_partial_transcript_is_none() -> None:
    assert heard([FIRST], Heard(1.2, "i", None), Heard(1.3, "j", "Wh", final=False)) == [None]


# --- the older reply, and troubles


def older(purpose: Purpose, begin: float, *seen: Seen) -> float | None:
    found = exchanges(record([FIRST, said(begin, begin + 1, purpose)], *seen))[1].older
    return found.began if found else None


def test_the_older_reply_is_the_one_being_played() -> None:
    assert older("barge_in", 2.0, reply("a", 1.2, 3.0)) == 1.2
    assert older("barge_in", 2.0, reply("a", 1.2, 0.5)) is None
    assert older("barge_in", 2.0, [AudioArrived(1.2, "a", np.zeros(72_000, np.float32))]) is None
    assert older("barge_in", 2.0) is None


def test_of_two_in_the_queue_it_is_the_latest() -> None:
    assert older("tap", 2.0, reply("a", 1.2, 3.0), reply("b", 1.5, 3.0)) == 1.5


def test_a_refusal_belongs_to_what_was_said_last() -> None:
    found = exchanges(record([FIRST, SECOND], Refused(1.5, "too long")))
    assert [exchange.refusal for exchange in found] == ["too long", None]


def test_a_lost_connection_is_the_reason_of_everything_unanswered() -> None:
    overdue, waiting = replace(FIRST, deadline_s=2.0), said(10, 11)
    found = exchanges(record([overdue, SECOND, waiting], reply("a", 6.5), Lost(10.5, "gone")))
    assert [exchange.refusal for exchange in found] == [None, None, "The connection broke: gone"]
    assert [exchange.lost_at for exchange in found] == [10.5] * 3
