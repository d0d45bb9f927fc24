"""Silence around a spoken phrase: cut the model's own, put back what a speaker would leave.

Knows: sample levels, how long a pause follows which punctuation. Does not know: models, voices, text beyond its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples

AUDIBLE_DBFS: Final = -45.0
"""RMS of a 10 ms window from which it counts as sound."""
WINDOW_SAMPLES: Final = SPEAK_RATE_HZ // 100
AUDIBLE_WINDOWS: Final = 3
"""So many audible windows in a row are sound; fewer are a click or a breath."""
LEAD_MS: Final = 10.0
"""Left before the first audible window, where quiet consonants begin. Of 49 phrases by the student, the 20 ms before
those hold a median 0.001 % of the energy of the first 70 ms, and at most 1.7 % (an "f" at -52 dBFS)."""
FADE_MS: Final = 5.0
HELD_SILENCE_MS: Final = 2_000.0
"""Of audio that comes in pieces: a longer silence behind sound is cut to this, so that an endless one fills nothing."""
SENTENCE_PAUSE_MS: Final = 250.0
CLAUSE_PAUSE_MS: Final = 100.0
NO_PAUSE_MS: Final = 40.0
"""Behind a phrase that goes on without punctuation: only the last sound's decay."""

_SENTENCE_ENDS: Final = ".!?…।॥。！？｡．"
_CLAUSE_ENDS: Final = ",;:—–-、，；：､"
_CLOSERS: Final = "\"'”’)]*_»›」』）】》"


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


class StreamTrim:
    """`trim` for audio that comes in pieces: the pieces returned are together what `trim` makes of the whole.

    Sound is given out as soon as AUDIBLE_WINDOWS say that it is sound; silence is held back until sound follows it, up
    to HELD_SILENCE_MS.
    """

    def __init__(self, pause_ms: float) -> None:
        self._pause = _samples(pause_ms)
        self._held = np.zeros(0, np.float32)
        self._held_from = 0
        """Sample number of `_held[0]`."""
        self._looked_to = 0
        """Windows before this one (its number) were looked at."""
        self._run = 0
        """Audible windows in a row up to there."""
        self._sound_end = 0
        self._begun = False
        self.heard = False
        """There was sound."""

    def push(self, samples: Samples) -> Samples:
        """samples: the next piece, 24 kHz, any length. Returns what is certain by now, perhaps nothing."""
        self._held = np.concatenate((self._held, samples))
        rest = self._unlooked()
        self._look(rest[: rest.size // WINDOW_SAMPLES * WINDOW_SAMPLES])
        if not self.heard:
            self._drop(self._looked_to * WINDOW_SAMPLES - AUDIBLE_WINDOWS * WINDOW_SAMPLES - _samples(LEAD_MS))
            return self._held[:0]
        self._shorten_silence()
        return self._give(min(self._looked_to * WINDOW_SAMPLES, self._sound_end + self._pause) - _samples(FADE_MS))

    def finish(self) -> Samples:
        """The end, faded, with the pause behind it."""
        received = self._held_from + self._held.size
        rest = self._unlooked()
        if rest.size:
            self._look(np.pad(rest, (0, WINDOW_SAMPLES - rest.size)))
        if not self.heard:
            return self._held[:0]
        end = min(self._sound_end, received) + self._pause
        given = self._give(min(received, end))
        fade_out = given[max(0, given.size - _samples(FADE_MS)) :]
        fade_out *= _ramp(fade_out.size)[::-1]
        return np.pad(given, (0, max(0, end - received)))

    def _unlooked(self) -> Samples:
        return self._held[self._looked_to * WINDOW_SAMPLES - self._held_from :]

    def _look(self, windows: Samples) -> None:
        """windows: the next ones, whole, in a row."""
        for loud in _loud(windows.reshape(-1, WINDOW_SAMPLES)).tolist():
            self._looked_to += 1
            self._run = self._run + 1 if loud else 0
            if self._run >= AUDIBLE_WINDOWS:
                self._sound(self._looked_to * WINDOW_SAMPLES)

    def _sound(self, end: int) -> None:
        if not self.heard:
            self.heard = True
            self._drop(end - AUDIBLE_WINDOWS * WINDOW_SAMPLES - _samples(LEAD_MS))
        self._sound_end = end

    def _shorten_silence(self) -> None:
        """Whole windows of a silence that is too long go, as if they had never come; not the newest, which may be the
        beginning of sound."""
        kept = self._sound_end + self._pause + _samples(HELD_SILENCE_MS)
        count = self._looked_to - AUDIBLE_WINDOWS - -(-kept // WINDOW_SAMPLES)
        if count > 0:
            at = kept - self._held_from
            self._held = np.delete(self._held, slice(at, at + count * WINDOW_SAMPLES))
            self._looked_to -= count

    def _drop(self, before: int) -> None:
        """Forget the samples before this one."""
        count = max(0, before - self._held_from)
        self._held, self._held_from = self._held[count:], self._held_from + count

    def _give(self, end: int) -> Samples:
        count = max(0, end - self._held_from)
        given = np.clip(self._held[:count], -1.0, 1.0)
        self._drop(self._held_from + count)
        if given.size and not self._begun:
            self._begun = True
            fade_in = given[: _samples(FADE_MS)]
            fade_in *= _ramp(fade_in.size)
        return given


def _samples(ms: float) -> int:
    return round(ms * SPEAK_RATE_HZ / 1000)


def _sound(samples: Samples) -> tuple[int, int] | None:
    """[first, end) sample of the audible windows."""
    if samples.size == 0:
        return None
    windows = np.pad(samples, (0, -samples.size % WINDOW_SAMPLES)).reshape(-1, WINDOW_SAMPLES)
    loud = _loud(windows)
    run_ends = np.flatnonzero(np.convolve(loud, np.ones(AUDIBLE_WINDOWS)) > AUDIBLE_WINDOWS - 0.5)
    if run_ends.size == 0:
        return None
    first, last = int(run_ends[0]) - AUDIBLE_WINDOWS + 1, int(run_ends[-1])
    return first * WINDOW_SAMPLES, min((last + 1) * WINDOW_SAMPLES, samples.size)


def _loud(windows: Samples) -> npt.NDArray[np.bool_]:
    """windows: [n, WINDOW_SAMPLES]."""
    loud: npt.NDArray[np.bool_] = np.mean(np.square(windows, dtype=np.float64), axis=1) > 10 ** (AUDIBLE_DBFS / 10)
    return loud


def _fade(samples: Samples) -> None:
    """In place: raised cosine over FADE_MS at both ends."""
    size = min(_samples(FADE_MS), samples.size // 2)
    ramp = _ramp(size)
    samples[:size] *= ramp
    samples[samples.size - size :] *= ramp[::-1]


def _ramp(size: int) -> Samples:
    """Upwards."""
    ramp: Samples = (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / max(size, 1))).astype(np.float32)
    return ramp
