"""Sounds to be heard: nobody speaks, and the tiny models write words to them all the same.

Knows: how to make a sound that is as loud as speech and has its pauses. Does not know: who hears it.
"""

from __future__ import annotations

import numpy as np

from voxtral_voice.audio.pcm import float_to_pcm16, pcm16_to_float
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

PAUSE_EVERY_S = 4.0
PAUSE_S = 0.6


def sound(seconds: float, seed: int = 0) -> Samples:
    """A wandering tone at -17 dBFS with a pause every few seconds; of 16 bits, so that nothing is lost on the way."""
    count = int(seconds * LISTEN_RATE_HZ)
    random = np.random.default_rng(seed)
    corners = np.arange(0, count + LISTEN_RATE_HZ, LISTEN_RATE_HZ // 8)
    hz = np.interp(np.arange(count), corners, random.uniform(120, 900, len(corners)))
    tone = 0.2 * np.sin(2 * np.pi * np.cumsum(hz) / LISTEN_RATE_HZ)
    tone[(np.arange(count) / LISTEN_RATE_HZ) % PAUSE_EVERY_S > PAUSE_EVERY_S - PAUSE_S] = 0.0
    return pcm16_to_float(float_to_pcm16(tone.astype(np.float32)))
