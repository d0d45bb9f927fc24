from __future__ import annotations

from typing import Any

import pytest

from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.server.allowance import (
    APPENDS_BURST,
    APPENDS_PER_S,
    EVENTS_BURST_S,
    LONGEST_WAIT_S,
    Allowance,
    Bucket,
)


def allowance(**limits: Any) -> Allowance:
    return Allowance(LimitsConfig(**limits))


def test_a_bucket_fills_with_time_and_no_further() -> None:
    bucket = Bucket(2.0, 10.0)
    assert bucket.take(10.0, 5.0) == 0.0
    assert not bucket.has(1.0, 5.0)
    assert bucket.has(1.0, 5.5)
    assert bucket.take(1.0, 5.5) == 0.0
    assert bucket.take(10.0, 1000.0) == 0.0
    assert bucket.take(1.0, 1000.0) == 0.5
    assert bucket.take(1.0, 1000.0) == 1.0
    assert not bucket.has(0.5, 1000.5)


def test_a_clock_that_stands_still_or_goes_back_fills_nothing() -> None:
    bucket = Bucket(2.0, 1.0)
    bucket.take(1.0, 10.0)
    assert not bucket.has(0.1, 9.0)


def test_who_speaks_as_one_speaks_never_waits() -> None:
    mine = allowance()
    assert all(mine.audio(0.02, 0.02 * piece) == 0.0 for piece in range(50 * 600))


def test_twice_as_fast_is_taken_for_ever() -> None:
    mine = allowance()
    assert all(mine.audio(0.02, 0.01 * piece) == 0.0 for piece in range(100 * 600))


def test_three_times_as_fast_waits_when_the_burst_is_over() -> None:
    """It gains a second in a second."""
    mine = allowance(audio_burst_s=120)
    waits = [mine.audio(0.3, 0.1 * piece) for piece in range(1300)]
    assert not any(waits[:1190])
    assert all(waits[1210:])


def test_a_file_comes_at_once_as_far_as_the_burst_goes() -> None:
    mine = allowance(audio_burst_s=30)
    assert mine.audio(30.0, 0.0) == 0.0
    assert mine.audio(10.0, 0.0) == pytest.approx(5.0)
    assert mine.audio(0.0, 5.0) == 0.0


def test_the_largest_append_of_the_protocol_is_taken_at_once() -> None:
    assert allowance().audio(15 * 2**20 / 48_000, 0.0) == 0


def test_half_an_hour_of_telephone_in_one_event_is_too_much() -> None:
    assert allowance().audio(15 * 2**20 / 8_000, 0.0) > LONGEST_WAIT_S


def test_tiny_pieces_of_audio_wait() -> None:
    mine = allowance()
    assert not any(mine.audio(1 / 24_000, 0.0) for _ in range(APPENDS_BURST))
    assert mine.audio(1 / 24_000, 0.0) == pytest.approx(1 / APPENDS_PER_S)


def test_other_events_have_a_rate_of_their_own() -> None:
    mine = allowance(events_per_s=10)
    assert not any(mine.event(0.0) for _ in range(10 * EVENTS_BURST_S))
    assert mine.event(0.0) == pytest.approx(0.1)
    assert mine.audio(0.02, 0.0) == 0.0
    assert mine.event(0.2) == 0.0
