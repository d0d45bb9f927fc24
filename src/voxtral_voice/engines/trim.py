"""Silence around a spoken phrase: cut the model's own, put back what a speaker would leave.

Knows: sample levels, how long a pause follows which punctuation. Does not know: models, voices, text beyond its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples

AUDIBLE_DBFS: Final = -45.0
"""RMS of a 10 ms window from which it counts as sound."""
WINDOW_SAMPLES: Final = SPEAK_RATE_HZ // 100
AUDIBLE_WINDOWS: Final = 3
"""So many audible windows in a row are sound; fewer are a click or a breath."""
LEAD_MS: Final = 30.0
"""Left before the first audible window, where quiet consonants begin."""
FADE_MS: Final = 5.0
SENTENCE_PAUSE_MS: Final = 250.0
CLAUSE_PAUSE_MS: Final = 100.0
NO_PAUSE_MS: Final = 40.0
"""Behind a phrase that goes on without punctuation: only the last sound's decay."""

_SENTENCE_ENDS: Final = ".!?…।॥"
_CLAUSE_ENDS: Final = ",;:—–-"
_CLOSERS: Final = "\"'”’)]*_»"


@dataclass(frozen=True, slots=True)
class Trimmed:
    samples: Samples
    """float32 mono, 24 kHz; empty when nothing was audible."""
    head_ms: float
    """Cut from the front."""


def pause_after_ms(text: str) -> float:
    """The pause that a speaker leaves behind this phrase at natural speed."""
    end = text.rstrip().rstrip(_CLOSERS)[-1:]
    if end and end in _SENTENCE_ENDS:
        return SENTENCE_PAUSE_MS
    return CLAUSE_PAUSE_MS if end and end in _CLAUSE_ENDS else NO_PAUSE_MS


def trim(samples: Samples, *, pause_ms: float) -> Trimmed:
    """samples: float32 mono, 24 kHz. Leaves LEAD_MS before the first sound and pause_ms behind the last, fades both
    ends so that they join without a click, and clips to [-1, 1]."""
    sound = _sound(samples)
    if sound is None:
        return Trimmed(np.zeros(0, np.float32), 0.0)
    start = max(0, sound[0] - _samples(LEAD_MS))
    end = sound[1] + _samples(pause_ms)
    kept = np.clip(samples[start:end], -1.0, 1.0).astype(np.float32)
    _fade(kept)
    return Trimmed(np.pad(kept, (0, end - start - kept.size)), start * 1000 / SPEAK_RATE_HZ)


def _samples(ms: float) -> int:
    return round(ms * SPEAK_RATE_HZ / 1000)


def _sound(samples: Samples) -> tuple[int, int] | None:
    """[first, end) sample of the audible windows."""
    if samples.size == 0:
        return None
    windows = np.pad(samples, (0, -samples.size % WINDOW_SAMPLES)).reshape(-1, WINDOW_SAMPLES)
    loud = np.mean(np.square(windows, dtype=np.float64), axis=1) > 10 ** (AUDIBLE_DBFS / 10)
    run_ends = np.flatnonzero(np.convolve(loud, np.ones(AUDIBLE_WINDOWS)) > AUDIBLE_WINDOWS - 0.5)
    if run_ends.size == 0:
        return None
    first, last = int(run_ends[0]) - AUDIBLE_WINDOWS + 1, int(run_ends[-1])
    return first * WINDOW_SAMPLES, min((last + 1) * WINDOW_SAMPLES, samples.size)


def _fade(samples: Samples) -> None:
    """In place: raised cosine over FADE_MS at both ends."""
    size = min(_samples(FADE_MS), samples.size // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / max(size, 1))).astype(np.float32)
    samples[:size] *= ramp
    samples[samples.size - size :] *= ramp[::-1]
