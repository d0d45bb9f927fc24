"""A word alone is made as loud as a sentence, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.audio.loudness import loudness_lufs
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.short_loudness import MOST_DB, SHORT_MS, evened
from voxtral_voice.engines.voices import LOUDNESS_LUFS


def tone(ms: int, lufs: float) -> Samples:
    wave = np.sin(2 * np.pi * 997 * np.arange(ms * SPEAK_RATE_HZ // 1000) / SPEAK_RATE_HZ)
    quiet = (0.1 * wave).astype(np.float32)
    return (quiet * 10 ** ((lufs - loudness_lufs(quiet, SPEAK_RATE_HZ)) / 20)).astype(np.float32)


@pytest.mark.parametrize("off_db", [-2.5, 0.0, 2.5])
def test_a_word_is_as_loud_as_a_sentence(off_db: float) -> None:
    made = evened(tone(700, LOUDNESS_LUFS + off_db))
    assert loudness_lufs(made, SPEAK_RATE_HZ) == pytest.approx(LOUDNESS_LUFS, abs=0.05)
    assert made.dtype == np.float32


@pytest.mark.parametrize("off_db", [-10.0, 8.0])
def test_it_is_changed_by_so_much_at_most(off_db: float) -> None:
    made = evened(tone(700, LOUDNESS_LUFS + off_db))
    wanted = LOUDNESS_LUFS + off_db - np.sign(off_db) * MOST_DB
    assert loudness_lufs(made, SPEAK_RATE_HZ) == pytest.approx(wanted, abs=0.05)


def test_a_sentence_stays_as_it_is() -> None:
    sentence = tone(SHORT_MS + 10, LOUDNESS_LUFS + 2)
    assert evened(sentence) is sentence


@pytest.mark.parametrize("ms", [100, 700])
def test_silence_stays_as_it_is(ms: int) -> None:
    silence = np.zeros(ms * 24, np.float32)
    np.testing.assert_array_equal(evened(silence), silence)
