from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.audio.loudness import SILENT_LUFS, loudness_lufs
from voxtral_voice.audio.pcm import Samples


def sine(hz: float, dbfs: float = 0.0, seconds: float = 2.0, rate_hz: int = 24_000) -> Samples:
    """dbfs: of its peak."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def noise(seconds: float, level: float) -> Samples:
    return np.random.default_rng(0).normal(0, level, round(seconds * 24_000)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_the_tone_that_the_recommendation_names(rate_hz: int) -> None:
    assert loudness_lufs(sine(997, rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.02)
    assert loudness_lufs(sine(997, -20, rate_hz=rate_hz), rate_hz) == pytest.approx(-23.01, abs=0.02)


def test_low_tones_count_less_and_high_ones_more() -> None:
    low, middle, high = (loudness_lufs(sine(hz), 24_000) for hz in (40, 997, 5000))
    assert low < middle - 5
    assert middle + 2 < high < middle + 5


def test_pauses_do_not_count() -> None:
    speech = noise(8, 0.1)
    alone = loudness_lufs(speech, 24_000)
    paused = np.concatenate((speech, np.zeros(48_000, np.float32), speech, noise(2, 0.001)))
    assert loudness_lufs(paused, 24_000) == pytest.approx(alone, abs=0.3)


def test_what_is_far_softer_than_the_rest_does_not_count() -> None:
    assert loudness_lufs(np.concatenate((noise(8, 0.1), noise(2, 0.02))), 24_000) == pytest.approx(
        loudness_lufs(noise(8, 0.1), 24_000), abs=0.3
    )


def test_less_than_a_block_is_a_block() -> None:
    assert loudness_lufs(sine(997, seconds=0.1), 24_000) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(24_000, np.float32), noise(1, 1e-5)])
def test_silence(samples: Samples) -> None:
    assert loudness_lufs(samples, 24_000) == SILENT_LUFS
