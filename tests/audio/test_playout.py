from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.audio.playout import PlayoutLedger

CLOSE_MS = 1e-6
"""Rounding of seconds to milliseconds and back."""

steps = st.lists(
    st.tuples(st.floats(0, 2), st.one_of(st.none(), st.floats(0, 3_000))),
    max_size=50,
)
"""(seconds that pass, milliseconds of audio sent then, or None: only looked)."""


def test_nothing_sent_is_nothing_heard() -> None:
    ledger = PlayoutLedger()
    assert ledger.heard_ms(10.0) == ledger.ahead_ms(10.0) == ledger.sent_ms == 0
    assert ledger.ends_at() == -math.inf


def test_play_begins_on_arrival_and_goes_on() -> None:
    ledger = PlayoutLedger()
    assert ledger.sent(10.0, 400) == 10.0
    assert ledger.sent(10.1, 200) == pytest.approx(10.4)
    assert ledger.ends_at() == pytest.approx(10.6)
    assert ledger.heard_ms(10.25) == pytest.approx(250)
    assert ledger.ahead_ms(10.25) == pytest.approx(350)
    assert ledger.heard_ms(99) == ledger.sent_ms == 600
    assert ledger.underruns == 0


def test_a_gap_is_counted_and_is_not_heard_as_audio() -> None:
    ledger = PlayoutLedger()
    ledger.sent(10.0, 100)
    assert ledger.sent(10.35, 100) == 10.35
    assert ledger.heard_ms(10.40) == pytest.approx(150)
    ledger.sent(10.5, 100)
    assert ledger.underruns == 2
    assert ledger.longest_gap_ms == pytest.approx(250)


def test_audio_waits_for_what_is_in_the_player_already() -> None:
    ledger = PlayoutLedger(free_at=11.0)
    assert ledger.ends_at() == 11.0
    assert ledger.sent(10.0, 500) == 11.0
    assert ledger.heard_ms(10.9) == 0
    assert ledger.heard_ms(11.2) == pytest.approx(200)
    assert ledger.underruns == 0


def test_coming_late_for_the_first_time_is_no_underrun() -> None:
    ledger = PlayoutLedger(free_at=1.0)
    ledger.sent(5.0, 100)
    assert ledger.underruns == 0


@given(steps)
def test_heard_never_exceeds_sent_and_never_shrinks(steps: list[tuple[float, float | None]]) -> None:
    ledger, now, heard = PlayoutLedger(), 1_000.0, 0.0
    for wait_s, audio_ms in steps:
        now += wait_s
        if audio_ms is not None:
            assert ledger.sent(now, audio_ms) >= now
        assert heard - CLOSE_MS <= ledger.heard_ms(now) <= ledger.sent_ms
        assert ledger.heard_ms(now) + ledger.ahead_ms(now) == pytest.approx(ledger.sent_ms, abs=CLOSE_MS)
        heard = ledger.heard_ms(now)


@given(steps)
def test_no_more_is_heard_than_time_went_by(steps: list[tuple[float, float | None]]) -> None:
    ledger, now = PlayoutLedger(), 1_000.0
    for wait_s, audio_ms in steps:
        before = ledger.heard_ms(now)
        now += wait_s
        assert ledger.heard_ms(now) - before <= wait_s * 1000 + CLOSE_MS
        if audio_ms is not None:
            ledger.sent(now, audio_ms)


@given(steps)
def test_everything_is_heard_in_the_end(steps: list[tuple[float, float | None]]) -> None:
    ledger, now = PlayoutLedger(), 0.0
    for wait_s, audio_ms in steps:
        now += wait_s
        ledger.sent(now, audio_ms or 0.0)
    assert ledger.heard_ms(max(now, ledger.ends_at())) == pytest.approx(ledger.sent_ms, abs=CLOSE_MS)


@pytest.mark.parametrize(
    ("away_ms", "unheard_ms", "ahead_ms"),
    [
        (0.0, 0.0, 600.0),
        (200.0, 0.0, 400.0),  # its player went on with what it had
        (5_000.0, 0.0, 0.0),
        (0.0, 300.0, 600.0),
        (200.0, 300.0, 400.0),
        (5_000.0, 300.0, 300.0),  # all that it had was played: what it gets now begins now
        (0.0, 1_000.0, 1_000.0),  # not even what was thought to be played had come
    ],
)
def test_a_listener_that_was_away(away_ms: float, unheard_ms: float, ahead_ms: float) -> None:
    ledger = PlayoutLedger()
    ledger.sent(10.0, 1_000)
    assert ledger.ahead_ms(10.4) == pytest.approx(600)
    ledger.resumed(10.4, away_ms, unheard_ms)
    assert ledger.ahead_ms(10.4) == pytest.approx(ahead_ms)
    assert ledger.heard_ms(10.4) == pytest.approx(1_000 - ahead_ms)
