from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.audio.pcm import float_to_pcm16, pcm16_to_float
from voxtral_voice.errors import AudioError


@given(st.lists(st.integers(-32_768, 32_767)))
def test_every_step_survives_the_way_there_and_back(steps: list[int]) -> None:
    data = np.array(steps, "<i2").tobytes()
    assert float_to_pcm16(pcm16_to_float(data)) == data


def test_the_bytes_are_little_endian_and_full_scale_is_one() -> None:
    samples = pcm16_to_float(b"\x00\x80\x00\x40\x01\x00")
    assert samples.dtype == np.float32
    assert samples.tolist() == [-1.0, 0.5, 1 / 32_768]


def test_an_odd_number_of_bytes_is_refused() -> None:
    with pytest.raises(AudioError, match=r"even number of bytes, but 3 came"):
        pcm16_to_float(b"abc")


def test_samples_are_rounded_and_what_is_too_loud_is_clipped() -> None:
    loud = np.array([1.0, 7.0, -7.0, np.inf, -np.inf, 1.6 / 32_768, -1.6 / 32_768], np.float32)
    steps = np.frombuffer(float_to_pcm16(loud), "<i2")
    assert steps.tolist() == [32_767, 32_767, -32_768, 32_767, -32_768, 2, -2]


def test_a_sample_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(AudioError, match="NaN"):
        float_to_pcm16(np.array([0.0, np.nan], np.float32))


def test_nothing_is_nothing() -> None:
    assert float_to_pcm16(pcm16_to_float(b"")) == b""
