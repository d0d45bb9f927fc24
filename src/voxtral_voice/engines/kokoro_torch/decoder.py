"""What is said, how high and how loud, to samples.

Knows: the decoder (StyleTTS 2) and its generator (iSTFTNet, Kaneko et al. 2022, with Snake, Ziyin et al. 2020). Does
not know: text.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from voxtral_voice.engines.kokoro_torch.rows import Rows, StyledBlock, StyledNorm
from voxtral_voice.engines.kokoro_torch.source import BINS, HOP, STEP, Source, Synthesis

UPS: Final = (10, 6)
"""Times as many steps; with HOP samples each a value of the pitch curve is STEP samples."""
KERNELS: Final = (3, 7, 11)
NOISE_KERNELS: Final = (7, 11)
DILATIONS: Final = (1, 3, 5)
_STEEP: Final = 0.1
_LAST_STEEP: Final = 0.01


class Decoder(nn.Module):
    """text: channels of what is said. width: of its own blocks. side: of what is handed to each of them again. out: of
    the generator's input."""

    def __init__(self, text: int, style: int, width: int, side: int, out: int) -> None:
        super().__init__()
        self.encode = StyledBlock(text + 2, width, style)
        around = width + side + 2
        self.decode = nn.ModuleList(StyledBlock(around, width, style) for _ in range(3))
        self.decode.append(StyledBlock(around, out, style, double=True))
        self.F0_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.N_conv = nn.Conv1d(1, 1, 3, stride=2, padding=1)
        self.asr_res = nn.Conv1d(text, side, 1)
        self.generator = Generator(out, style)

    def forward(self, said: Tensor, pitch_hz: Tensor, energy: Tensor, style: Tensor, frames: Rows) -> Tensor:
        """said: [rows, text, frames]. pitch_hz, energy: [rows, 1, 2 * frames], 0 for padding. Returns samples."""
        pitch, loud = self.F0_conv(pitch_hz), self.N_conv(energy)
        x = self.encode(torch.cat((said, pitch, loud), dim=1), style, frames)
        side = self.asr_res(said)
        for block in self.decode:
            x = block(torch.cat((x, side, pitch, loud), dim=1), style, frames)
        samples: Tensor = self.generator(x, style, pitch_hz, frames.scaled(2))
        return samples


class Generator(nn.Module):
    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        assert prod(UPS) * HOP == STEP
        before, widths = (channels, channels // 2), (channels // 2, channels // 4)
        self.m_source = Source()
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, 2 * up, up, padding=up // 2)
            for wide, narrow, up in zip(before, widths, UPS, strict=True)
        )
        self.noise_convs = nn.ModuleList(
            (
                nn.Conv1d(2 * BINS, widths[0], 2 * UPS[1], UPS[1], padding=UPS[1] // 2),
                nn.Conv1d(2 * BINS, widths[1], 1),
            )
        )
        self.noise_res = nn.ModuleList(
            SnakeBlock(width, kernel, style) for width, kernel in zip(widths, NOISE_KERNELS, strict=True)
        )
        self.resblocks = nn.ModuleList(SnakeBlock(width, kernel, style) for width in widths for kernel in KERNELS)
        self.conv_post = nn.Conv1d(widths[-1], 2 * BINS, 7, padding=3)
        self.synthesis = Synthesis()

    def forward(self, x: Tensor, style: Tensor, pitch_hz: Tensor, steps: Rows) -> Tensor:
        """x: [rows, channels, steps]. pitch_hz: [rows, 1, steps]. Returns [rows, steps * STEP]."""
        return self.shaped(x, style, self.m_source(pitch_hz, steps).to(x.dtype), steps)

    def shaped(self, x: Tensor, style: Tensor, source: Tensor, steps: Rows) -> Tensor:
        """source: of `Source`."""
        first, pieces = steps.scaled(UPS[0]), steps.scaled(prod(UPS), 1)
        source = pieces.masked(source)
        x = self._stage(0, x, source, style, steps, first)
        x = self._stage(1, x, source, style, first, pieces)
        spectrum = self.conv_post(pieces.masked(functional.leaky_relu(x, _LAST_STEEP))).float()
        return self.synthesis(torch.exp(spectrum[:, :BINS]), torch.sin(spectrum[:, BINS:]), pieces)

    def _stage(self, number: int, x: Tensor, source: Tensor, style: Tensor, before: Rows, after: Rows) -> Tensor:
        excitation = self.noise_res[number](self.noise_convs[number](source), style, after)
        x = self.ups[number](before.masked(functional.leaky_relu(x, _STEEP)))
        if x.shape[2] < after.longest:  # the pieces of a spectrum are one more than its hops
            x = functional.pad(x, (1, 0), mode="reflect")
        x = x + excitation
        blocks: Sequence[nn.Module] = self.resblocks[number * len(KERNELS) : (number + 1) * len(KERNELS)]
        found: Tensor = sum(block(x, style, after) for block in blocks) / len(KERNELS)
        return found


class SnakeBlock(nn.Module):
    """Three times two convolutions, each behind a norm and a Snake ("AdaINResBlock1")."""

    def __init__(self, channels: int, kernel: int, style: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_convolution(channels, kernel, dilation) for dilation in DILATIONS)
        self.convs2 = nn.ModuleList(_convolution(channels, kernel, 1) for _ in DILATIONS)
        self.adain1 = nn.ModuleList(StyledNorm(channels, style) for _ in DILATIONS)
        self.adain2 = nn.ModuleList(StyledNorm(channels, style) for _ in DILATIONS)
        self.alpha1 = nn.ParameterList(torch.ones(1, channels, 1) for _ in DILATIONS)
        self.alpha2 = nn.ParameterList(torch.ones(1, channels, 1) for _ in DILATIONS)

    def forward(self, x: Tensor, style: Tensor, rows: Rows) -> Tensor:
        """Padding of x and of the result is anything."""
        halves1 = zip(self.adain1, self.alpha1, self.convs1, strict=True)
        halves2 = zip(self.adain2, self.alpha2, self.convs2, strict=True)
        for (norm1, alpha1, conv1), (norm2, alpha2, conv2) in zip(halves1, halves2, strict=True):
            inner = conv1(_snake(norm1(x, style, rows), alpha1))
            x = x + conv2(_snake(norm2(inner, style, rows), alpha2))
        return x


def _convolution(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)


def _snake(x: Tensor, alpha: Tensor) -> Tensor:
    """0 stays 0."""
    return x + torch.sin(alpha * x).square() / alpha
