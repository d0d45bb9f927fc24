from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.timeline import silence, tone
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.player import PLAY_RATE_HZ, Player

CLOSE = 1e-6


def near(seconds: float) -> object:
    return pytest.approx(seconds, abs=CLOSE)


def hiss(seconds: float, dbfs: float) -> Samples:
    noise = np.random.default_rng(1).standard_normal(round(seconds * PLAY_RATE_HZ))
    return (noise * 10 ** (dbfs / 20)).astype(np.float32)


# --- what is played, and when


def test_it_is_played_on_arrival_and_in_order() -> None:
    player = Player()
    played = player.arrived(10.0, "r", tone(0.4))
    player.arrived(10.1, "r", tone(0.2))
    assert [at for at, _ in played.pieces] == [near(10.0), near(10.4)]
    assert (played.first_at, played.last_at, played.ends_at) == (10.0, 10.1, near(10.6))
    assert len(played.audio) == 0.6 * PLAY_RATE_HZ
    assert played.played_ms(10.5) == near(500)


def test_a_gap_is_an_underrun() -> None:
    player = Player()
    played = player.arrived(10.0, "r", tone(0.1))
    player.arrived(10.25, "r", tone(0.1))
    assert played.ledger.underruns == 1
    assert played.ledger.longest_gap_ms == near(150)
    assert played.silent_at == near(10.35)


def test_a_jitter_buffer_delays_the_beginning_and_bridges_what_is_shorter() -> None:
    player = Player(jitter_ms=60)
    played = player.arrived(10.0, "r", tone(0.1))
    player.arrived(10.15, "r", tone(0.1))
    assert played.sound_at == near(10.06)
    assert played.first_at == 10.0
    assert played.ledger.underruns == 0
    assert played.ends_at == near(10.26)


def test_a_reply_waits_for_the_one_before_it() -> None:
    player = Player()
    player.arrived(10.0, "a", tone(1.0))
    second = player.arrived(10.2, "b", tone(1.0))
    assert second.sound_at == near(11.0)
    assert second.ledger.underruns == 0
    assert list(player.replies) == ["a", "b"]


def test_two_replies_never_sound_at_once() -> None:
    player = Player()
    first = player.arrived(10.0, "a", tone(1.0))
    player.arrived(10.1, "b", tone(1.0))
    player.arrived(10.2, "a", tone(1.0))
    assert [at for at, _ in first.pieces] == [near(10.0), near(12.0)]


def test_a_reply_after_a_long_silence_does_not_wait() -> None:
    player = Player()
    player.arrived(10.0, "a", tone(0.1))
    assert player.arrived(20.0, "b", tone(0.1)).sound_at == 20.0


# --- falling silent


def test_a_flush_ends_what_is_heard() -> None:
    player = Player()
    played = player.arrived(10.0, "r", tone(2.0))
    assert player.flushed(10.5) is played
    assert player.flushed(10.5) is None
    assert (played.ends_at, played.silent_at) == (10.5, 10.5)
    assert played.played_ms(99) == near(500)
    assert played.sound_at == 10.0


def test_audio_after_the_flush_is_not_played() -> None:
    player = Player()
    played = player.arrived(10.0, "r", tone(1.0))
    player.flushed(10.5)
    assert player.arrived(10.6, "r", tone(0.25)) is played
    assert len(played.audio) == PLAY_RATE_HZ
    assert played.last_at == 10.0


def test_nothing_is_flushed_when_nothing_is_played() -> None:
    player = Player()
    assert player.flushed(9.0) is None
    played = player.arrived(10.0, "r", tone(1.0))
    assert player.flushed(11.5) is None
    assert played.cut_at is None


def test_a_flush_takes_what_waits_in_the_queue_too() -> None:
    player = Player()
    first = player.arrived(10.0, "a", tone(1.0))
    second = player.arrived(10.2, "b", tone(1.0))
    assert player.flushed(10.5) is first
    assert second.cut_at == 10.5
    assert (second.sound_at, second.silent_at, second.played_ms(99)) == (None, None, 0)
    assert player.arrived(10.6, "c", tone(1.0)).sound_at == 10.6


def test_a_reply_cut_before_its_sound_was_not_heard() -> None:
    player = Player(jitter_ms=60)
    played = player.arrived(10.0, "r", tone(1.0))
    player.flushed(10.03)
    assert played.sound_at is None
    assert played.leading_silence_ms == 0


def test_silence_after_the_last_sound_is_not_heard() -> None:
    player = Player()
    played = player.arrived(10.0, "r", np.concatenate((tone(0.5), silence(0.5))))
    assert played.silent_at == near(10.5)


# --- what is audible


def test_only_sound_is_loud() -> None:
    player = Player()
    played = player.arrived(10.0, "r", silence(0.5))
    assert played.loud_until == -math.inf
    player.arrived(10.1, "r", tone(0.5))
    player.arrived(10.2, "r", silence(0.5))
    assert played.loud_until == near(11.0)


def test_leading_silence_is_not_sound() -> None:
    player = Player()
    played = player.arrived(10.0, "r", silence(0.1))
    assert played.sound_at is None
    player.arrived(10.05, "r", np.concatenate((silence(0.1), tone(0.3))))
    assert played.sound_at == near(10.2)
    assert played.leading_silence_ms == near(200)


def test_sound_after_a_gap_is_not_heard_before_it() -> None:
    """The pieces do not end where windows do."""
    player = Player()
    played = player.arrived(10.0, "r", silence(0.105))
    player.arrived(12.0, "r", tone(0.3))
    assert played.sound_at == near(12.0)


def test_sound_is_looked_for_again_only_when_more_has_come() -> None:
    player = Player()
    played = player.arrived(10.0, "r", silence(1.0))
    assert played.sound_at is played.sound_at is None


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02])
def test_less_than_three_windows_are_no_sound(seconds: float) -> None:
    played = Player().arrived(10.0, "r", tone(seconds))
    assert (played.sound_at, played.silent_at, played.leading_silence_ms) == (None, None, None)


def test_a_click_is_no_sound() -> None:
    played = Player().arrived(10.0, "r", np.concatenate((silence(0.1), tone(0.01), silence(0.1), tone(0.1))))
    assert played.sound_at == near(10.21)


def test_a_hiss_is_no_sound_before_a_voice_that_is_15_db_above_it() -> None:
    """-50 dBFS alone would not be audible; -44 dBFS would, but for the floor."""
    played = Player().arrived(10.0, "r", np.concatenate((hiss(0.5, -56), hiss(0.2, -42.5), tone(0.5))))
    assert played.sound_at == near(10.7)


def test_a_reply_without_a_pause_is_all_sound() -> None:
    assert Player().arrived(10.0, "r", hiss(1.0, -38)).sound_at == 10.0


pieces = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 12_000), st.booleans()), min_size=1, max_size=12)
"""(seconds that pass, samples, whether audible)."""


@settings(deadline=None)
@given(pieces, st.floats(0, 0.2))
def test_what_is_played_does_not_overlap_and_nothing_is_lost(
    arrivals: list[tuple[float, int, bool]], jitter: float
) -> None:
    player, now = Player(jitter * 1000), 0.0
    for step, samples, audible in arrivals:
        now += step
        played = player.arrived(now, "r", (tone if audible else silence)(samples / PLAY_RATE_HZ))
    spans = [(at, at + len(samples) / PLAY_RATE_HZ) for at, samples in played.pieces]
    assert all(end <= begin + CLOSE for (_, end), (begin, _) in pairwise(spans))
    assert len(played.audio) == sum(samples for _, samples, _ in arrivals)
    assert played.played_ms(played.ends_at) == near(len(played.audio) * 1000 / PLAY_RATE_HZ)
    if played.sound_at is not None and played.silent_at is not None:
        assert spans[0][0] <= played.sound_at < played.silent_at <= played.ends_at + CLOSE


@settings(deadline=None)
@given(pieces, st.floats(0, 12))
def test_nothing_is_heard_after_a_flush(arrivals: list[tuple[float, int, bool]], flush_at: float) -> None:
    player, now, flushed = Player(), 0.0, False
    for step, samples, audible in arrivals:
        now += step
        if not flushed and now >= flush_at:
            player.flushed(flush_at)
            flushed = True
        played = player.arrived(now, "r", (tone if audible else silence)(samples / PLAY_RATE_HZ))
    if played.cut_at is not None:
        assert played.silent_at is None or played.silent_at <= played.cut_at
        assert played.played_ms(99) <= len(played.audio) * 1000 / PLAY_RATE_HZ + CLOSE


# --- what is in the air


def test_what_was_played_can_be_had_from_any_sample_on() -> None:
    player, first, second = Player(), hiss(0.1, -20), hiss(0.2, -30)
    player.arrived(1.0, "r", first)
    player.arrived(1.02, "r", second)
    player.arrived(2.0, "s", first)
    whole = player.played_from(0.95, round(1.2 * PLAY_RATE_HZ))
    begins = {at: round((at - 0.95) * PLAY_RATE_HZ) for at in (1.0, 1.1, 2.0)}
    for at, samples in ((1.0, first), (1.1, second), (2.0, first)):
        np.testing.assert_array_equal(whole[begins[at] : begins[at] + len(samples)], samples)
    assert np.count_nonzero(whole) == 2 * np.count_nonzero(first) + np.count_nonzero(second)
    np.testing.assert_array_equal(player.played_from(1.05, 480), whole[2_400:2_880])


def test_what_is_cut_is_silent_and_so_is_what_nobody_said() -> None:
    player = Player()
    player.arrived(1.0, "r", hiss(0.5, -20))
    player.flushed(1.1)
    assert player.played_from(1.0, 4_800)[:2_400].all()
    assert not player.played_from(1.0, 4_800)[2_400:].any()
    assert not player.played_from(1.2, 480).any()
    assert not Player().played_from(0.0, 480).any()
