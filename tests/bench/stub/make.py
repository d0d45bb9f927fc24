"""Clips for tests of the stub: noise that is loud and soft as speech is, no two the same.

Knows: how clips are made. Does not know: the stub.
"""

from __future__ import annotations

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.clip import Clip

RATE_HZ = 16_000
TEXTS = (
    "Go forward ten meters.",
    "What is the capital of France?",
    "Please turn on the lights in the kitchen.",
    "Tell me a story about a brave little dog.",
    "How many days are there in a week?",
    "I would like to book a table for two people tonight.",
)


def babble(seed: int, seconds: float) -> Samples:
    """Syllables of 80 to 240 ms, each with its own loudness. 16 kHz."""
    rng = np.random.default_rng(seed)
    loudness: list[float] = []
    while len(loudness) < seconds * 100:
        size = int(rng.integers(8, 24))
        loudness += list(rng.uniform(0.02, 0.3) * np.sin(np.pi * (np.arange(size) + 0.5) / size))
    envelope = np.repeat(loudness, RATE_HZ // 100)[: round(seconds * RATE_HZ)]
    return (envelope * rng.uniform(-1, 1, len(envelope))).astype(np.float32)


def clip(text: str, seed: int = 1, seconds: float = 2.0, name: str | None = None) -> Clip:
    samples = babble(seed, seconds)
    return Clip(name or f"set/{seed}", "turn", text, "en", samples, RATE_HZ, 0.0, seconds)


def clips() -> list[Clip]:
    return [clip(text, seed, 1.2 + 0.3 * seed) for seed, text in enumerate(TEXTS)]
