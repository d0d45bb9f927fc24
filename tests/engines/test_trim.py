"""Silence around a phrase."""

from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.trim import pause_after_ms, trim


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


def test_30_ms_stay_before_the_sound_and_the_pause_behind_it() -> None:
    trimmed = trim(np.concatenate([silence(270), tone(500), silence(600)]), pause_ms=100)
    assert milliseconds(trimmed.samples) == 30 + 500 + 100
    assert trimmed.head_ms == 240


def test_a_tail_shorter_than_the_pause_is_filled_up() -> None:
    trimmed = trim(tone(500), pause_ms=250)
    assert trimmed.head_ms == 0
    assert milliseconds(trimmed.samples) == 750
    assert not trimmed.samples[-round(0.25 * SPEAK_RATE_HZ) :].any()


def test_a_click_before_the_sound_is_not_sound() -> None:
    click = silence(300)
    click[1000] = 0.9
    assert trim(np.concatenate([click, tone(500)]), pause_ms=0).head_ms == 270


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
