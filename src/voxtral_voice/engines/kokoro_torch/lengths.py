"""Durations at a speed, in whole frames.

Knows: the rule of `even_speed`, which is in numbers here and in a graph there. Does not know: where durations come
from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.even_speed import FITTING_STEPS, speeds


def frames(natural: npt.NDArray[np.float32], speed: float) -> tuple[int, ...]:
    """natural: frames of each token at natural speed, the silence at both ends included. At least one for each; their
    sum is that of the natural ones, divided by the speed."""
    each = speeds(len(natural), speed)
    wanted = (np.maximum(natural, 1) / each).sum()
    long = natural / each
    for _ in range(FITTING_STEPS):
        long = np.maximum(long, 1)
        long = long * (wanted / long.sum())
    ends = np.cumsum(np.maximum(long, 1)).round().astype(int)
    return tuple(np.diff(ends, prepend=0).tolist())
