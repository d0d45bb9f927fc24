"""How loud audio is, and where one begins and ceases to hear something.

Knows: levels in dBFS (0 dBFS = a full-scale square wave; RMS of a full-scale sine = -3 dBFS). Does not know:
speech.

Audible is defined once, for clients, benchmarks and tests alike: windows of 10 ms above -45 dBFS, three in a
row.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples

WINDOW_MS: Final = 10
AUDIBLE_DBFS: Final = -45.0
AUDIBLE_WINDOWS: Final = 3
"""So many in a row; a single click is no sound."""
FLOOR_DBFS: Final = -120.0
"""What digital silence and anything quieter than this is called."""


def rms_dbfs(samples: Samples) -> float:
    """Level of the whole signal, at least FLOOR_DBFS; no samples are silence."""
    if len(samples) == 0:
        return FLOOR_DBFS
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DBFS, 10 * math.log10(power)) if power > 0 else FLOOR_DBFS


def frames_dbfs(frames: Samples) -> tuple[float, ...]:
    """Level of each frame to a tenth of a dB. frames: [n, samples]."""
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    levels = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10)))
    return tuple(np.round(levels, 1).tolist())


def first_audible_sample(samples: Samples, rate_hz: int) -> int | None:
    """Index of the first sample of the first audible window; None when nothing is audible."""
    runs = _audible_runs(samples, rate_hz)
    return int(runs[0]) * _window_samples(rate_hz) if len(runs) else None


def last_audible_sample(samples: Samples, rate_hz: int) -> int | None:
    """One past the last sample of the last audible window, as a slice's end; None when nothing is audible."""
    runs = _audible_runs(samples, rate_hz)
    return (int(runs[-1]) + AUDIBLE_WINDOWS) * _window_samples(rate_hz) if len(runs) else None


def _window_samples(rate_hz: int) -> int:
    return rate_hz * WINDOW_MS // 1000


def _audible_runs(samples: Samples, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Numbers of the windows at which AUDIBLE_WINDOWS audible ones in a row begin. A last part-window is left
    out."""
    size = _window_samples(rate_hz)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    loud = np.mean(np.square(windows, dtype=np.float64), axis=1) > 10 ** (AUDIBLE_DBFS / 10)
    if len(loud) < AUDIBLE_WINDOWS:
        return np.zeros(0, np.intp)
    return np.flatnonzero(np.lib.stride_tricks.sliding_window_view(loud, AUDIBLE_WINDOWS).all(axis=1))
