"""Log-mel spectrogram as Whisper and Smart Turn expect it.

Knows: frames, Fourier transform, mel filters, Whisper's compression to about [-1, 1]. Does not know: windows of
seconds, models, padding policies.

Source: `log_mel_spectrogram` of openai/whisper (audio.py) and `WhisperFeatureExtractor` of transformers: a periodic
Hann window of 25 ms every 10 ms, frames centred with reflection at both ends, power, 80 Slaney mel filters, log10,
clamped to 8 below the maximum, then (x + 4) / 4. Computed in float32; the references use float64 in places, and
agree to about 1e-5.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

Float32 = npt.NDArray[np.float32]

HOP_SAMPLES: Final = 160
"""One mel frame every 10 ms."""
MEL_BANDS: Final = 80

_WINDOW_SAMPLES: Final = 400
_FLOOR: Final = np.float32(1e-10)


def log_mel(audio: Samples) -> Float32:
    """audio: 16 kHz, at least 400 samples and a whole number of hops, else ValueError. Returns [80, n // 160]."""
    if len(audio) < _WINDOW_SAMPLES or len(audio) % HOP_SAMPLES:
        raise ValueError(f"log_mel needs whole hops of {HOP_SAMPLES} samples, at least 400, not {len(audio)}.")
    log: Float32 = np.maximum(mel_filters(MEL_BANDS) @ power(audio), _FLOOR)
    np.log10(log, out=log)
    np.maximum(log, log.max() - np.float32(8), out=log)
    log += np.float32(4)
    log /= np.float32(4)
    return log


def power(audio: Samples) -> Float32:
    """audio: 16 kHz, at least 400 samples. Power spectrum of the centred frames: [201, n // 160]."""
    padded = np.pad(audio.astype(np.float32, copy=False), _WINDOW_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::HOP_SAMPLES][:-1]
    spectrum = np.fft.rfft(frames * _hann()).astype(np.complex64, copy=False)
    return (spectrum.real**2 + spectrum.imag**2).T


@cache
def _hann() -> Float32:
    """Periodic Hann window: [400]."""
    return np.hanning(_WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


@cache
def mel_filters(bands: int) -> Float32:
    """Triangles of equal area on Slaney's mel scale, 0 Hz to 8 kHz: [bands, 201]."""
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(LISTEN_RATE_HZ / 2), bands + 2))
    bins_hz = np.linspace(0.0, LISTEN_RATE_HZ / 2, _WINDOW_SAMPLES // 2 + 1)
    widths_hz = np.diff(edges_hz)
    distance_hz = edges_hz[:, None] - bins_hz
    rising = -distance_hz[:-2] / widths_hz[:-1, None]
    falling = distance_hz[2:] / widths_hz[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.ascontiguousarray(triangles * area[:, None], dtype=np.float32)


# Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4.
_LOG_STEP: Final = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    """hz: 1 kHz or more."""
    return float(15.0 + np.log(hz / 1000.0) / _LOG_STEP)


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear_hz = mel * 200.0 / 3.0
    log_hz = 1000.0 * np.exp(_LOG_STEP * (mel - 15.0))
    return np.where(mel < 15.0, linear_hz, log_hz)
