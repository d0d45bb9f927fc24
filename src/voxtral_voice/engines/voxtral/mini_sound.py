"""What Voxtral Mini is given to hear. Pure.

Knows: its windows of 30 s, where a long recording is cut. Does not know: spectrograms, models.

What has no sound in it is never shown to it (`audible`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from voxtral_voice.engines.audible import audible
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

WINDOW_SAMPLES: Final = 30 * LISTEN_RATE_HZ
"""All audio is padded to a multiple of it."""
WINDOW_TOKENS: Final = 375
"""12.5 a second."""
LONGEST_S: Final = 120
"""Of one request: 1500 tokens. Longer recordings are heard in pieces."""
CUT_SEARCH_S: Final = 10
"""They are cut where it is quietest in the last 10 s of a piece."""


@dataclass(frozen=True, slots=True)
class Sound:
    samples: Samples = field(compare=False, repr=False)
    """Mono, 16 kHz."""
    digest: bytes
    """Of the samples: equal sounds have equal ones."""

    @property
    def windows(self) -> int:
        return max(1, -(-len(self.samples) // WINDOW_SAMPLES))

    @property
    def tokens(self) -> int:
        return self.windows * WINDOW_TOKENS


def sound_of(samples: Samples) -> Sound:
    contiguous = np.ascontiguousarray(samples, dtype=np.float32)
    return Sound(contiguous, hashlib.blake2b(contiguous.data, digest_size=16).digest())


def pieces(samples: Samples) -> Iterator[Sound]:
    """Of at most LONGEST_S each; those without a sound are left out."""
    longest = LONGEST_S * LISTEN_RATE_HZ
    while len(samples) > longest:
        cut = longest - CUT_SEARCH_S * LISTEN_RATE_HZ
        cut += _quietest(samples[cut:longest])
        yield from _heard(samples[:cut])
        samples = samples[cut:]
    yield from _heard(samples)


def _heard(samples: Samples) -> Iterator[Sound]:
    if audible(samples):
        yield sound_of(samples)


def _quietest(samples: Samples) -> int:
    """Middle of the 100 ms with the least energy."""
    block = LISTEN_RATE_HZ // 10
    energy = np.square(samples[: len(samples) // block * block]).reshape(-1, block).sum(axis=1)
    return int(energy.argmin()) * block + block // 2
