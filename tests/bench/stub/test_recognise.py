"""A clip is known by its loudness, whatever was done to it on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.bench.stub.make import RATE_HZ, babble
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.stub.recognise import Match, Recogniser, is_silent

LENGTHS_S = (1.2, 1.6, 2.0, 2.5, 3.0, 4.0)
CLIPS = [babble(seed, seconds) for seed, seconds in enumerate(LENGTHS_S)]
RECOGNISER = Recogniser(CLIPS)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def noisy(audio: Samples, snr_db: float) -> Samples:
    rng = np.random.default_rng(0)
    level = np.sqrt(np.mean(np.square(audio))) * 10 ** (-snr_db / 20)
    padded = np.concatenate([silence(0.3), audio, silence(0.6)])
    noised: Samples = (padded + level * rng.standard_normal(len(padded))).astype(np.float32)
    return noised


def cut(audio: Samples, begin_s: float, end_s: float) -> Samples:
    part: Samples = audio[round(begin_s * RATE_HZ) : len(audio) - round(end_s * RATE_HZ)]
    return part


@pytest.mark.parametrize(
    "change",
    [
        lambda audio: audio,
        lambda audio: audio * 0.1,
        lambda audio: np.clip(audio * 8, -1, 1),
        lambda audio: np.concatenate([silence(0.513), audio, silence(1.1)]),
        lambda audio: cut(audio, 0.15, 0.05),
        lambda audio: cut(audio, 0.4, 0.0),
        lambda audio: audio[7:],
        lambda audio: resample(resample(audio, RATE_HZ, 8_000), 8_000, RATE_HZ),
        lambda audio: noisy(audio, 20),
        lambda audio: noisy(audio, 10),
    ],
    ids="same soft clipped padded trimmed late shifted telephone noise20 noise10".split(),
)
@pytest.mark.parametrize("index", range(len(CLIPS)))
def test_a_clip_is_known_again(index: int, change: Callable[[Samples], Samples]) -> None:
    assert RECOGNISER.recognise(change(CLIPS[index]).astype(np.float32)) == Match(index, 0.0, 1.0)


@pytest.mark.parametrize("index", range(2, len(CLIPS)))
def test_a_part_says_which_part_it_is(index: int) -> None:
    length = len(CLIPS[index])
    first = RECOGNISER.recognise(CLIPS[index][: length // 2])
    second = RECOGNISER.recognise(CLIPS[index][length // 2 :])
    assert first is not None
    assert second is not None
    assert (first.index, first.begin, second.index, second.end) == (index, 0.0, index, 1.0)
    assert [first.end, second.begin] == pytest.approx([0.5, 0.5], abs=0.05)


@pytest.mark.parametrize("seed", range(100, 120))
def test_other_speech_is_not_known(seed: int) -> None:
    assert RECOGNISER.recognise(babble(seed, 1.0 + seed % 7 / 2)) is None


@pytest.mark.parametrize("audio", [silence(0), silence(0.1), silence(3), babble(0, 0.1)])
def test_too_little_is_not_known(audio: Samples) -> None:
    assert RECOGNISER.recognise(audio) is None


def test_without_clips_nothing_is_known() -> None:
    assert Recogniser([]).recognise(CLIPS[0]) is None
    assert Recogniser([silence(1)]).recognise(CLIPS[0]) is None


def test_silence_is_told_from_sound() -> None:
    assert is_silent(silence(0))
    assert is_silent(silence(1))
    assert is_silent((5e-4 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32))
    assert not is_silent(np.concatenate([silence(1), CLIPS[0]]))
