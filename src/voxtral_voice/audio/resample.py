"""Sample rate conversion: a stream with a small, constant delay, and a whole signal at once.

Knows: rates and filters. Does not know: where the audio comes from or goes to.

Streams do not go through soxr because its streams work in blocks: fed with 20 ms chunks, 24 kHz -> 16 kHz,
audio comes out 21 ms late on average and up to 36 ms (HQ); LQ is 11 ms (up to 20) late and 13 dB down at 7
kHz; QQ has no delay but hardly dampens what lies above the new Nyquist rate (-2 dB at 9.5 kHz). The polyphase
filter below is 1.5 ms late, always. A Kaiser-windowed sinc: J. F. Kaiser, "Nonrecursive digital filter design
using the I0-sinh window function", 1974.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import soxr

from voxtral_voice.audio.pcm import Samples

STOP_DB: Final = 70.0
"""Images and aliases are at least this far down."""
PASS: Final = 0.88
"""The pass band ends at this share of the lower Nyquist rate (7 040 Hz when 16 kHz is the lower rate)."""
STOP: Final = 1.06
"""The stop band begins here; what folds back lies above 0.94 of Nyquist, where speech has next to nothing."""


class StreamResampler:
    """Converts one stream, piece by piece. Output sample k stands at the same time as input sample k * from /
    to; it comes out once `delay_ms` more of input is there. Equal rates pass through untouched."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = math.gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._equal = from_hz == to_hz
        self._filters, self._half = _block_filters(from_hz, to_hz)
        self._from_hz = from_hz
        self._kept = np.zeros(self._half - 1, np.float32)
        self._kept_from = 1 - self._half
        """Input position of `_kept[0]`, where the next output's block begins; the stream is preceded by silence."""
        self._beyond = np.zeros(self._down, np.float32)
        """Stands for the input that a block's last outputs need, which are not ready yet."""
        self._next_out = 0

    @property
    def delay_ms(self) -> float:
        return 0.0 if self._equal else self._half / self._from_hz * 1000

    def ready_after(self, more: int) -> int:
        """How much output there will have been since the stream began, when `more` samples have come. Not for equal
        rates."""
        received = self._kept_from + len(self._kept) + more
        # output k needs input up to floor(k * down / up) + half
        return max(self._next_out, -((self._half - received) * self._up // self._down))

    def push(self, samples: Samples) -> Samples:
        """The next piece of input, any length. Returns what is ready of the output, perhaps nothing."""
        if self._equal:
            return samples
        end_out = self.ready_after(len(samples))
        kept = np.concatenate((self._kept, samples, self._beyond))
        ready = self._blocks(kept, -(-end_out // self._up) - self._next_out // self._up)
        ready = ready[self._next_out % self._up :][: end_out - self._next_out]
        used = end_out // self._up * self._down - self._half + 1 - self._kept_from
        self._kept, self._kept_from = kept[used : len(kept) - self._down], self._kept_from + used
        self._next_out = end_out
        return ready

    def _blocks(self, kept: Samples, count: int) -> Samples:
        """`count` blocks of `up` outputs each; a block's input begins `down` samples behind that of the one before."""
        step = kept.itemsize
        shape, strides = (count, 1, self._filters.shape[1]), (self._down * step, 0, step)
        windows: Samples = np.ndarray(shape, kept.dtype, kept, strides=strides)
        blocks: Samples = np.vecdot(windows, self._filters)
        return blocks.reshape(-1)

    def flush(self) -> Samples:
        """The rest of the output, as if silence followed. The stream is over."""
        total_in = self._kept_from + len(self._kept)
        total_out = math.ceil(total_in * self._up / self._down)
        rest = total_out - self._next_out
        return self.push(np.zeros(0 if self._equal else self._half + self._down, np.float32))[:rest]


def prompt_resampler(from_hz: int, to_hz: int) -> StreamResampler:
    """A stream that begins with as much silence as it is late: what has come in has gone out at once, and `delay_ms`
    later than it should. Not for equal rates."""
    resampler = StreamResampler(from_hz, to_hz)
    resampler.push(np.zeros(round(resampler.delay_ms * from_hz / 1000), np.float32))
    return resampler


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole signal at once, in high quality. Equal rates: the samples themselves."""
    if from_hz == to_hz:
        return samples
    converted: Samples = soxr.resample(samples, from_hz, to_hz, quality="HQ")
    return converted


@lru_cache(maxsize=16)
def _block_filters(from_hz: int, to_hz: int) -> tuple[Samples, int]:
    """[up, n] and half the length of a filter: row r makes output r of a block out of the block's n inputs."""
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    phases = _phases(from_hz, to_hz)
    taps = phases.shape[1]
    filters = np.zeros((up, taps + (up - 1) * down // up), np.float32)
    for row in range(up):
        at = row * down // up
        filters[row, at : at + taps] = phases[row * down % up]
    return filters, taps // 2


def _phases(from_hz: int, to_hz: int) -> Samples:
    """[up, taps]: row p holds the filter for outputs that lie p / up of an input sample behind an input
    sample."""
    up = to_hz // math.gcd(from_hz, to_hz)
    nyquist = min(from_hz, to_hz) / 2
    width = 2 * math.pi * (STOP - PASS) * nyquist / from_hz
    half = math.ceil((STOP_DB - 7.95) / (2.285 * width) / 2)
    offsets = np.arange(1 - half, half + 1) - np.arange(up)[:, None] / up
    cutoff = (PASS + STOP) * nyquist / from_hz
    window = np.i0(0.1102 * (STOP_DB - 8.7) * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, 1)))
    filters = np.sinc(cutoff * offsets) * window
    phases: Samples = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return phases
