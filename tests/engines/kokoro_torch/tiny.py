"""Kokoro's shape, as small as it gets, with random weights; its style is as long as a real voice's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro_torch.network import Kokoro, Phrase


def kokoro() -> Kokoro:
    import torch

    from voxtral_voice.engines.kokoro_torch.network import TINY, Kokoro

    torch.manual_seed(0)
    made: Kokoro = Kokoro(TINY).requires_grad_(False).eval()
    return made


def phrases(lengths: Sequence[int], speeds: Sequence[float] | None = None) -> list[Phrase]:
    """Each with symbols and a style of its own."""
    from voxtral_voice.engines.kokoro_torch.network import Phrase

    random = np.random.default_rng(1)
    return [
        Phrase(
            (0, *random.integers(1, 170, length).tolist(), 0),
            random.normal(0, 0.3, 256).astype(np.float32),
            speeds[number] if speeds else 1.0,
        )
        for number, length in enumerate(lengths)
    ]
