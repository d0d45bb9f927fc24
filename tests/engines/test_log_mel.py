"""The log-mel spectrogram against its definition, written out slowly in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.speech import say, silence, white_noise
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.log_mel import HOP_SAMPLES, MEL_BANDS, log_mel


def slaney_edges_hz() -> npt.NDArray[np.float64]:
    """82 corner frequencies, evenly spaced on Slaney's mel scale between 0 and 8 kHz."""
    log_step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(8000 / 1000) / log_step, MEL_BANDS + 2)
    return np.array([mel * 200 / 3 if mel < 15 else 1000 * np.exp(log_step * (mel - 15)) for mel in mels])


def by_definition(audio: Samples) -> npt.NDArray[np.float64]:
    padded = np.pad(audio.astype(np.float64), 200, mode="reflect")
    window = np.sin(np.pi * np.arange(400) / 400) ** 2
    bins_hz = np.arange(201) * LISTEN_RATE_HZ / 400
    edges_hz = slaney_edges_hz()
    rows = []
    for low, centre, high in zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False):
        rows.append(np.interp(bins_hz, [low, centre, high], [0, 1, 0]) * 2 / (high - low))
    columns = []
    for at in range(0, len(audio), HOP_SAMPLES):
        power = np.abs(np.fft.rfft(padded[at : at + 400] * window)) ** 2
        columns.append(np.log10(np.maximum(np.array(rows) @ power, 1e-10)))
    log = np.array(columns).T
    compressed: npt.NDArray[np.float64] = (np.maximum(log, log.max() - 8) + 4) / 4
    return compressed


def whole_hops(audio: Samples) -> Samples:
    return audio[: len(audio) // HOP_SAMPLES * HOP_SAMPLES]


@pytest.mark.parametrize(
    "audio",
    [whole_hops(say("Yes, it is raining.")), white_noise(1, -20), silence(1)],
    ids=["speech", "noise", "silence"],
)
def test_it_is_what_whisper_defines(audio: Samples) -> None:
    np.testing.assert_allclose(log_mel(audio), by_definition(audio), atol=2e-5)


def test_ten_milliseconds_are_one_column() -> None:
    spectrogram = log_mel(silence(8))
    assert spectrogram.shape == (80, 800)
    assert spectrogram.dtype == np.float32


def test_a_tone_lies_in_the_band_of_its_frequency() -> None:
    at = np.arange(LISTEN_RATE_HZ) / LISTEN_RATE_HZ
    loudest = int(log_mel(np.sin(2 * np.pi * 440 * at).astype(np.float32)).mean(axis=1).argmax())
    edges_hz = slaney_edges_hz()
    assert edges_hz[loudest] < 440 < edges_hz[loudest + 2]


@pytest.mark.parametrize("count", [0, 160, 399, 1601])
def test_other_lengths_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="whole hops of 160 samples"):
        log_mel(np.zeros(count, np.float32))
