from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.endpoint import (
    LONGEST_MS,
    SHORTEST_MS,
    UNJUDGED_MS,
    Signals,
    endpoint_wait_ms,
    log_odds,
    odds_of_ending,
)
from voxtral_voice.conversation.events import TurnDetection

PROBABILITIES = st.none() | st.floats(-0.5, 1.5)
WORDS = st.none() | st.text(max_size=60) | st.sampled_from(["", "What is the capital of France?", "I would like a"])
SIGNALS = st.builds(
    Signals, PROBABILITIES, WORDS, PROBABILITIES, st.sampled_from([None, "en", "hi", "zh"])
)  # fmt: skip
PATIENCE = st.floats(0, 1)


def semantic(patience: float = 0.5) -> TurnDetection:
    return TurnDetection(patience=patience)


@given(SIGNALS, PATIENCE)
def test_the_wait_is_between_shortest_and_longest(signals: Signals, patience: float) -> None:
    assert math.isfinite(log_odds(signals))
    assert SHORTEST_MS[0] <= endpoint_wait_ms(semantic(patience), signals) <= LONGEST_MS[-1]


@pytest.mark.parametrize("name", ["judged", "words_judged"])
@given(SIGNALS, st.floats(0, 1), st.floats(0, 1), PATIENCE)
def test_more_certain_is_never_slower(name: str, signals: Signals, a: float, b: float, patience: float) -> None:
    values = {field: getattr(signals, field) for field in Signals.__slots__}
    less, more = (Signals(**values | {name: value}) for value in sorted((a, b)))
    assert log_odds(less) <= log_odds(more)
    assert endpoint_wait_ms(semantic(patience), more) <= endpoint_wait_ms(semantic(patience), less)


@given(SIGNALS, PATIENCE, PATIENCE)
def test_more_patient_is_never_faster(signals: Signals, a: float, b: float) -> None:
    fast, careful = sorted((a, b))
    assert endpoint_wait_ms(semantic(fast), signals) <= endpoint_wait_ms(semantic(careful), signals)


@given(SIGNALS, st.integers(0, 5000))
def test_server_vad_waits_for_what_the_client_said(signals: Signals, silence_ms: int) -> None:
    assert endpoint_wait_ms(TurnDetection(kind="server_vad", silence_duration_ms=silence_ms), signals) == silence_ms


@pytest.mark.parametrize("words", ["and " * 25_000, "a" * 100_000, "\u0301" * 100_000, "\ud800", "।" * 100_000])
def test_any_words_cost_little(words: str) -> None:
    signals = Signals(judged=0.5, words=words, words_judged=0.5)
    began = time.thread_time()
    for _ in range(100):
        assert math.isfinite(endpoint_wait_ms(semantic(), signals))
    assert time.thread_time() - began < 1.0


def test_a_word_that_ends_no_sentence_makes_the_wait_longer() -> None:
    done = Signals(judged=0.9, words="I would like a pizza.")
    unfinished = Signals(judged=0.9, words="I would like a.")
    broken_off = Signals(judged=0.9, words="I would like...")
    unmarked = Signals(judged=0.9, words="I would like a pizza")
    assert log_odds(unfinished) < log_odds(unmarked) < log_odds(done)
    assert log_odds(broken_off) < log_odds(unmarked)
    assert endpoint_wait_ms(semantic(), unfinished) > endpoint_wait_ms(semantic(), done)


@given(SIGNALS, st.sampled_from(["I would like a pizza.", "I would like a", "I would like...", "x"]))
def test_how_the_words_end_may_be_told_in_their_place(signals: Signals, words: str) -> None:
    told = replace(signals, words="xxx", ending=odds_of_ending(words))
    assert log_odds(told) == log_odds(replace(signals, words=words))


def test_sound_that_is_not_quite_sure_ends_nothing_before_the_words() -> None:
    assert endpoint_wait_ms(semantic(), Signals(judged=0.97)) >= 1000
    assert endpoint_wait_ms(semantic(), Signals()) >= 1600


def test_words_that_nobody_judges_end_a_turn_too() -> None:
    assert 330 <= endpoint_wait_ms(semantic(), Signals(judged=0.98, words="Is it far?")) <= 400


QUICK, SLOW = (100, 330), (1500, 2300)
RECORDED = [
    # judged, words, words_judged, language, wait in ms
    (0.980, "What is the capital of France?", 0.9965, "en", QUICK),
    (0.986, "who wrote Romeo and Juliet.", 0.8905, "en", QUICK),
    (0.953, "What should I cook tonight?", 0.9213, "en", QUICK),
    (0.963, "What color is the sky?", 0.6321, "en", (200, 700)),
    (0.967, "What do bees make?", 0.3886, "en", (300, 1200)),
    (0.984, "Nobody is available to take your call at the moment.", 0.8504, "en", QUICK),
    (0.288, "You are now unmuted.", 0.527, "en", (1200, 2300)),
    (0.989, "आज मौसम कैसा है?", None, "hi", (300, 400)),
    (0.549, "And Mr. John Dashwood had then...", 0.0316, "en", SLOW),
    (0.962, "Unless to be rather.", 0.1121, "en", (1000, 2300)),
    (0.027, "Had he married a more amiable woman he might have been made?", 0.0607, "en", SLOW),
    (0.114, "Go somewhere in.", 0.0001, "en", SLOW),
    (0.131, "33 4 6", 0.0276, "en", SLOW),
    (0.978, "29", 0.2572, "en", (400, 2000)),
    (0.313, "I would like to order a...", 0.0001, "en", SLOW),
    (0.817, "Can you book a table for...", 0.0001, "en", SLOW),
    (0.950, "Please remind me to...", 0.0001, "en", SLOW),
    (0.304, "मुझे खल सुबह", None, "hi", SLOW),
]
"""As Smart Turn, Whisper base and SmolLM2 judged clips of the corpus: the first eight at their ends."""


@pytest.mark.parametrize(("judged", "words", "words_judged", "language", "between_ms"), RECORDED)
def test_recorded_silences(
    judged: float, words: str, words_judged: float | None, language: str, between_ms: tuple[float, float]
) -> None:
    low, high = between_ms
    assert low <= endpoint_wait_ms(semantic(), Signals(judged, words, words_judged, language)) <= high


def test_time_for_a_judgement_of_the_words_is_kept_only_where_there_may_be_one() -> None:
    sure = Signals(0.999, "Order a pizza.", None, "en")
    assert endpoint_wait_ms(semantic(), sure) == UNJUDGED_MS
    assert endpoint_wait_ms(semantic(), replace(sure, judging=False)) < UNJUDGED_MS
