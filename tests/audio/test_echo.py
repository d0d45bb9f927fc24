from __future__ import annotations

import time

import numpy as np
import pytest

from voxtral_voice.audio.echo import (
    ECHO,
    FRAME_SAMPLES,
    KEEP_S,
    LATEST_MS,
    LISTEN_RATE_HZ,
    PLAY_RATE_HZ,
    WINDOW_FRAMES,
    EchoGuard,
)
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample

FRAME_S = FRAME_SAMPLES / LISTEN_RATE_HZ
CHUNK = PLAY_RATE_HZ // 25


def voice(seed: int, seconds: float = 2.0) -> Samples:
    """Something with a pitch and a rhythm, at 24 kHz."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * PLAY_RATE_HZ)) / PLAY_RATE_HZ
    pitch = (
        120
        + 60 * random.random()
        + 30 * np.interp(time_s, np.arange(0, seconds + 1, 0.2), random.random(int(seconds * 5 + 5)))
    )
    buzz = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / PLAY_RATE_HZ))
    breath = random.standard_normal(len(time_s))
    loud = np.interp(time_s, np.arange(0, seconds + 1, 0.1), random.random(int(seconds * 10 + 10)))
    samples: Samples = (0.1 * loud * (buzz + breath)).astype(np.float32)
    return samples


def room(samples: Samples, delay_s: float, level_db: float) -> Samples:
    """What a microphone hears of it, at 16 kHz, from the moment on at which it is played."""
    random = np.random.default_rng(7)
    tail = 0.1 * random.standard_normal(4_800) * 10 ** (-3 * np.arange(4_800) / 4_800)
    response = np.concatenate((np.zeros(round(delay_s * PLAY_RATE_HZ)), [1.0], tail))
    size = len(samples)
    wave = np.convolve(samples, response)[:size] * 10 ** (level_db / 20)
    return resample(wave.astype(np.float32), PLAY_RATE_HZ, LISTEN_RATE_HZ)


def play(guard: EchoGuard, samples: Samples, at_s: float) -> None:
    for start in range(0, len(samples), CHUNK):
        guard.played(samples[start : start + CHUNK], at_s + start / PLAY_RATE_HZ)


def hear(guard: EchoGuard, samples: Samples, from_s: float) -> list[float]:
    count = len(samples) // FRAME_SAMPLES
    frames = samples[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
    return [guard.likeness(frame, from_s + index * FRAME_S) for index, frame in enumerate(frames)]


@pytest.mark.parametrize("level_db", [-10.0, -40.0])
@pytest.mark.parametrize("delay_s", [-0.04, 0.02, 0.15, 0.39])
def test_our_own_voice_is_known_at_any_delay_and_level(delay_s: float, level_db: float) -> None:
    guard = EchoGuard()
    said = voice(1)
    play(guard, said, at_s=100.0)
    heard = hear(guard, room(said, max(0.0, delay_s), level_db), from_s=100.0 + min(0.0, delay_s))
    assert np.mean(np.array(heard[2 * WINDOW_FRAMES :]) >= ECHO) > 0.8


def test_another_voice_is_not_ours() -> None:
    guard = EchoGuard()
    play(guard, voice(1), at_s=100.0)
    assert max(hear(guard, room(voice(2), 0.0, -10), from_s=100.0)) < ECHO


def test_a_louder_voice_over_ours_is_not_ours() -> None:
    guard = EchoGuard()
    said = voice(1)
    play(guard, said, at_s=100.0)
    both = room(said, 0.1, -20) + room(voice(2), 0.0, 0)
    heard = hear(guard, both, from_s=100.0)
    assert np.mean(np.array(heard[WINDOW_FRAMES:]) < ECHO) > 0.9


def test_an_echo_that_is_later_than_any_is_not_known() -> None:
    guard = EchoGuard()
    said = voice(1)
    play(guard, said, at_s=100.0)
    assert max(hear(guard, room(said, LATEST_MS / 1000 + 0.2, -10), from_s=100.0)) < ECHO


def test_silence_and_nothing_played_are_like_nothing() -> None:
    guard = EchoGuard()
    assert set(hear(guard, room(voice(1), 0.0, 0), from_s=100.0)) == {0.0}
    guard = EchoGuard()
    play(guard, voice(1), at_s=110.0)
    assert set(hear(guard, np.zeros(LISTEN_RATE_HZ, np.float32), from_s=110.0)) == {0.0}
    assert set(hear(guard, room(voice(1), 0.0, 0), from_s=120.0)) == {0.0}  # long after


def test_a_reply_after_a_gap_is_found_where_it_is_played() -> None:
    guard = EchoGuard()
    for at_s, seed in ((100.0, 1), (103.0, 2), (200.0, 3)):
        said = voice(seed)
        play(guard, said, at_s)
        heard = hear(guard, room(said, 0.1, -20), from_s=at_s)
        assert np.mean(np.array(heard[2 * WINDOW_FRAMES :]) >= ECHO) > 0.9


def test_a_clock_that_jumps_back_is_survived() -> None:
    guard = EchoGuard()
    play(guard, voice(1), at_s=100.0)
    said = voice(2)
    play(guard, said, at_s=50.0)
    heard = hear(guard, room(said, 0.1, -20), from_s=50.0)
    assert np.mean(np.array(heard[2 * WINDOW_FRAMES :]) >= ECHO) > 0.9


def test_a_reply_that_is_played_again_a_little_earlier_is_known() -> None:
    guard = EchoGuard()
    play(guard, voice(1), at_s=100.0)
    said = voice(2)
    play(guard, said, at_s=101.0)
    heard = hear(guard, room(said, 0.1, -20), from_s=101.0)
    assert np.mean(np.array(heard[2 * WINDOW_FRAMES :]) >= ECHO) > 0.9


def test_more_than_is_kept_at_once_keeps_the_end() -> None:
    guard = EchoGuard()
    said = voice(1, KEEP_S + 2)
    guard.played(said, 100.0)
    heard = hear(guard, room(said, 0.1, -20), from_s=100.0)
    assert heard[0] == 0.0
    assert np.mean(np.array(heard[-60:]) >= ECHO) > 0.9


def test_a_frame_costs_less_than_half_a_millisecond() -> None:
    guard = EchoGuard()
    said = voice(1)
    play(guard, said, at_s=100.0)
    frame = np.ones(FRAME_SAMPLES, np.float32)
    began = time.thread_time()
    for index in range(100):
        guard.likeness(frame, 101.0 + index / 1000)
    assert (time.thread_time() - began) / 100 < 0.005  # ten times that: it is a shared machine


def test_a_tone_tells_nothing() -> None:
    guard = EchoGuard()
    tone = np.sin(2 * np.pi * 440 * np.arange(PLAY_RATE_HZ) / PLAY_RATE_HZ).astype(np.float32)
    play(guard, tone, 10.0)
    heard = resample(tone, PLAY_RATE_HZ, LISTEN_RATE_HZ)
    for at in range(10, 25):
        frame = heard[at * FRAME_SAMPLES : (at + 1) * FRAME_SAMPLES]
        assert guard.likeness(frame, 10.0 + at * FRAME_S) == 0.0
