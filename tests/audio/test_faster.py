"""Faster speech keeps its pitch and its loudness, and is as short as was asked."""

from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.audio.faster import faster
from voxtral_voice.audio.pcm import Samples

RATE_HZ = 24_000


def tone(seconds: float, hz: float = 120) -> Samples:
    at = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    waves = [np.sin(2 * np.pi * k * hz * at) / k for k in range(1, 6)]
    made: Samples = (np.sum(waves, axis=0) / 3).astype(np.float32)
    return made


@pytest.mark.parametrize("ratio", [1.1, 1.6, 3.2])
@pytest.mark.parametrize("hz", [85, 210])
def test_a_tone_is_shorter_and_else_as_it_was(ratio: float, hz: float) -> None:
    sound = tone(1.0, hz)
    made = faster(sound, ratio, RATE_HZ)
    assert made.size == round(sound.size / ratio)
    assert made.dtype == np.float32
    middle = made[2000:-2000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.03)
    peak_hz = np.argmax(np.abs(np.fft.rfft(middle))) * RATE_HZ / middle.size
    assert peak_hz == pytest.approx(hz, abs=RATE_HZ / middle.size)
    assert np.abs(np.diff(made)).max() <= 1.1 * np.abs(np.diff(sound)).max(), "no click where stretches meet"


def test_what_lies_where_is_scaled() -> None:
    sound = np.concatenate((np.zeros(12_000, np.float32), tone(0.5), np.zeros(12_000, np.float32)))
    made = faster(sound, 1.5, RATE_HZ)
    heard = np.flatnonzero(np.abs(made) > 0.1)
    assert heard[0] == pytest.approx(8_000, abs=400)
    assert heard[-1] == pytest.approx(16_000, abs=400)


@pytest.mark.parametrize("ratio", [1.0, 0.8])
def test_nothing_is_done_to_what_is_not_to_be_faster(ratio: float) -> None:
    sound = tone(0.1)
    assert faster(sound, ratio, RATE_HZ) is sound


@pytest.mark.parametrize("size", [0, 1, 100, 721])
def test_short_sounds_and_silence(size: int) -> None:
    assert faster(np.zeros(size, np.float32), 2.0, RATE_HZ).tolist() == [0.0] * round(size / 2)
