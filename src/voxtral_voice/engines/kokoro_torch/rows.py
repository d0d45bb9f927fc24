"""Sequences of several lengths in one tensor, computed as if each were alone.

Knows: which steps of a padded tensor are real. Does not know: what is in them.

What looks at its neighbours (a convolution, an LSTM) or at the whole (a norm) would see the padding. So padding is 0
before each convolution, norms count the real steps only, and LSTMs get packed sequences. Rows of one length need none
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

EPSILON = 1e-5
"""Of all norms but those of `albert`."""


class Rows:
    """lengths: steps of each row; the longest one fills the tensor."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.lengths = tuple(lengths)
        self.device = device
        self.longest = max(self.lengths)
        self.even = min(self.lengths) == self.longest
        self.counts = torch.tensor(self.lengths, device=device)[:, None, None]
        """[rows, 1, 1]."""
        self.real = torch.arange(self.longest, device=device) < self.counts
        """bool [rows, 1, steps]."""

    def scaled(self, factor: int, more: int = 0) -> Rows:
        """With `factor` steps for each, and `more` behind them."""
        return Rows([length * factor + more for length in self.lengths], self.device)

    def masked(self, x: Tensor) -> Tensor:
        """x: [rows, channels, steps]. Padding becomes 0."""
        return x if self.even else x * self.real.to(x.dtype)

    def normalised(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """x: [rows, channels, steps]; scale, shift: [rows, channels, 1]. Each channel of each row gets mean 0 and
        variance 1 over its real steps, then scale and shift; padding becomes 0."""
        variance, mean = self._moments(x)
        steep = scale * torch.rsqrt(variance + EPSILON)
        return self.masked(torch.addcmul(shift - mean * steep, x, steep))

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Variance and mean over the real steps."""
        if self.even:
            variance, mean = torch.var_mean(x, dim=2, correction=0, keepdim=True)
            return variance, mean
        real = self.real.to(x.dtype).transpose(1, 2)
        mean = x.bmm(real) / self.counts
        return (x - mean).square().bmm(real) / self.counts, mean

    def through(self, lstm: nn.LSTM, x: Tensor) -> Tensor:
        """x: [rows, steps, channels]; also what comes out, with 0 for padding."""
        if self.even:
            alone: Tensor = lstm(x)[0]
            return alone
        packed: Any = pack_padded_sequence(x, torch.tensor(self.lengths), batch_first=True, enforce_sorted=False)
        out: Tensor = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
        return out


def lstm(channels: int, width: int) -> nn.LSTM:
    """Both ways: [rows, steps, channels] -> [rows, steps, width]."""
    return nn.LSTM(channels, width // 2, batch_first=True, bidirectional=True)


class StyledNorm(nn.Module):
    """Instance norm whose scale and shift follow the style ("AdaIN"). Padding is 0 behind it."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor, rows: Rows) -> Tensor:
        """x: [rows, channels, steps]. style: [rows, style]."""
        scale, shift = self.fc(style).unsqueeze(2).chunk(2, dim=1)
        return rows.normalised(x, 1 + scale, shift)


class StyledLayerNorm(nn.Module):
    """The same over the channels of a step ("AdaLayerNorm"), without regard to padding."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.channels = channels
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x: [rows, steps, channels]. style: [rows, style]."""
        scale, shift = self.fc(style).unsqueeze(1).chunk(2, dim=2)
        return torch.addcmul(shift, functional.layer_norm(x, (self.channels,), eps=EPSILON), 1 + scale)


class StyledBlock(nn.Module):
    """Two convolutions with a way around them; `double`: twice as many steps come out ("AdainResBlk1d")."""

    def __init__(self, channels: int, out: int, style: int, *, double: bool = False) -> None:
        super().__init__()
        self.double = double
        self.norm1 = StyledNorm(channels, style)
        self.norm2 = StyledNorm(out, style)
        self.conv1 = nn.Conv1d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv1d(out, out, 3, padding=1)
        self.conv1x1 = nn.Conv1d(channels, out, 1, bias=False) if channels != out else None
        self.pool: nn.ConvTranspose1d | None = None
        if double:
            self.pool = nn.ConvTranspose1d(channels, channels, 3, 2, padding=1, output_padding=1, groups=channels)

    def forward(self, x: Tensor, style: Tensor, rows: Rows) -> Tensor:
        """x: [rows, channels, steps]; rows: of x. Padding of the result is anything."""
        after = rows.scaled(2) if self.double else rows
        inner = functional.leaky_relu(self.norm1(x, style, rows), 0.2)
        if self.pool is not None:
            inner = after.masked(self.pool(inner))
            x = x.repeat_interleave(2, dim=2)
        inner = functional.leaky_relu(self.norm2(self.conv1(inner), style, after), 0.2)
        around = x if self.conv1x1 is None else self.conv1x1(x)
        return (self.conv2(inner) + around) * 0.5**0.5
