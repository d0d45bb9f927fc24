"""What is shown to the model: windows, silence, pieces of long recordings."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.voxtral.mini_sound import (
    LONGEST_S,
    WINDOW_SAMPLES,
    pieces,
    sound_of,
)


def noise(seconds: float, dbfs: float) -> Samples:
    samples = np.random.default_rng(0).standard_normal(round(seconds * LISTEN_RATE_HZ))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def test_what_has_no_voice_in_it_is_no_piece() -> None:
    assert list(pieces(noise(3, -70))) == []


@pytest.mark.parametrize(
    ("samples", "windows"), [(1, 1), (WINDOW_SAMPLES, 1), (WINDOW_SAMPLES + 1, 2), (2 * WINDOW_SAMPLES, 2)]
)
def test_it_is_padded_to_windows_of_30_s(samples: int, windows: int) -> None:
    sound = sound_of(np.zeros(samples, np.float32))
    assert (sound.windows, sound.tokens) == (windows, 375 * windows)


def test_equal_samples_are_one_sound() -> None:
    assert sound_of(speech(1)) == sound_of(speech(1).copy())
    assert sound_of(speech(1)) != sound_of(speech(1, seed=1))
    assert sound_of(speech(2)[::2]).samples.flags.c_contiguous


def test_a_long_recording_is_cut_where_it_is_quietest() -> None:
    long = noise(2 * LONGEST_S + 10, -20)
    pause = slice(115 * LISTEN_RATE_HZ, round(115.3 * LISTEN_RATE_HZ))
    long[pause] = 0
    first, *others = [sound.samples for sound in pieces(long)]
    assert pause.start < len(first) < pause.stop
    assert all(len(piece) <= LONGEST_S * LISTEN_RATE_HZ for piece in others)
    assert np.array_equal(np.concatenate([first, *others]), long)
