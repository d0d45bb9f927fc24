"""How far two sounds are apart."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.voxtral


def test_the_distance_of_two_sounds_is_that_of_their_spectra() -> None:
    from benchmarks.kokoro_torch import distance_db

    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    assert distance_db(noise, noise) == 0
    assert distance_db(noise, noise / np.float32(2)) == pytest.approx(6.02, abs=0.05)
    assert distance_db(noise, -noise) == pytest.approx(0, abs=1e-6)


def test_silence_between_words_does_not_count() -> None:
    from benchmarks.kokoro_torch import distance_db

    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    quiet = np.concatenate([noise, np.zeros(24_000, np.float32)])
    hum = np.concatenate([noise, np.full(24_000, 1e-5, np.float32)])
    assert distance_db(quiet, hum) < 0.2
