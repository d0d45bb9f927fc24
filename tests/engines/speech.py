"""Speech and noise for the tests of what listens, made here: no recording has to be fetched."""

from __future__ import annotations

from functools import cache

import numpy as np
import soxr
from hibari import Hibari

from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES, Samples


@cache
def say(text: str) -> Samples:
    """English, one voice, 16 kHz; the same text always gives the same samples."""
    made: Samples = soxr.resample(_voice()(text, seed=1), 24_000, LISTEN_RATE_HZ).astype(np.float32)
    return made


@cache
def _voice() -> Hibari:
    return Hibari()


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * LISTEN_RATE_HZ), np.float32)


def white_noise(seconds: float, level_db: float) -> Samples:
    """level_db: RMS, 0 = full scale."""
    count = round(seconds * LISTEN_RATE_HZ)
    return (10 ** (level_db / 20) * np.random.default_rng(0).standard_normal(count)).astype(np.float32)


def hum(seconds: float, level_db: float) -> Samples:
    """Mains: 50 Hz and its harmonics."""
    at = np.arange(round(seconds * LISTEN_RATE_HZ)) / LISTEN_RATE_HZ
    wave = np.sum([np.sin(2 * np.pi * 50 * k * at) / k for k in (1, 2, 3, 5)], axis=0)
    hummed: Samples = (10 ** (level_db / 20) * wave).astype(np.float32)
    return hummed


def clicks(seconds: float) -> Samples:
    """About eight a second: a keyboard."""
    audio = silence(seconds)
    audio[np.random.default_rng(0).integers(0, len(audio), round(8 * seconds))] = 0.8
    return audio


def frames(audio: Samples) -> Samples:
    """[n, 512]; an incomplete last frame is left out."""
    count = len(audio) // VAD_FRAME_SAMPLES
    return audio[: count * VAD_FRAME_SAMPLES].reshape(count, VAD_FRAME_SAMPLES)
