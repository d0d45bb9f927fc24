"""The source sings at the pitch that it is given, and its spectra are those of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.kokoro_torch.source import Source

pytestmark = pytest.mark.voxtral

STEPS = 40


def source(*weights: float) -> Source:
    """weights: of the harmonics, the lowest first."""
    import torch

    from voxtral_voice.engines.kokoro_torch.source import HARMONICS, Source

    made = Source()
    with torch.no_grad():
        made.l_linear.weight.zero_()
        made.l_linear.weight[0, : len(weights)] = torch.tensor(weights)
        made.l_linear.bias.zero_()
    assert len(weights) <= HARMONICS
    return made


def constant(pitch_hz: float, rows: int = 1) -> Tensor:
    import torch

    return torch.full((rows, STEPS), pitch_hz)


@pytest.mark.parametrize(("weights", "expected_hz"), [((1.0,), 200), ((0.0, 1.0), 400), ((0.0, 0.0, 1.0), 600)])
def test_each_harmonic_is_at_its_multiple_of_the_pitch(weights: tuple[float, ...], expected_hz: float) -> None:
    signal = source(*weights).signal(constant(200.0))[0].detach().numpy()
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(signal.size)))
    assert abs(int(spectrum.argmax()) * 24_000 / signal.size - expected_hz) <= 24_000 / signal.size


def test_a_changing_pitch_makes_no_jump() -> None:
    import torch

    signal = source(1.0).signal(torch.linspace(90.0, 300.0, STEPS)[None])[0].detach().numpy()
    fastest = 2 * np.pi * 300 / 24_000 * 0.1
    assert np.abs(np.diff(signal)).max() < fastest + 8 * 0.003


def test_what_has_no_pitch_is_noise_and_always_the_same() -> None:
    first, again = (source(1.0).signal(constant(0.0))[0].detach().numpy() for _ in range(2))
    assert 0.025 < first.std() < 0.04
    np.testing.assert_array_equal(first, again)


def test_noise_outlasts_the_longest_phrase() -> None:
    import torch

    signal = source(1.0).signal(torch.zeros(1, 1000))[0].detach().numpy()
    assert signal.size == 300_000
    assert signal[-1000:].std() > 0.02


def test_its_spectrum_is_the_one_of_torch_at_the_ends_of_each_row_too() -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import Rows
    from voxtral_voice.engines.kokoro_torch.source import BINS, FFT, HOP, STEP

    made, lengths = source(1.0, 0.5), (STEPS, 25)
    pitch_hz = constant(150.0, 2)
    pitch_hz[1, 25:] = 0
    with torch.inference_mode():
        found = made(pitch_hz[:, None], Rows(lengths, torch.device("cpu")))
        signal = made.signal(pitch_hz)
    for row, length in enumerate(lengths):
        alone = signal[row, : length * STEP]
        expected = torch.stft(alone, FFT, HOP, FFT, torch.hann_window(FFT), return_complex=True)
        pieces = expected.shape[1]
        torch.testing.assert_close(found[row, :BINS, :pieces], expected.abs(), rtol=1e-4, atol=1e-5)
        turned = torch.polar(found[row, :BINS, :pieces], found[row, BINS:, :pieces])
        torch.testing.assert_close(turned, expected, rtol=1e-3, atol=1e-5)


def test_a_negative_first_or_last_bin_has_the_phase_pi_and_not_minus_pi() -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import Rows
    from voxtral_voice.engines.kokoro_torch.source import BINS

    with torch.inference_mode():
        found = source(1.0)(constant(150.0)[:, None], Rows((STEPS,), torch.device("cpu")))
    for number in (BINS, 2 * BINS - 1):
        assert sorted(set(found[0, number].tolist())) == pytest.approx([0.0, np.pi])


def test_the_way_back_is_torchs_but_louder() -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import Rows
    from voxtral_voice.engines.kokoro_torch.source import FFT, HOP, Synthesis

    torch.manual_seed(0)
    window = torch.hann_window(FFT)
    spectrum = torch.stft(torch.randn(1000), FFT, HOP, FFT, window, return_complex=True)
    found = Synthesis()(spectrum.abs()[None], spectrum.angle()[None], Rows((201,), torch.device("cpu")))[0]
    expected = torch.istft(spectrum, FFT, HOP, FFT, window)
    assert found.shape == expected.shape
    torch.testing.assert_close(found[20:-20], 1.5 * expected[20:-20], rtol=1e-4, atol=1e-4)
