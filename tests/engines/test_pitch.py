from __future__ import annotations

import numpy as np
import pytest

from tests.engines.speech import silence, white_noise
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.pitch import pitch_hz, semitones


def buzz(hz: float, seconds: float = 1.0, level: float = 0.2) -> Samples:
    """Ten harmonics, as a voice has."""
    at = np.arange(round(seconds * LISTEN_RATE_HZ)) / LISTEN_RATE_HZ
    wave = np.sum([np.cos(2 * np.pi * hz * k * at) / k for k in range(1, 11)], axis=0)
    made: Samples = (level * wave).astype(np.float32)
    return made


@pytest.mark.parametrize("hz", [75.0, 110.0, 180.0, 250.0, 350.0])
def test_the_pitch_of_a_buzz(hz: float) -> None:
    assert pitch_hz(buzz(hz)) == pytest.approx(hz, rel=0.02)


def test_it_is_that_of_most_voiced_moments_whatever_is_between_them() -> None:
    audio = np.concatenate((buzz(120, 2), silence(3), white_noise(1, -50), buzz(240, 0.5)))
    assert pitch_hz(audio) == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize(
    "audio", [silence(0), silence(0.05), silence(1), white_noise(1, -20)], ids=["nothing", "short", "silence", "noise"]
)
def test_what_has_no_voice_has_no_pitch(audio: Samples) -> None:
    assert pitch_hz(audio) is None


def test_semitones() -> None:
    assert (semitones(100), semitones(200), semitones(50)) == (0, 12, -12)
