from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import STOP_DB, StreamResampler, prompt_resampler, resample

PAIRS = [(24_000, 16_000), (16_000, 24_000), (8_000, 16_000), (24_000, 8_000), (44_100, 16_000)]


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> Samples:
    return np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz).astype(np.float32)


def streamed(samples: Samples, from_hz: int, to_hz: int, cuts: list[int]) -> Samples:
    stream = StreamResampler(from_hz, to_hz)
    edges = [0, *sorted(cuts), len(samples)]
    pieces = [stream.push(samples[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*pieces, stream.flush()])


def level_db(samples: Samples) -> float:
    return float(10 * np.log10(2 * np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_tone_keeps_its_pitch_its_place_and_its_level(from_hz: int, to_hz: int) -> None:
    out = streamed(tone(1_000, from_hz), from_hz, to_hz, list(range(0, from_hz, from_hz // 50)))
    assert len(out) == to_hz
    inner = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(out[inner] - tone(1_000, to_hz)[inner]).max() < 1e-3


def test_440_hz_at_24_khz_is_440_hz_at_16_khz() -> None:
    out = streamed(tone(440, 24_000), 24_000, 16_000, [])
    assert int(np.argmax(np.abs(np.fft.rfft(out)))) == 440  # one second: bins of 1 Hz


@pytest.mark.parametrize("hz", [8_500, 9_500, 11_000])
def test_what_lies_above_the_new_nyquist_rate_does_not_fold_back(hz: float) -> None:
    out = streamed(tone(hz, 24_000), 24_000, 16_000, [])[1_600:-1_600]
    assert level_db(out) < -STOP_DB + 1


def test_the_top_of_the_speech_band_is_kept() -> None:
    out = streamed(tone(7_000, 24_000), 24_000, 16_000, [])[1_600:-1_600]
    assert abs(level_db(out)) < 0.1


@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 2_000), max_size=8))
@settings(deadline=None, max_examples=60)
def test_how_the_stream_is_cut_does_not_matter(rates: tuple[int, int], cuts: list[int]) -> None:
    noise = np.random.default_rng(1).standard_normal(2_000).astype(np.float32)
    whole = streamed(noise, *rates, [])
    np.testing.assert_allclose(streamed(noise, *rates, cuts), whole, atol=1e-5)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_the_delay_is_small_and_always_the_same(from_hz: int, to_hz: int) -> None:
    stream, out, chunk = StreamResampler(from_hz, to_hz), 0, from_hz // 50
    assert stream.delay_ms <= 25 / min(from_hz, to_hz) * 1_000
    for k in range(1, 100):
        out += len(stream.push(np.zeros(chunk, np.float32)))
        lag_ms = k * 20 - out * 1_000 / to_hz
        assert 0 <= lag_ms <= stream.delay_ms


def test_24_to_16_khz_costs_less_than_two_milliseconds() -> None:
    assert StreamResampler(24_000, 16_000).delay_ms < 2


def test_equal_rates_pass_through_untouched() -> None:
    samples = tone(440, 16_000)
    stream = StreamResampler(16_000, 16_000)
    assert stream.delay_ms == 0
    assert stream.push(samples) is samples
    assert len(stream.flush()) == 0
    assert resample(samples, 16_000, 16_000) is samples


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_prompt_stream_keeps_nothing_back_and_is_always_as_late(from_hz: int, to_hz: int) -> None:
    stream, delay_ms = prompt_resampler(from_hz, to_hz), StreamResampler(from_hz, to_hz).delay_ms
    pieces = [stream.push(piece) for piece in np.split(tone(1_000, from_hz), 50)]
    assert [len(piece) for piece in pieces] == [to_hz // 50] * 50
    late = delay_ms / 1_000 * to_hz
    expected = np.sin(2 * np.pi * 1_000 * (np.arange(to_hz) - late) / to_hz)
    inner = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(np.concatenate(pieces)[inner] - expected[inner]).max() < 1e-3


def test_a_stream_of_nothing_gives_nothing() -> None:
    assert len(streamed(np.zeros(0, np.float32), 24_000, 16_000, [])) == 0


def test_a_whole_signal_is_converted_at_once() -> None:
    out = resample(tone(440, 44_100), 44_100, 24_000)
    assert out.dtype == np.float32
    assert np.abs(out[2_400:-2_400] - tone(440, 24_000)[2_400:-2_400]).max() < 1e-3
