"""The measures of Kokoro's speed, with sounds made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.kokoro_speed import FIVE_WORDS, audible_after_ms, cut, distance, mel_bands, play, steps
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.fakes import FakeSpeaker


def noise(seconds: float, level: float = 0.1) -> Samples:
    return (np.random.default_rng(0).standard_normal(round(24_000 * seconds)) * level).astype(np.float32)


def test_a_sound_has_no_distance_to_itself_and_6_db_to_its_half() -> None:
    sound = noise(0.5)
    assert distance(sound, sound) == (0.0, 0.0)
    assert distance(sound, (sound / 2).astype(np.float32)) == pytest.approx((6.02, 6.02), abs=0.01)


def test_sounds_of_different_length_have_no_distance() -> None:
    assert distance(noise(0.5), noise(0.6)) is None


def test_every_band_hears_something() -> None:
    bands = mel_bands()
    assert bands.shape == (513, 80)
    assert (bands.sum(axis=0) > 0).all()
    assert bands.argmax(axis=0).tolist() == sorted(bands.argmax(axis=0).tolist())


def test_silence_before_the_first_sound_is_waited_for() -> None:
    assert audible_after_ms(np.concatenate((np.zeros(2400, np.float32), noise(0.1)))) == 100


def test_a_click_at_a_join_is_seen() -> None:
    smooth, loud = np.zeros(100, np.float32), np.full(100, 0.5, np.float32)
    assert steps([smooth, loud]) == {"within": 0.0, "at_joins": 0.5}


async def test_what_is_made_at_once_is_there_when_it_is_to_be_heard() -> None:
    text = " ".join(FIVE_WORDS)
    spares, seconds = await play(FakeSpeaker(0, 0), text, "af_heart")
    assert len(spares) >= len(cut(text)) - 1
    assert seconds > 1
    assert min(spares) > 0
