"""What a voice is made of before the mouth shapes it, and the way from spectra to samples.

Knows: the harmonics of a pitch curve and their noise (the source of neural source-filter models, Wang et al. 2019),
the short-time Fourier transform of 20 samples every 5. Does not know: the network around it.

The noise is drawn once and is the same for every row, so that the same phrase is always the same sound, alone or with
others. The harmonics begin at phase 0.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from voxtral_voice.engines.kokoro_torch.rows import Rows

RATE_HZ: Final = 24_000
FFT: Final = 20
HOP: Final = 5
BINS: Final = FFT // 2 + 1
STEP: Final = 300
"""Samples of one value of the pitch curve."""
HARMONICS: Final = 9
VOICED_HZ: Final = 10.0
"""A lower pitch is no voice."""
LOUD: Final = 0.1
"""Amplitude of a harmonic."""
VOICED_NOISE: Final = 0.003
UNVOICED_NOISE: Final = LOUD / 3
NOISE_S: Final = 5.0
"""Then it comes again."""
SEED: Final = 0


class Source(nn.Module):
    """Pitch to the spectrum of the excitation: magnitudes, then phases."""

    def __init__(self) -> None:
        super().__init__()
        self.l_linear = nn.Linear(HARMONICS, 1)
        drawn = torch.randn(round(NOISE_S * RATE_HZ), HARMONICS, generator=torch.Generator().manual_seed(SEED))
        self.register_buffer("noise", drawn, persistent=False)
        self.register_buffer("basis", _analysis(), persistent=False)

    def forward(self, pitch_hz: Tensor, steps: Rows) -> Tensor:
        """pitch_hz: [rows, 1, steps], 0 for padding. Returns [rows, 2 * BINS, steps * STEP / HOP + 1]."""
        signal = self.signal(pitch_hz[:, 0].float())
        real, imaginary = _framed(signal, steps.scaled(STEP)).matmul(self.basis).transpose(1, 2).chunk(2, dim=1)
        imaginary = torch.where(imaginary == 0, 0.0, imaginary)  # no -0: a phase is pi, never -pi
        return torch.cat((torch.hypot(real, imaginary), torch.atan2(imaginary, real)), dim=1)

    def signal(self, pitch_hz: Tensor) -> Tensor:
        """pitch_hz: [rows, steps]. Returns [rows, steps * STEP]."""
        voiced = (pitch_hz > VOICED_HZ).float().repeat_interleave(STEP, dim=1)[:, :, None]
        samples = voiced.shape[1]
        noise = self.noise.repeat(-(-samples // len(self.noise)), 1)[:samples]
        loud = voiced * VOICED_NOISE + (1 - voiced) * UNVOICED_NOISE
        waves = LOUD * voiced * torch.sin(2 * torch.pi * _cycles(pitch_hz)) + loud * noise
        signal: Tensor = torch.tanh(self.l_linear(waves))[:, :, 0]
        return signal


def _cycles(pitch_hz: Tensor) -> Tensor:
    """How often each harmonic has gone round, without the whole turns: [rows, steps * STEP, HARMONICS].

    At the middle of a step it is the sum of all steps so far; between two middles it grows evenly, and before the first
    and behind the last it stands. The sum needs float64: it grows to thousands.
    """
    numbers = torch.arange(1, HARMONICS + 1, device=pitch_hz.device)
    turns = STEP * (pitch_hz[:, :, None] * numbers / RATE_HZ % 1)  # of each step: [rows, steps, HARMONICS]
    there = turns.double().cumsum(1).remainder(1).float()
    to_next = functional.pad(turns[:, 1:], (0, 0, 0, 1))
    from_last = functional.pad(turns[:, 1:], (0, 0, 1, 0))
    place = ((torch.arange(STEP, device=pitch_hz.device) + 0.5) / STEP - 0.5)[:, None]
    slopes = torch.where(place < 0, from_last[:, :, None], to_next[:, :, None])
    return (there[:, :, None] + place * slopes).flatten(1, 2)


def _framed(signal: Tensor, samples: Rows) -> Tensor:
    """Pieces of FFT samples every HOP, the first one in the middle of its own reflection, as is the last one of each
    row: [rows, pieces, FFT]."""
    half = FFT // 2
    last = samples.counts[:, 0] - 1
    places = torch.arange(-half, signal.shape[1] + half, device=signal.device).abs()
    mirrored = (last - (last - places).abs()).clamp(min=0)
    return signal.gather(1, mirrored).unfold(1, FFT, HOP)


class Synthesis(nn.Module):
    """Magnitudes and phases to samples: the pieces, windowed and added.

    As in the published ONNX files the sum is not divided by that of the squared windows, 1.5: the voices are as loud as
    there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", _synthesis(), persistent=False)

    def forward(self, magnitudes: Tensor, phases: Tensor, pieces: Rows) -> Tensor:
        """Both [rows, BINS, pieces]. Returns [rows, (pieces - 1) * HOP]."""
        parts = torch.cat((magnitudes * torch.cos(phases), magnitudes * torch.sin(phases)), dim=1)
        audio: Tensor = functional.conv_transpose1d(pieces.masked(parts), self.basis, stride=HOP)[:, 0]
        return audio[:, FFT // 2 : -FFT // 2]


def _window() -> Tensor:
    return torch.hann_window(FFT, dtype=torch.float64)


def _waves() -> Tensor:
    """Cosines, then negative sines, of each bin: [2 * BINS, FFT]. What is 0 is exactly 0: of the first bin and of the
    last one a phase is 0 or pi."""
    angles = torch.arange(BINS, dtype=torch.float64)[:, None] * torch.arange(FFT) * (2 * torch.pi / FFT)
    return torch.cat((torch.cos(angles), -torch.sin(angles))).round(decimals=12)


def _analysis() -> Tensor:
    """[FFT, 2 * BINS]."""
    return (_waves() * _window()).T.contiguous().float()


def _synthesis() -> Tensor:
    """[2 * BINS, 1, FFT]. The bins between the first and the last stand for their mirrored ones too."""
    twice = torch.full((BINS, 1), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    return (_waves() * _window() * twice.repeat(2, 1) / FFT)[:, None].float()
