"""Clips that a voice can be made of, and what is said of those that it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.speech import silence, white_noise
from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from voxtral_voice.engines.voice_clone_clip import require_one_person, speech_of
from voxtral_voice.errors import RequestError

FRAME_S = VAD_FRAME_SAMPLES / LISTEN_RATE_HZ


def talk(seconds: float, level: float = 0.1) -> Samples:
    """Swells like syllables."""
    at = np.arange(round(seconds / FRAME_S) * VAD_FRAME_SAMPLES) / LISTEN_RATE_HZ
    swell = 0.2 + 0.8 * np.sin(2 * np.pi * 2 * at) ** 2
    made: Samples = (level * swell * np.sin(2 * np.pi * 150 * at)).astype(np.float32)
    return made


def clip(*parts: tuple[Samples, float]) -> tuple[Samples, list[float]]:
    """parts: sound, and the probability that it is speech."""
    whole = [(sound[: sound.size // VAD_FRAME_SAMPLES * VAD_FRAME_SAMPLES], p) for sound, p in parts]
    return (
        np.concatenate([sound for sound, _ in whole]),
        [p for sound, p in whole for _ in range(sound.size // VAD_FRAME_SAMPLES)],
    )


def refusal(*parts: tuple[Samples, float]) -> str:
    with pytest.raises(RequestError) as refused:
        speech_of(*clip(*parts))
    return str(refused.value)


def test_speech_comes_out_without_the_silence_around_it() -> None:
    speech = speech_of(*clip((silence(2), 0.0), (talk(6), 0.9), (silence(2), 0.0)))
    assert speech.size / LISTEN_RATE_HZ == pytest.approx(6, abs=0.4)


def test_of_a_long_clip_the_first_half_minute_of_speech_counts() -> None:
    speech = speech_of(*clip((talk(20), 0.9), (silence(5), 0.0), (talk(20), 0.9)))
    assert speech.size == 30 * LISTEN_RATE_HZ


def test_a_clip_without_a_pause_is_taken() -> None:
    assert speech_of(*clip((talk(6), 0.9))).size == talk(6).size


@pytest.mark.parametrize("sound", [silence(8), white_noise(8, -70)], ids=["zeros", "hiss"])
def test_silence(sound: Samples) -> None:
    assert refusal((sound, 0.0)) == "The recording is silent: check the microphone and record it again."


def test_nothing_at_all() -> None:
    with pytest.raises(RequestError, match="is silent"):
        speech_of(silence(0), [])


def test_too_short() -> None:
    assert refusal((silence(1), 0.0), (talk(3.2), 0.9)).startswith("The recording has 3.3 s of speech: at least 5 s")


@pytest.mark.parametrize("speech_s", [0.5, 6.0])
def test_music(speech_s: float) -> None:
    message = refusal((talk(speech_s), 0.9), (white_noise(12, -20), 0.2))
    assert message.startswith(f"Most of the recording is no speech ({speech_s:.1f} s of")


def test_noise() -> None:
    noisy = talk(6) + white_noise(7, -26)[: talk(6).size]
    message = refusal((noisy, 0.9), (white_noise(2, -26), 0.0))
    assert "too noisy (speech is" in message


def test_quiet_noise_is_fine() -> None:
    assert speech_of(*clip((talk(6), 0.9), (white_noise(2, -50), 0.0))).size


def test_clipping() -> None:
    cut_off = np.clip(talk(6, 2.0), -0.9, 0.9)
    assert "is distorted" in refusal((cut_off, 0.9))
    loud = talk(6, 1.0) * np.abs(white_noise(7, -16))[: talk(6).size]
    assert np.abs(loud).max() > 0.51
    assert speech_of(*clip((loud / np.abs(loud).max() * np.float32(0.99), 0.9))).size


def test_what_was_cut_off_and_then_made_quiet_is_not_told_from_speech_with_a_flat_top() -> None:
    assert speech_of(*clip((np.clip(talk(6, 2.0), -0.9, 0.9) * 0.1, 0.9))).size


# --- one person -------------------------------------------------------------------------------------------------


def windows(*people: tuple[int, int]) -> Samples:
    """people: (who, how many windows of theirs)."""
    rng = np.random.default_rng(0)
    made = [np.abs(np.eye(256)[who] + rng.normal(0, 0.03, 256)) for who, count in people for _ in range(count)]
    vectors = np.stack(made)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_two_people() -> None:
    with pytest.raises(RequestError, match="more than one person"):
        require_one_person(windows((3, 12), (90, 12)))


@pytest.mark.parametrize("people", [[(3, 24)], [(3, 3), (90, 3)], [(3, 24), (90, 2)]], ids=["one", "short", "a moment"])
def test_one_person_or_too_little_of_another_to_be_sure(people: list[tuple[int, int]]) -> None:
    require_one_person(windows(*people))
