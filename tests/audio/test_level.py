from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.audio.level import FLOOR_DBFS, first_audible_sample, frames_dbfs, last_audible_sample, rms_dbfs
from voxtral_voice.audio.pcm import Samples

RATE_HZ = 24_000


def at_dbfs(level: float, ms: int) -> Samples:
    return np.full(RATE_HZ * ms // 1000, 10 ** (level / 20), np.float32)


def test_levels_are_relative_to_a_full_scale_square_wave() -> None:
    sine = np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    assert rms_dbfs(np.ones(10, np.float32)) == pytest.approx(0)
    assert rms_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(at_dbfs(-45, 10)) == pytest.approx(-45, abs=0.01)


def test_silence_has_a_floor() -> None:
    assert rms_dbfs(np.zeros(0, np.float32)) == FLOOR_DBFS
    assert rms_dbfs(np.zeros(10, np.float32)) == FLOOR_DBFS
    assert rms_dbfs(np.full(10, 1e-8, np.float32)) == FLOOR_DBFS


def test_speech_between_room_tone_is_found_to_the_window() -> None:
    samples = np.concatenate((at_dbfs(-70, 200), at_dbfs(-20, 100), at_dbfs(-70, 300)))
    assert first_audible_sample(samples, RATE_HZ) == RATE_HZ * 200 // 1000
    assert last_audible_sample(samples, RATE_HZ) == RATE_HZ * 300 // 1000


def test_two_loud_windows_are_a_click_and_three_are_a_sound() -> None:
    quiet = at_dbfs(-80, 50)
    assert first_audible_sample(np.concatenate((quiet, at_dbfs(0, 20), quiet)), RATE_HZ) is None
    assert first_audible_sample(np.concatenate((quiet, at_dbfs(0, 30), quiet)), RATE_HZ) == len(quiet)


def test_a_click_behind_the_speech_does_not_make_it_longer() -> None:
    quiet, click = at_dbfs(-80, 100), at_dbfs(-3, 10)
    samples = np.concatenate((at_dbfs(-20, 50), quiet, click, quiet))
    assert last_audible_sample(samples, RATE_HZ) == RATE_HZ * 50 // 1000


@pytest.mark.parametrize(("level", "heard"), [(-44.5, True), (-45.5, False)])
def test_audible_is_above_minus_45_dbfs(level: float, heard: bool) -> None:
    samples = at_dbfs(level, 100)
    assert (first_audible_sample(samples, RATE_HZ) is not None) == heard
    assert (last_audible_sample(samples, RATE_HZ) is not None) == heard


@pytest.mark.parametrize("ms", [0, 5, 25])
def test_less_than_three_windows_are_never_audible(ms: int) -> None:
    assert first_audible_sample(at_dbfs(0, ms), RATE_HZ) is None
    assert last_audible_sample(at_dbfs(0, ms), RATE_HZ) is None


def test_frames_have_levels_of_their_own() -> None:
    frames = np.stack([np.zeros(512, np.float32), np.full(512, 0.1, np.float32)])
    assert frames_dbfs(frames) == (FLOOR_DBFS, -20.0)
    assert frames_dbfs(frames[:0]) == ()
