"""The pitch of a voice: the median over its voiced moments.

Knows: autocorrelation. Does not know: voices, models.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

LOWEST_HZ: Final = 60
HIGHEST_HZ: Final = 400
"""Of speech; a child's or an excited voice's highest moments are above, their median is not."""
REFERENCE_HZ: Final = 100.0
"""Semitones count from here."""

_WINDOW_SAMPLES: Final = LISTEN_RATE_HZ * 80 // 1000
"""More than four periods of the lowest pitch."""
_STEP_SAMPLES: Final = LISTEN_RATE_HZ * 20 // 1000
_VOICED: Final = 0.6
"""Normalised autocorrelation from which a window is voiced."""
_NEARLY: Final = 0.88
"""Of the highest peak: the first peak so high is the period, and not a multiple of it."""
_LOUD_SHARE: Final = 0.05
"""Of the energy of the loudest windows; quieter ones are left out."""


def pitch_hz(audio: Samples) -> float | None:
    """audio: speech, 16 kHz. None when nothing in it is voiced."""
    if audio.size < _WINDOW_SAMPLES:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW_SAMPLES)[::_STEP_SAMPLES].astype(np.float64)
    energy = np.sum(windows**2, axis=1)
    loud = windows[(energy > _LOUD_SHARE * np.quantile(energy, 0.95)) & (energy > 0)]
    if not len(loud):
        return None
    lags = np.arange(LISTEN_RATE_HZ // HIGHEST_HZ, LISTEN_RATE_HZ // LOWEST_HZ + 1)
    alike = _likeness(loud - loud.mean(axis=1, keepdims=True))[:, lags]
    inner = alike[:, 1:-1]
    highest = alike.max(axis=1)
    is_peak = (inner >= alike[:, :-2]) & (inner >= alike[:, 2:]) & (inner >= _NEARLY * highest[:, None])
    voiced = is_peak.any(axis=1) & (highest > _VOICED)
    if not voiced.any():
        return None
    return float(np.median(LISTEN_RATE_HZ / lags[1 + is_peak[voiced].argmax(axis=1)]))


def semitones(hz: float) -> float:
    """Above REFERENCE_HZ."""
    return 12 * math.log2(hz / REFERENCE_HZ)


def _likeness(
    windows: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Autocorrelation by lag, each in proportion to the energy of the two stretches compared: [n, lags]."""
    size = windows.shape[1]
    spectrum = np.fft.rfft(windows, 2 * size)
    products = np.fft.irfft(np.abs(spectrum) ** 2)[:, :size]
    energy = np.cumsum(np.pad(windows**2, ((0, 0), (1, 0))), axis=1)
    lags = np.arange(size)
    pairs = energy[:, size - lags] * (energy[:, -1:] - energy[:, lags])
    return np.asarray(products / np.sqrt(np.maximum(pairs, 1e-12)))
