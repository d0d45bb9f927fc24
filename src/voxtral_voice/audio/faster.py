"""Speech in less time at the same pitch: WSOLA (Verhelst and Roelands, 1993).

Knows: samples. Does not know: what is said, who asks for it.

Stretches of 30 ms, half of each laid over half of the next, are taken from the sound at the ratio that was asked for;
each where it goes on most alike to the one before, within 12.5 ms: the longest period of a voice.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples

STRETCH_MS: Final = 30
REACH_MS: Final = 12.5
_LEAST_ENERGY: Final = 1e-9


def faster(samples: Samples, ratio: float, rate_hz: int) -> Samples:
    """samples: float32 mono. ratio: 1 or more. The result is as long as the samples divided by it."""
    if ratio <= 1:
        return samples
    hop, reach = rate_hz * STRETCH_MS // 2000, round(rate_hz * REACH_MS / 1000)
    window = np.hanning(2 * hop + 1)[:-1]
    size = round(samples.size / ratio)
    count = -(-size // hop) + 1
    padded = np.pad(samples, (hop, 4 * hop + reach + round(hop * ratio)))
    made = np.zeros((count + 1) * hop)
    at = 0
    for i in range(count):
        at = _best(padded, round(i * hop * ratio), reach, padded[at + hop : at + 3 * hop]) if i else 0
        made[i * hop : (i + 2) * hop] += window * padded[at : at + 2 * hop]
    sped: Samples = made[hop : hop + size].astype(np.float32)
    return sped


def _best(samples: Samples, near: int, reach: int, wanted: Samples) -> int:
    """Where the samples are most like `wanted`."""
    low = max(0, near - reach)
    region = samples[low : near + reach + wanted.size].astype(np.float64)
    alike = np.correlate(region, wanted, "valid")
    sums = np.concatenate(([0.0], np.cumsum(region**2)))
    energy = sums[wanted.size :] - sums[: -wanted.size]
    return low + int(np.argmax(alike / np.sqrt(np.maximum(energy, _LEAST_ENERGY))))
