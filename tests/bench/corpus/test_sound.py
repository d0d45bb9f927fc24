from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.corpus import sound

RATE_HZ = 16_000


def noise(size: int, level_db: float, seed: int = 0) -> Samples:
    """On the steps of 16 bits, as a recording is."""
    wave = np.random.default_rng(seed).standard_normal(size) * 10 ** (level_db / 20)
    steps: Samples = (np.rint(wave * 32768) / 32768).astype(np.float32)
    return steps


def tone(hz: float, size: int, level_db: float = -20) -> Samples:
    wave = np.sin(2 * np.pi * hz * np.arange(size) / RATE_HZ) * 10 ** (level_db / 20) * np.sqrt(2)
    samples: Samples = wave.astype(np.float32)
    return samples


def band_db(samples: Samples, low_hz: float, high_hz: float) -> float:
    """Power per Hz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(10 * np.log10(np.mean(power[(hz >= low_hz) & (hz < high_hz)])))


def test_a_splice_leaves_every_sample_of_the_recording_as_it_was() -> None:
    samples = noise(5_000, -20)
    made = sound.spliced(samples, 2_000, np.zeros(1_600), 160)
    assert len(made) == 6_600
    np.testing.assert_array_equal(made[:2_000], samples[:2_000])
    np.testing.assert_array_equal(made[3_600:], samples[2_000:])


def test_a_splice_is_silent_inside_and_does_not_click() -> None:
    samples = tone(200, 5_000)
    made = sound.spliced(samples, 2_020, np.zeros(1_600), 160)
    assert not made[2_020 + 160 : 3_620 - 160].any()
    assert np.abs(np.diff(made)).max() < 1.1 * np.abs(np.diff(samples)).max()


def test_room_tone_has_the_level_and_the_colour_of_the_recordings_own_silence() -> None:
    hiss = noise(16_000, -50)
    hiss[1:] -= hiss[:-1]  # more of it above, like a differentiator
    samples = np.concatenate((hiss[:8_000], noise(16_000, -20), hiss[8_000:]))
    made = sound.rounded(sound.room_tone(samples, RATE_HZ, 8_000, 24_000, 24_000, seed=1))
    assert rms_dbfs(made) == pytest.approx(rms_dbfs(hiss), abs=1)
    slope = band_db(made, 6_000, 8_000) - band_db(made, 500, 1_500)
    assert slope == pytest.approx(band_db(hiss, 6_000, 8_000) - band_db(hiss, 500, 1_500), abs=1.5)


def test_room_tone_is_taken_from_the_quieter_end_and_is_silence_without_one() -> None:
    samples = np.concatenate((noise(8_000, -40), noise(16_000, -20), noise(8_000, -60)))
    made = sound.rounded(sound.room_tone(samples, RATE_HZ, 8_000, 24_000, 8_000, seed=1))
    assert rms_dbfs(made) == pytest.approx(-60, abs=1)
    assert not sound.room_tone(samples, RATE_HZ, 100, len(samples) - 100, 8_000, seed=1).any()


def test_pink_noise_falls_three_decibels_an_octave_and_has_no_rumble() -> None:
    made = sound.pink(8 * RATE_HZ, RATE_HZ, seed=2).astype(np.float32)
    assert band_db(made, 200, 400) - band_db(made, 3_200, 6_400) == pytest.approx(12, abs=1)
    assert band_db(made, 100, 200) - band_db(made, 1, 50) > 60


def test_everybody_babbles_equally_loud_and_all_the_time() -> None:
    voices = [tone(hz, 3_000, level_db) for hz, level_db in ((500, -10), (1_500, -50))]
    made = sound.babble(voices, 16_000, seed=3).astype(np.float32)
    assert band_db(made, 450, 550) == pytest.approx(band_db(made, 1_450, 1_550), abs=1)
    windows = made[: 16_000 // 320 * 320].reshape(-1, 320)
    assert np.mean(windows**2, axis=1).min() > 0.2


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_speech_and_noise_lie_as_far_apart_as_was_asked(snr_db: float) -> None:
    samples = np.concatenate((np.zeros(1_600, np.float32), tone(440, 8_000, -30), np.zeros(1_600, np.float32)))
    speech = slice(1_600, 9_600)
    made = sound.under_noise(samples, speech, sound.pink(16_000, RATE_HZ, 4), snr_db, lead=2_000)
    assert len(made) == 16_000
    only_noise = made[2_000 : 2_000 + len(samples)] - samples
    assert rms_dbfs(samples[speech]) - rms_dbfs(only_noise[speech]) == pytest.approx(snr_db, abs=0.05)


@pytest.mark.parametrize("level_db", [-10, -40])
def test_an_echo_is_later_and_as_much_fainter_as_was_asked(level_db: float) -> None:
    samples = noise(RATE_HZ, -20)
    made = sound.echo(samples, RATE_HZ, level_db, 80, seed=5)
    assert not made[: 80 * 16].any()
    assert made[80 * 16 : 80 * 16 + 160].any()
    energy_db = 10 * np.log10(np.sum(made.astype(np.float64) ** 2) / np.sum(samples.astype(np.float64) ** 2))
    assert energy_db == pytest.approx(level_db, abs=0.1)


def test_a_room_goes_on_after_the_loudspeaker() -> None:
    made = sound.echo(noise(1_600, -20), RATE_HZ, -10, 20, seed=6)
    tail = made[1_600 + 320 :]
    assert rms_dbfs(tail[:800]) > rms_dbfs(tail[2_400:3_200]) + 15


@pytest.mark.parametrize("make", [sound.cough, sound.door])
def test_sounds_begin_at_once_and_end_in_silence(make: object) -> None:
    assert callable(make)
    made = make(24_000, 1)
    assert np.abs(made[:240]).max() > 0.02
    assert 0.1 < np.abs(made).max() < 0.99
    assert np.abs(made[-24:]).max() < 0.002
    assert not np.array_equal(made, make(24_000, 2))


def test_a_door_is_low_and_a_cough_is_not() -> None:
    def share_below_300(samples: Samples) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(power[: round(300 * len(samples) / 24_000)].sum() / power.sum())

    assert share_below_300(sound.door(24_000, 1)) > 0.5
    assert share_below_300(sound.cough(24_000, 1)) < 0.2


def test_what_would_clip_is_turned_down_as_a_whole() -> None:
    wave = np.array([0.5, -2.0, 1.0])
    made = sound.rounded(wave)
    assert np.abs(made).max() <= 0.981
    np.testing.assert_allclose(made / made[1], wave / wave[1], atol=1e-4)
    np.testing.assert_array_equal(made * 32768, np.rint(made * 32768))


def test_the_same_seed_gives_the_same_samples() -> None:
    for make in (lambda: sound.pink(1_000, RATE_HZ, 7), lambda: sound.echo(noise(500, -20), RATE_HZ, -10, 20, 7)):
        np.testing.assert_array_equal(make(), make())
    assert not np.array_equal(sound.pink(1_000, RATE_HZ, 7), sound.pink(1_000, RATE_HZ, 8))
