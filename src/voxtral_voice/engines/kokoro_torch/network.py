"""Kokoro-82M: symbols, a style and a speed to samples, several phrases at once.

Knows: its parts and the two steps of a phrase. Does not know: weights' files, text, threads.

A phrase takes two steps, between which it is known how long it will be: `plan` (a few per cent of the work), `sound`.
Phrases of several lengths may share a step; each is what it would be alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from voxtral_voice.engines.base import Samples
from voxtral_voice.engines.kokoro_torch.albert import Albert, PlBert
from voxtral_voice.engines.kokoro_torch.decoder import Decoder
from voxtral_voice.engines.kokoro_torch.lengths import frames
from voxtral_voice.engines.kokoro_torch.prosody import ProsodyPredictor, TextEncoder
from voxtral_voice.engines.kokoro_torch.rows import Rows

FRAME_SAMPLES: Final = 600
"""25 ms."""


@dataclass(frozen=True, slots=True)
class Shape:
    """By default the published one."""

    albert: Albert = field(default_factory=Albert)
    text: int = 512
    style: int = 128
    """Half of a voice's style: the first half is for the sound, the second for the prosody."""
    kernel: int = 5
    depth: int = 3
    longest: int = 50
    decoder: int = 1024
    side: int = 64
    generator: int = 512


TINY: Final = Shape(
    Albert(embedding=8, width=16, inner=24, heads=2, layers=2),
    text=16,
    depth=1,
    longest=8,
    decoder=16,
    side=4,
    generator=32,
)
"""To try whether it runs: of the real shape, but for its size."""


@dataclass(frozen=True, slots=True)
class Phrase:
    ids: Sequence[int]
    """Of the symbols, with the opening and the closing 0."""
    style: Samples
    """[2 * style]."""
    speed: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Of a phrase: everything but its sound."""

    frames: tuple[int, ...]
    """Of each id, 25 ms each."""
    encoded: Tensor
    """Prosody: [ids, text + style]."""
    said: Tensor
    """[ids, text]."""
    style: Tensor
    """[2 * style]."""

    @property
    def length(self) -> int:
        return sum(self.frames)


class Kokoro(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        symbols, text, style = shape.albert.symbols, shape.text, shape.style
        self.bert = PlBert(shape.albert)
        self.bert_encoder = nn.Linear(shape.albert.width, text)
        self.predictor = ProsodyPredictor(text, style, shape.depth, shape.longest)
        self.text_encoder = TextEncoder(symbols, text, shape.kernel, shape.depth)
        self.decoder = Decoder(text, style, shape.decoder, shape.side, shape.generator)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.bert_encoder.weight.device
        return device

    def plan(self, phrases: Sequence[Phrase]) -> list[Plan]:
        with torch.inference_mode():
            return self._plan(phrases)

    def sound(self, plans: Sequence[Plan]) -> list[Samples]:
        """24 kHz, FRAME_SAMPLES for each frame."""
        with torch.inference_mode():
            return self._sound(plans)

    def _plan(self, phrases: Sequence[Phrase]) -> list[Plan]:
        rows = Rows([len(phrase.ids) for phrase in phrases], self.device)
        ids = pad_sequence([torch.tensor(phrase.ids) for phrase in phrases], batch_first=True).to(self.device)
        styles = torch.from_numpy(np.stack([phrase.style for phrase in phrases])).to(self.device)
        known = self.bert_encoder(self.bert(ids, rows))
        encoded = self.predictor.text_encoder(known, styles[:, self.shape.style :], rows)
        said = self.text_encoder(ids, rows)
        natural = self.predictor.durations(encoded, rows).cpu().numpy()
        return [
            Plan(frames(natural[row, :length], phrase.speed), encoded[row, :length], said[row, :length], styles[row])
            for row, (length, phrase) in enumerate(zip(rows.lengths, phrases, strict=True))
        ]

    def _sound(self, plans: Sequence[Plan]) -> list[Samples]:
        rows = Rows([plan.length for plan in plans], self.device)
        styles = torch.stack([plan.style for plan in plans])
        spoken, prosodic = styles.split(self.shape.style, dim=1)
        encoded, said = (self._spread(plans, part) for part in ("encoded", "said"))
        pitch_hz, energy = self.predictor.curves(encoded, prosodic, rows)
        samples = self.decoder(said.transpose(1, 2), pitch_hz, energy, spoken, rows).float().cpu().numpy()
        return [row[: length * FRAME_SAMPLES] for row, length in zip(samples, rows.lengths, strict=True)]

    def _spread(self, plans: Sequence[Plan], part: str) -> Tensor:
        """What each id has, for each of its frames: [rows, frames, channels], with 0 for padding."""
        counts = [torch.tensor(plan.frames, device=self.device) for plan in plans]
        spread = [
            getattr(plan, part).repeat_interleave(count, dim=0, output_size=plan.length)
            for plan, count in zip(plans, counts, strict=True)
        ]
        return pad_sequence(spread, batch_first=True)
