"""Too little to be heard, and what is answered then."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.voxtral.sounds import speech
from voxtral_voice.engines.audible import SHORTEST_MS, audible, worth_answering
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Message, Picture, Samples


def noise(seconds: float, dbfs: float) -> Samples:
    samples = np.random.default_rng(0).standard_normal(round(seconds * LISTEN_RATE_HZ))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def test_speech_is_audible_even_when_it_is_faint() -> None:
    assert audible(speech(1))
    assert audible(speech(1) * np.float32(0.03))  # -30 dB


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(16_000, np.float32),
        noise(3, -70),
        speech(0.05),
        np.concatenate([np.zeros(8000, np.float32), noise(0.03, -10), np.zeros(8000, np.float32)]),
    ],
    ids=["nothing", "digital silence", "a quiet room", "too short", "a click"],
)
def test_what_has_no_voice_in_it_is_not(samples: Samples) -> None:
    assert not audible(samples)


def test_the_shortest_sound_that_counts() -> None:
    samples = SHORTEST_MS * LISTEN_RATE_HZ // 1000
    assert audible(noise(1, -20)[:samples])
    assert not audible(noise(1, -20)[: samples - 1])


def test_a_sound_without_anything_in_it_is_left_out_and_words_are_answered() -> None:
    silent = np.zeros(16_000, np.float32)
    spoken, written = Message("user", "", audio=speech(1)), Message("user", "Hi")
    shown = Message("user", "", (Picture("data:,x"),))
    assert worth_answering(spoken) is spoken
    assert worth_answering(written) is written
    for message in (written, shown):
        known = worth_answering(Message("user", message.text, message.pictures, audio=silent))
        assert known == message
        assert known is not None
        assert known.audio is None
    assert worth_answering(Message("user", "", audio=silent)) is None
