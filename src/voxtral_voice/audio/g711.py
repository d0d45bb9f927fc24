"""G.711, the telephone's 8 bits for a sample, to float samples and back.

Knows: the two laws (ITU-T G.711, tables 1 and 2). Does not know: rates (a telephone has 8 kHz), base64, sockets.

A code is a sign, three bits of segment and four bits of step inside the segment; each segment's steps are twice as
large as those of the segment before. Both ways are tables: 256 values, and one code for each 16-bit sample.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import FULL_SCALE, Samples, float_to_pcm16

Law = Literal["mu", "a"]
"""mu: North America and Japan. a: everywhere else."""

SIGN: Final = 0x80
"""Set: the sample is positive."""
MU_BIAS: Final = 33
"""Added to the 14-bit samples of table 2, so that each segment begins at a power of two."""
MU_INVERTED: Final = 0x7F
A_INVERTED: Final = 0x55
"""These bits are inverted on the line, so that silence is no long row of zeros."""

_Int = npt.NDArray[np.int64]


def g711_to_float(data: bytes, law: Law) -> Samples:
    """Codes -> samples; every byte is a code."""
    return _values(law)[np.frombuffer(data, np.uint8)]


def float_to_g711(samples: Samples, law: Law) -> bytes:
    """Samples -> codes; what is beyond [-1, 1] is clipped. Raises AudioError when a sample is not a number."""
    codes: npt.NDArray[np.uint8] = _codes(law)[np.frombuffer(float_to_pcm16(samples), "<u2")]
    return codes.tobytes()


@cache
def _values(law: Law) -> Samples:
    """[256]: the sample of each code."""
    code = np.arange(256)
    bits = code ^ (MU_INVERTED if law == "mu" else A_INVERTED)
    segment, step = bits >> 4 & 7, bits & 15
    size = _mu_sizes(segment, step) if law == "mu" else _a_sizes(segment, step)
    return (np.where(bits & SIGN, size, -size) / FULL_SCALE).astype(np.float32)


def _mu_sizes(segment: _Int, step: _Int) -> _Int:
    """In 16-bit steps: the middle of what the coder gives this code."""
    return ((2 * step + MU_BIAS << segment) - MU_BIAS) * 4


def _a_sizes(segment: _Int, step: _Int) -> _Int:
    """The first two segments have steps of the same size."""
    return np.where(segment == 0, 2 * step + 1, 2 * step + 33 << np.maximum(segment - 1, 0)) * 8


@cache
def _codes(law: Law) -> npt.NDArray[np.uint8]:
    """[65536]: the code of each 16-bit sample, read as an unsigned number."""
    sample = np.arange(1 << 16).astype(np.uint16).view(np.int16).astype(np.int64)
    sign = np.where(sample >= 0, SIGN, 0)
    size = np.where(sample >= 0, sample, ~sample)
    bits = _mu_bits(size) if law == "mu" else _a_bits(size)
    return ((sign | bits) ^ (MU_INVERTED if law == "mu" else A_INVERTED)).astype(np.uint8)


def _mu_bits(size: _Int) -> _Int:
    biased = np.minimum((size >> 2) + MU_BIAS, 0x1FFF)
    segment = _octave(biased) - 5
    bits: _Int = segment << 4 | biased >> segment + 1 & 15
    return bits


def _a_bits(size: _Int) -> _Int:
    segment = np.maximum(_octave(size >> 4) - 3, 0)
    bits: _Int = segment << 4 | size >> 4 + np.maximum(segment - 1, 0) & 15
    return bits


def _octave(size: _Int) -> _Int:
    """The place of the highest bit that is set; -1 when none is."""
    octave: _Int = np.frexp(size)[1].astype(np.int64) - 1
    return octave
