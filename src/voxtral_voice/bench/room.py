"""A room between the loudspeaker and the microphone: what comes back of the reply that is being played.

Knows: a few paths of sound, each with a delay and a strength. Does not know: clocks, sockets, what the server does
about it. The level is that of all paths together, under the loudspeaker's own.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.player import PLAY_RATE_HZ, Player

DIRECT_MS: Final = 20.0
"""Loudspeaker's and microphone's buffers and half a metre of air."""
FARTHEST_MS: Final = 120.0
REFLECTIONS: Final = 5
FADE_MS: Final = 40.0
"""A reflection so much later is weaker by a factor of e."""
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Room:
    level_db: float
    paths: tuple[tuple[int, float], ...]
    """(delay in samples of the loudspeaker, gain), the direct one first."""

    @property
    def direct_s(self) -> float:
        return self.paths[0][0] / PLAY_RATE_HZ

    @property
    def longest_s(self) -> float:
        return max(delay for delay, _ in self.paths) / PLAY_RATE_HZ

    def heard(self, player: Player, begin: float, size: int, rate_hz: int) -> Samples:
        """`size` samples of what the microphone takes up of it, from `begin` on."""
        count = size * PLAY_RATE_HZ // rate_hz
        longest = max(delay for delay, _ in self.paths)
        played = player.played_from(begin - longest / PLAY_RATE_HZ, longest + count)
        mixed = np.zeros(count, np.float32)
        for delay, gain in self.paths:
            mixed += np.float32(gain) * played[longest - delay : longest - delay + count]
        return mixed if rate_hz == PLAY_RATE_HZ else resample(mixed, PLAY_RATE_HZ, rate_hz)[:size]


def room(level_db: float) -> Room:
    """The same paths for every level."""
    rng = random.Random(SEED)
    late_ms = sorted(rng.uniform(DIRECT_MS + 5, FARTHEST_MS) for _ in range(REFLECTIONS))
    gains = [1.0] + [rng.choice((-1, 1)) * 0.6 * math.exp(-(ms - DIRECT_MS) / FADE_MS) for ms in late_ms]
    scale = 10 ** (level_db / 20) / math.sqrt(sum(gain**2 for gain in gains))
    delays = [round(ms * PLAY_RATE_HZ / 1000) for ms in (DIRECT_MS, *late_ms)]
    return Room(level_db, tuple((delay, gain * scale) for delay, gain in zip(delays, gains, strict=True)))
