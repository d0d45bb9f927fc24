from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.conversation.endpoint import (
    LONGEST_MS,
    MAX_WAIT_MS,
    SHORTEST_MS,
    Signals,
    completeness,
    endpoint_wait_ms,
    judged_wait_ms,
)
from voxtral_voice.conversation.events import TurnDetection

PROBABILITIES = st.none() | st.floats(-0.5, 1.5)
WORDS = st.none() | st.text(max_size=60) | st.sampled_from(["", "What is the capital of France?", "I would like a"])
SIGNALS = st.builds(
    Signals, PROBABILITIES, WORDS, PROBABILITIES, st.sampled_from([None, "en", "hi", "zh"]), st.floats(0, 90_000),
    st.lists(st.floats(0, 10_000), max_size=4).map(tuple),
)  # fmt: skip
PATIENCE = st.floats(0, 1)


def semantic(patience: float = 0.5) -> TurnDetection:
    return TurnDetection(patience=patience)


@given(SIGNALS, PATIENCE)
def test_the_wait_is_between_shortest_and_longest(signals: Signals, patience: float) -> None:
    assert 0 <= completeness(signals) <= 1
    assert SHORTEST_MS[0] <= endpoint_wait_ms(semantic(patience), signals) <= LONGEST_MS[-1]


@given(SIGNALS, st.sampled_from(["low", "medium", "high", "auto"]), PATIENCE)
def test_no_wait_is_longer_than_the_eagerness_allows(signals: Signals, eagerness: str, patience: float) -> None:
    detection = TurnDetection(eagerness=eagerness, patience=patience)  # type: ignore[arg-type]
    assert endpoint_wait_ms(detection, signals) <= MAX_WAIT_MS[eagerness]


@pytest.mark.parametrize("name", ["judged", "words_judged"])
@given(SIGNALS, st.floats(0, 1), st.floats(0, 1), PATIENCE)
def test_more_certain_is_never_slower(name: str, signals: Signals, a: float, b: float, patience: float) -> None:
    values = {field: getattr(signals, field) for field in Signals.__slots__}
    less, more = (Signals(**values | {name: value}) for value in sorted((a, b)))
    assert completeness(less) <= completeness(more)
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
    done = Signals(judged=0.9, words="I would like a pizza.", words_judged=0.5)
    unfinished = Signals(judged=0.9, words="I would like a.", words_judged=0.5)
    assert endpoint_wait_ms(semantic(), unfinished) > 2 * endpoint_wait_ms(semantic(), done)


def test_nothing_is_over_early_while_the_words_are_unknown() -> None:
    assert endpoint_wait_ms(semantic(), Signals(judged=1.0)) >= 400


@pytest.mark.parametrize(
    ("judged", "wait_ms"), [(1.0, 300), (2.0, 300), (0.0, 4000), (-1.0, 4000), (None, 1095), (0.5, 1095)]
)
def test_by_sound_alone_certainty_moves_the_wait(judged: float | None, wait_ms: float) -> None:
    assert judged_wait_ms(TurnDetection(), judged, 300) == pytest.approx(wait_ms, abs=1)
    assert judged_wait_ms(TurnDetection(kind="server_vad", silence_duration_ms=200), judged, 300) == 200
