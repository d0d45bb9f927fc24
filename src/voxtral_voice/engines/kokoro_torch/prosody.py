"""How long each symbol is said, how high, and how loud.

Knows: the text encoders, the duration predictor, the curves of pitch and energy (StyleTTS 2, Li et al. 2023). Does not
know: sound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from voxtral_voice.engines.kokoro_torch.rows import EPSILON, Rows, StyledBlock, StyledLayerNorm, lstm


class TextEncoder(nn.Module):
    """Symbols to what is said: [rows, steps] -> [rows, steps, width], with 0 for padding."""

    def __init__(self, symbols: int, width: int, kernel: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.cnn = nn.ModuleList(Convolution(width, kernel) for _ in range(depth))
        self.lstm = lstm(width, width)

    def forward(self, tokens: Tensor, rows: Rows) -> Tensor:
        x = rows.masked(self.embedding(tokens).transpose(1, 2))
        for convolution in self.cnn:
            x = convolution(x, rows)
        return rows.through(self.lstm, x.transpose(1, 2))


class Convolution(nn.Module):
    """With a norm over the channels of each step."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, rows: Rows) -> Tensor:
        normed = self.norm(self.conv(x).transpose(1, 2)).transpose(1, 2)
        return rows.masked(functional.leaky_relu(normed, 0.2))


class DurationEncoder(nn.Module):
    """What PL-BERT says, in this style: [rows, steps, width] -> [rows, steps, width + style]."""

    def __init__(self, width: int, style: int, depth: int) -> None:
        super().__init__()
        pairs = ((lstm(width + style, width), StyledLayerNorm(width, style)) for _ in range(depth))
        self.lstms = nn.ModuleList(part for pair in pairs for part in pair)

    def forward(self, x: Tensor, style: Tensor, rows: Rows) -> Tensor:
        styles = style[:, None].expand(-1, x.shape[1], -1)
        for recurrent, norm in zip(self.lstms[::2], self.lstms[1::2], strict=True):
            x = norm(rows.through(recurrent, torch.cat((x, styles), dim=2)), style)
        return torch.cat((x, styles), dim=2)


class ProsodyPredictor(nn.Module):
    """longest: frames of a symbol, at the most."""

    def __init__(self, width: int, style: int, depth: int, longest: int) -> None:
        super().__init__()
        self.text_encoder = DurationEncoder(width, style, depth)
        self.lstm = lstm(width + style, width)
        self.duration_proj = nn.Linear(width, longest)
        self.shared = lstm(width + style, width)
        self.F0, self.N = _curve(width, style), _curve(width, style)
        self.F0_proj, self.N_proj = nn.Conv1d(width // 2, 1, 1), nn.Conv1d(width // 2, 1, 1)

    def durations(self, encoded: Tensor, rows: Rows) -> Tensor:
        """encoded: of the text encoder. Frames of each symbol at natural speed, no whole numbers: [rows, steps]."""
        return torch.sigmoid(self.duration_proj(rows.through(self.lstm, encoded))).sum(2)

    def curves(self, spread: Tensor, style: Tensor, frames: Rows) -> tuple[Tensor, Tensor]:
        """spread: what was encoded, [rows, frames, width + style]. Pitch in Hz and energy at two steps a frame:
        [rows, 1, 2 * frames], with 0 for padding."""
        x = frames.through(self.shared, spread).transpose(1, 2)
        steps = frames.scaled(2)
        return (
            steps.masked(self.F0_proj(_along(self.F0, x, style, frames, steps))),
            steps.masked(self.N_proj(_along(self.N, x, style, frames, steps))),
        )


def _curve(width: int, style: int) -> nn.ModuleList:
    return nn.ModuleList(
        (
            StyledBlock(width, width, style),
            StyledBlock(width, width // 2, style, double=True),
            StyledBlock(width // 2, width // 2, style),
        )
    )


def _along(blocks: nn.ModuleList, x: Tensor, style: Tensor, frames: Rows, steps: Rows) -> Tensor:
    first, doubling, last = blocks
    found: Tensor = last(doubling(first(x, style, frames), style, frames), style, steps)
    return found
