"""Silence around a phrase."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.trim import HELD_SILENCE_MS, StreamTrim, pause_after_ms, trim


def tone(ms: float, level: float = 0.3) -> Samples:
    t = np.arange(round(ms * SPEAK_RATE_HZ / 1000)) / SPEAK_RATE_HZ
    return (level * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def silence(ms: float) -> Samples:
    return np.zeros(round(ms * SPEAK_RATE_HZ / 1000), np.float32)


def milliseconds(samples: Samples) -> float:
    return samples.size * 1000 / SPEAK_RATE_HZ


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("Yes.", 250),
        ("Really?", 250),
        ("Well…", 250),
        ("नमस्ते।", 250),
        ("He said “yes.”", 250),
        ("Well,", 100),
        ("first —", 100),
        ("(so:)", 100),
        ("and then", 40),
        ("", 40),
        ("**", 40),
    ],
)
def test_the_pause_follows_the_punctuation(text: str, pause: float) -> None:
    assert pause_after_ms(text) == pause


def test_10_ms_stay_before_the_sound_and_the_pause_behind_it() -> None:
    trimmed = trim(np.concatenate([silence(270), tone(500), silence(600)]), pause_ms=100)
    assert milliseconds(trimmed.samples) == 10 + 500 + 100
    assert trimmed.head_ms == 260


def test_a_tail_shorter_than_the_pause_is_filled_up() -> None:
    trimmed = trim(tone(500), pause_ms=250)
    assert trimmed.head_ms == 0
    assert milliseconds(trimmed.samples) == 750
    assert not trimmed.samples[-round(0.25 * SPEAK_RATE_HZ) :].any()


def test_a_click_before_the_sound_is_not_sound() -> None:
    click = silence(300)
    click[1000] = 0.9
    assert trim(np.concatenate([click, tone(500)]), pause_ms=0).head_ms == 290


def test_a_whisper_is_sound_and_hiss_is_not() -> None:
    noise = np.random.default_rng(0).normal(0, 1, SPEAK_RATE_HZ).astype(np.float32)
    assert trim(noise * 0.01, pause_ms=0).samples.size
    assert not trim(noise * 0.002, pause_ms=0).samples.size


@pytest.mark.parametrize("samples", [silence(0), silence(5), silence(400), tone(8)])
def test_no_sound_is_empty(samples: Samples) -> None:
    assert trim(samples, pause_ms=250).samples.size == 0


def test_phrases_join_without_a_click() -> None:
    cut_in_the_middle = tone(503.7)
    joined = np.concatenate([trim(cut_in_the_middle, pause_ms=0).samples] * 3)
    steepest = float(np.abs(np.diff(tone(100))).max())
    assert float(np.abs(np.diff(joined)).max()) <= steepest * 1.05


def test_samples_stay_in_range_and_the_input_is_left_alone() -> None:
    loud = tone(300, level=1.4)
    before = loud.copy()
    trimmed = trim(loud, pause_ms=40).samples
    assert trimmed.dtype == np.float32
    assert float(np.abs(trimmed).max()) == 1.0
    np.testing.assert_array_equal(loud, before)


# --- the same, of audio that comes in pieces ----------------------------------------------------------------------


def in_pieces(samples: Samples, ends: list[int], pause_ms: float) -> Samples:
    stream = StreamTrim(pause_ms)
    edges = [0, *sorted(end for end in ends if end <= samples.size), samples.size]
    pieces = [stream.push(samples[a:b]) for a, b in pairwise(edges)]
    pieces.append(stream.finish())
    assert stream.heard == bool(sum(piece.size for piece in pieces))
    return np.concatenate(pieces)


STRETCHES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.3, 1.4]), st.integers(0, 3000)), max_size=8
)  # (level, samples)


@given(STRETCHES, st.lists(st.integers(0, 24_000), max_size=40), st.sampled_from([0.0, 3.0, 40.0, 250.0]))
def test_pieces_are_trimmed_as_the_whole_is(
    stretches: list[tuple[float, int]], ends: list[int], pause_ms: float
) -> None:
    rng = np.random.default_rng(0)
    parts = [(level * rng.uniform(-1, 1, size)).astype(np.float32) for level, size in stretches]
    samples = np.concatenate([np.zeros(0, np.float32), *parts])
    np.testing.assert_array_equal(in_pieces(samples, ends, pause_ms), trim(samples, pause_ms=pause_ms).samples)


def test_pieces_of_one_sample() -> None:
    samples = np.concatenate([silence(50), tone(50), silence(60)])
    ends = list(range(samples.size))
    np.testing.assert_array_equal(in_pieces(samples, ends, 40), trim(samples, pause_ms=40).samples)


def test_a_long_silence_before_the_sound_is_not_kept() -> None:
    stream = StreamTrim(40)
    for _ in range(100):
        assert stream.push(silence(1000)).size == 0
    assert stream._held.size < SPEAK_RATE_HZ // 10


def test_a_silence_without_end_behind_the_sound_is_not_kept() -> None:
    stream = StreamTrim(40)
    given = stream.push(tone(500))
    for _ in range(100):
        given = np.concatenate([given, stream.push(silence(1000))])
        assert stream._held.size <= 3 * SPEAK_RATE_HZ
    whole = trim(np.concatenate([tone(500), silence(100)]), pause_ms=40).samples
    np.testing.assert_array_equal(np.concatenate([given, stream.finish()]), whole)


@pytest.mark.parametrize("piece", [7, 240, 1000])
def test_sound_behind_a_silence_that_was_shortened_is_whole(piece: int) -> None:
    samples = np.concatenate([tone(500), silence(5003), tone(300), silence(20)])
    stream = StreamTrim(40)
    parts = [stream.push(samples[at : at + piece]) for at in range(0, samples.size, piece)]
    given = np.concatenate([*parts, stream.finish()])
    expected = trim(samples, pause_ms=40).samples
    size = round(0.32 * SPEAK_RATE_HZ)
    np.testing.assert_array_equal(given[-size:], expected[-size:])
    assert 500 + HELD_SILENCE_MS + 300 <= milliseconds(given) <= 500 + HELD_SILENCE_MS + 300 + 120
