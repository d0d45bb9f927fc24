"""How loud speech is to a listener: integrated loudness as in ITU-R BS.1770-5, of one channel.

Knows: the K-weighting, the gates. Does not know: speech, voices, what loudness is wanted.

The filter is applied to the spectrum, by its magnitude: a mean square does not depend on phases.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import Samples

SILENT_LUFS: Final = -70.0
"""The absolute gate: nothing below it counts, and silence is called so."""
_RELATIVE_GATE_LU: Final = -10.0
_OFFSET_LU: Final = -0.691
"""A sine of 997 Hz at full scale is at -3.01 LUFS."""
_BLOCK_MS: Final = 400
_STEPS_PER_BLOCK: Final = 4
_DESIGN_RATE_HZ: Final = 48_000
_STAGES: Final = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
"""(numerator, denominator) of the shelf that stands for the head, and of the high-pass, for 48 kHz (tables 1 and 2)."""


def loudness_lufs(samples: Samples, rate_hz: int) -> float:
    """Integrated over the blocks of 400 ms that pass both gates, at least SILENT_LUFS. What is shorter than a block is
    one block."""
    powers = _block_powers(_weighted(samples, rate_hz), rate_hz)
    heard = powers[_lufs(powers) > SILENT_LUFS]
    if heard.size == 0:
        return SILENT_LUFS
    heard = heard[_lufs(heard) > float(_lufs(heard.mean())) + _RELATIVE_GATE_LU]
    return float(_lufs(heard.mean()))


def _weighted(samples: Samples, rate_hz: int) -> npt.NDArray[np.float64]:
    """K-weighted. A tenth of a second of silence takes up what rings on at the end, which would come in again at the
    beginning."""
    padded = samples.size + rate_hz // 10
    frequencies_hz = np.fft.rfftfreq(padded, 1 / rate_hz)
    z = np.exp(-2j * np.pi * frequencies_hz / _DESIGN_RATE_HZ)
    gain = np.ones(z.size)
    for numerator, denominator in _STAGES:
        gain *= np.abs(np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z))
    weighted: npt.NDArray[np.float64] = np.fft.irfft(np.fft.rfft(samples, padded) * gain, padded)[: samples.size]
    return weighted


def _block_powers(weighted: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """Mean square of every block; they overlap by three quarters."""
    size = min(rate_hz * _BLOCK_MS // 1000, weighted.size)
    if size == 0:
        return np.zeros(0)
    step = max(1, size // _STEPS_PER_BLOCK)
    sums = np.concatenate(([0.0], np.cumsum(np.square(weighted))))
    starts = np.arange(0, weighted.size - size + 1, step)
    powers: npt.NDArray[np.float64] = (sums[starts + size] - sums[starts]) / size
    return powers


def _lufs(power: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    lufs: npt.NDArray[np.float64] = _OFFSET_LU + 10 * np.log10(np.maximum(power, 1e-12))
    return lufs
