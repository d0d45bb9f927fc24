"""Which known clip some audio is, whoever cut, padded, resampled or amplified it.

Knows: loudness over time. Does not know: words, or why the audio is as it is.

The envelope (RMS of 20 ms windows, square root, so that loud vowels are not all there is) is compared at every shift
with that of each clip: Pearson's correlation over the windows that both have. Of those that correlate well enough, the
most significant is taken (Fisher's z: R. A. Fisher, "On the probable error of a coefficient of correlation", 1921), so
that a long match wins over a short one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import Samples

RATE_HZ: Final = 16_000
WINDOW_SAMPLES: Final = RATE_HZ // 50
"""20 ms."""
ACTIVE_DB: Final = -30.0
"""Windows above this, relative to the loudest, are where something is said."""
SILENT_DBFS: Final = -60.0
MIN_CORRELATION: Final = 0.8
MIN_CERTAINTY: Final = 6.0
MIN_OVERLAP: Final = 0.8
"""Of the shorter of the two."""
MIN_WINDOWS: Final = 8
LATE_SHARE: Final = 0.3
LATE_WINDOWS: Final = 25
"""What may be missing at the begin before words count as missing: 30 %, at least 500 ms. Frameworks notice speech late
and do not all keep what was before."""
EARLY_SHARE: Final = 0.15
EARLY_WINDOWS: Final = 13
"""The same at the end: 15 %, at least 260 ms. Silence ends a turn, so that only a partial ends early."""

Envelope = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    index: int
    """Of the clip."""
    begin: float
    end: float
    """Which part of the clip's speech it is, 0 to 1; exactly 0 and 1 when nothing of note is missing."""


class Recogniser:
    """clips: 16 kHz."""

    def __init__(self, clips: Sequence[Samples]) -> None:
        envelopes = [active(envelope(clip)) for clip in clips]
        self._lengths = np.array([len(clip) for clip in envelopes], np.int64)
        self._longest = int(self._lengths.max(initial=0))
        padded = [np.pad(clip, (0, self._longest - len(clip))) for clip in envelopes]
        self._clips = np.array(padded).reshape(len(clips), self._longest)
        self._sums, self._squares = _running(self._clips), _running(self._clips**2)
        self._spectra: dict[int, npt.NDArray[np.complex128]] = {}

    def recognise(self, audio: Samples) -> Match | None:
        """audio: 16 kHz. None: no clip that is known."""
        heard = active(envelope(audio))
        if self._longest == 0 or len(heard) < MIN_WINDOWS:
            return None
        least = np.ceil(MIN_OVERLAP * np.minimum(self._lengths, len(heard))).astype(np.int64)
        shifts = np.arange(np.min(least - len(heard)), np.max(self._lengths - least) + 1)
        certainty = self._certainty(heard, shifts)
        clip, shift = np.unravel_index(np.argmax(certainty), certainty.shape)
        if certainty[clip, shift] < MIN_CERTAINTY:
            return None
        return self._match(int(clip), int(shifts[shift]), len(heard))

    def _certainty(self, heard: Envelope, shifts: npt.NDArray[np.int64]) -> Envelope:
        """[clips, shifts]: Fisher's z over its standard deviation, less by the share of `heard` that is not compared.
        A shift of k: the first window of `heard` lies at window k of the clip."""
        correlation, n = self._compare(heard, shifts)
        z = np.arctanh(np.clip(correlation, -0.999, 0.999)) * np.sqrt(n)
        enough = n >= np.maximum(MIN_WINDOWS, MIN_OVERLAP * np.minimum(self._lengths[:, None], len(heard)))
        certainty: Envelope = np.where(enough & (correlation > MIN_CORRELATION), z * np.sqrt(n / len(heard)), 0.0)
        return certainty

    def _compare(self, heard: Envelope, shifts: npt.NDArray[np.int64]) -> tuple[Envelope, Envelope]:
        """[clips, shifts]: correlation, and the number of windows that it was taken over."""
        first, last = np.maximum(shifts, 0), np.minimum(self._longest, shifts + len(heard))
        ends = np.minimum(self._lengths[:, None] - shifts, len(heard))  # where the clip or `heard` itself ends
        begins = first - shifts
        ends = np.maximum(ends, begins)
        n = np.maximum(ends - begins, 1)
        sums, squares = _running(heard), _running(heard**2)
        sum_heard, square_heard = sums[ends] - sums[begins], squares[ends] - squares[begins]
        sum_clip = self._sums[:, last] - self._sums[:, first]
        square_clip = self._squares[:, last] - self._squares[:, first]
        covariance = self._products(heard, shifts) - sum_clip * sum_heard / n
        variances = (square_clip - sum_clip**2 / n) * (square_heard - sum_heard**2 / n)
        correlation: Envelope = covariance / np.sqrt(np.maximum(variances, 1e-12))
        return correlation, n.astype(np.float64)

    def _products(self, heard: Envelope, shifts: npt.NDArray[np.int64]) -> Envelope:
        """[clips, shifts]: sum of the products, by Fourier transform."""
        size = 1 << (self._longest + len(heard)).bit_length()
        if size not in self._spectra:
            self._spectra[size] = np.fft.rfft(self._clips, size)
        products: Envelope = np.fft.irfft(self._spectra[size] * np.conj(np.fft.rfft(heard, size)), size)
        return products[:, shifts % size]

    def _match(self, clip: int, shift: int, heard: int) -> Match:
        length = int(self._lengths[clip])
        begin, end = max(shift, 0), min(shift + heard, length)
        begins = begin <= max(LATE_WINDOWS, LATE_SHARE * length)
        ends = end >= length - max(EARLY_WINDOWS, EARLY_SHARE * length)
        return Match(clip, 0.0 if begins else begin / length, 1.0 if ends else end / length)


def is_silent(audio: Samples) -> bool:
    """audio: 16 kHz. No 20 ms of it are above -60 dBFS."""
    return not bool(np.any(envelope(audio) ** 2 > 10 ** (SILENT_DBFS / 20)))


def envelope(audio: Samples) -> Envelope:
    """[windows]: square root of the RMS."""
    windows = audio[: len(audio) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
    power: Envelope = np.einsum("ij,ij->i", windows, windows).astype(np.float64) / WINDOW_SAMPLES
    return np.power(power, 0.25)


def active(windows: Envelope) -> Envelope:
    """From the first window in which something is said to the last."""
    loud = np.flatnonzero(windows > windows.max(initial=0.0) * 10 ** (ACTIVE_DB / 40))
    return windows[loud[0] : loud[-1] + 1] if len(loud) else windows[:0]


def _running(values: Envelope) -> Envelope:
    """Running sums along the last axis, with a zero in front: the sum over [a, b) is sums[b] - sums[a]."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums
