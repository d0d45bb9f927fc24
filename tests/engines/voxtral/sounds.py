"""Made-up speech: something that changes all the time, so that what a tiny model hears in it does."""

from __future__ import annotations

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples


def speech(seconds: float, seed: int = 0) -> Samples:
    """Syllables of a gliding tone in noise, in steps of 16 bits: transformers' processors make those of audio."""
    time_s = np.arange(round(seconds * LISTEN_RATE_HZ)) / LISTEN_RATE_HZ
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    tone = np.sin(2 * np.pi * (180 + 40 * seed + 60 * np.sin(2 * np.pi * 2 * time_s)) * time_s)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_s + seed), 0, 1)
    return (np.rint(syllables * (0.2 * tone + 0.05 * noise) * 32768) / 32768).astype(np.float32)
