from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.audio.g711 import Law, float_to_g711, g711_to_float
from voxtral_voice.audio.pcm import FULL_SCALE
from voxtral_voice.errors import AudioError

LAWS: list[Law] = ["mu", "a"]

KNOWN: list[tuple[Law, int, int]] = [
    ("mu", 0xFF, 0), ("mu", 0x7F, 0), ("mu", 0x80, 32124), ("mu", 0x00, -32124), ("mu", 0xFE, 8), ("mu", 0x7E, -8),
    ("mu", 0xEF, 132), ("mu", 0x6F, -132), ("mu", 0x9F, 8316), ("mu", 0x8F, 16764),
    ("a", 0xD5, 8), ("a", 0x55, -8), ("a", 0xAA, 32256), ("a", 0x2A, -32256), ("a", 0xD4, 24), ("a", 0xC5, 264),
    ("a", 0xF5, 528), ("a", 0x8A, 8064), ("a", 0xA5, 16896),
]  # fmt: skip
"""law, code, the sample as a 16-bit step (ITU-T G.711, tables 1 and 2)."""


@pytest.mark.parametrize(("law", "code", "step"), KNOWN)
def test_values_of_the_tables(law: Law, code: int, step: int) -> None:
    assert g711_to_float(bytes([code]), law).tolist() == [step / FULL_SCALE]


@pytest.mark.parametrize("law", LAWS)
def test_every_code_comes_back(law: Law) -> None:
    codes = bytes(range(256))
    again = float_to_g711(g711_to_float(codes, law), law)
    minus_nothing = {0x7F: 0xFF} if law == "mu" else {}  # mu has two zeros
    assert list(again) == [minus_nothing.get(code, code) for code in codes]


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_comes_back_about_as_it_was(law: Law) -> None:
    """The error is about half a step: 1/32 of the sample, and 8 for the smallest ones."""
    samples = (np.arange(-FULL_SCALE, FULL_SCALE) / FULL_SCALE).astype(np.float32)
    again = g711_to_float(float_to_g711(samples, law), law)
    assert (np.diff(again) >= 0).all()
    loud = np.abs(samples) > 32124 / FULL_SCALE
    error = np.abs(again - samples)[~loud] * FULL_SCALE
    assert (error <= np.abs(samples[~loud]) * FULL_SCALE / 32 + 8).all()


@pytest.mark.parametrize(("law", "silence"), [("mu", 0xFF), ("a", 0xD5)])
def test_silence_and_what_is_too_loud(law: Law, silence: int) -> None:
    loudest, softest = (0x80, 0x00) if law == "mu" else (0xAA, 0x2A)
    samples = np.array([0.0, 7.0, -7.0], np.float32)
    assert list(float_to_g711(samples, law)) == [silence, loudest, softest]


@given(st.binary(max_size=50), st.sampled_from(LAWS))
def test_each_byte_is_a_sample(data: bytes, law: Law) -> None:
    samples = g711_to_float(data, law)
    assert samples.size == len(data)
    assert samples.dtype == np.float32
    assert len(float_to_g711(samples, law)) == len(data)


def test_a_sample_that_is_no_number_is_an_error() -> None:
    with pytest.raises(AudioError, match="not numbers"):
        float_to_g711(np.array([np.nan], np.float32), "mu")
