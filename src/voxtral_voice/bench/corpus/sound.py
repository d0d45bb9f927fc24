"""Pauses, noise, rooms: what is done to a recording, in samples.

Knows: samples and seeds. Does not know: files, clips, the manifest. The same arguments give the same samples to the
16-bit step on any machine: everything is computed in float64 and rounded once (`rounded`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import FULL_SCALE, Samples

Wave = npt.NDArray[np.float64]
Soak = Literal["white", "hum", "clicks", "music"]

CROSSFADE_MS: Final = 10.0
SHORTEST_SILENCE_MS: Final = 50.0
SMOOTH_HZ: Final = 60.0
"""Of the spectrum of a silence, which is short: its chance peaks would ring."""
HEADROOM: Final = 0.98
LOWEST_HZ: Final = 60.0
"""Noise made here has nothing below it, as a microphone's."""


def rounded(wave: Wave) -> Samples:
    """What a 16-bit file holds of it; turned down as a whole where it would clip."""
    peak = float(np.max(np.abs(wave), initial=0.0))
    steps = np.rint(wave * (min(1.0, HEADROOM / peak) if peak else 1.0) * FULL_SCALE)
    samples: Samples = (steps / FULL_SCALE).astype(np.float32)
    return samples


# --- a pause ----------------------------------------------------------------------------------------------------


def spliced(samples: Samples, cut: int, tone: Wave, fade: int) -> Samples:
    """samples with `tone` between [:cut] and [cut:], both of them untouched.

    So that no edge clicks, the recording's own going on fades out over the first `fade` samples of the pause, and its
    own coming fades in over the last ones. tone: at least 2 * fade long; cut: at least fade from either end.
    """
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    pause = tone.copy()
    pause[:fade] = pause[:fade] * np.sqrt(ramp) + samples[cut : cut + fade] * (1 - ramp)
    pause[-fade:] = pause[-fade:] * np.sqrt(1 - ramp) + samples[cut - fade : cut] * ramp
    return np.concatenate((samples[:cut], rounded(pause), samples[cut:]))


def room_tone(samples: Samples, rate_hz: int, onset: int, end: int, size: int, seed: int) -> Wave:
    """`size` samples of noise with the spectrum and level of the recording's own silence: what lies before `onset` or
    behind `end`, whichever is quieter, from SHORTEST_SILENCE_MS on; without one, nothing."""
    silences = [part for part in (samples[:onset], samples[end:]) if len(part) * 1000 >= SHORTEST_SILENCE_MS * rate_hz]
    if not silences:
        return np.zeros(size)
    quiet = min(silences, key=_power).astype(np.float64)
    spectrum = np.square(np.abs(np.fft.rfft(quiet * np.hanning(len(quiet)))))
    width = 2 * round(SMOOTH_HZ * len(quiet) / rate_hz / 2) + 1
    smooth = np.convolve(np.pad(spectrum, width // 2, mode="edge"), np.ones(width) / width, mode="valid")
    wanted = np.interp(np.linspace(0, 1, size // 2 + 1), np.linspace(0, 1, len(smooth)), smooth)
    return _at_power(_with_spectrum(np.sqrt(wanted), size, seed), _power(quiet))


# --- noise ------------------------------------------------------------------------------------------------------


def pink(size: int, rate_hz: int, seed: int) -> Wave:
    """1/f noise, of no particular level."""
    frequencies = np.fft.rfftfreq(size, 1 / rate_hz)
    shape = np.where(frequencies < LOWEST_HZ, 0.0, 1 / np.sqrt(np.maximum(frequencies, LOWEST_HZ)))
    return _with_spectrum(shape, size, seed)


def babble(voices: Sequence[Samples], size: int, seed: int) -> Wave:
    """Everybody talks without a pause, each equally loud, from a random place on. voices: speech only, at one rate."""
    random = np.random.default_rng(seed)
    mixed = np.zeros(size)
    for voice in voices:
        loud = voice.astype(np.float64) / math.sqrt(_power(voice))
        mixed += np.resize(np.roll(loud, -int(random.integers(len(loud)))), size)
    return mixed


def under_noise(samples: Samples, speech: slice, noise: Wave, snr_db: float, lead: int) -> Samples:
    """The recording from sample `lead` of the noise on; speech and noise have `snr_db` between their levels within
    `speech`. noise: longer than lead + samples."""
    heard = noise[lead : lead + len(samples)][speech]
    gain = math.sqrt(_power(samples[speech]) / _power(heard) / 10 ** (snr_db / 10))
    mixed = noise * gain
    mixed[lead : lead + len(samples)] += samples
    return rounded(mixed)


# --- a loudspeaker in a room ------------------------------------------------------------------------------------


def echo(samples: Samples, rate_hz: int, level_db: float, delay_ms: float, seed: int) -> Samples:
    """What a microphone hears of a loudspeaker: later, fainter (`level_db` in all), through a small room (reverberation
    time 0.3 s, direct sound 6 dB above the rest). The room's tail is added to the length."""
    tail = _decaying(round(0.3 * rate_hz), rate_hz, 0.3, seed)
    response = np.concatenate(([1.0], 0.5 * tail / math.sqrt(float(np.sum(tail**2)))))
    size = len(samples) + len(response) - 1
    fast = 1 << (size - 1).bit_length()
    wave = np.fft.irfft(np.fft.rfft(samples, fast) * np.fft.rfft(response, fast), fast)[:size]
    wave = _at_power(wave, _power(samples) * len(samples) / size * 10 ** (level_db / 10))
    return rounded(np.concatenate((np.zeros(round(delay_ms * rate_hz / 1000)), wave)))


# --- sounds that are no speech ----------------------------------------------------------------------------------


def cough(rate_hz: int, seed: int) -> Samples:
    """A burst of breath through an open throat, then a weaker, half-voiced rest: 0.35 s. After the phases of a cough in
    Korpáš et al., "Analysis of the cough sound: an overview", 1996: burst, noisy interval, voiced phase."""
    size = round(0.35 * rate_hz)
    time = np.arange(size) / rate_hz
    breath = _with_spectrum(_throat(size, rate_hz), size, seed)
    breath /= math.sqrt(_power(breath))
    strength = np.minimum(time / 0.006, 1) * (np.exp(-time / 0.05) + 0.25 * np.exp(-(((time - 0.18) / 0.06) ** 2)))
    voiced = np.sign(np.sin(2 * np.pi * (190 - 200 * time) * time)) * np.exp(-(((time - 0.22) / 0.05) ** 2))
    return rounded(_ending(0.16 * breath * strength + 0.02 * voiced, rate_hz))


def door(rate_hz: int, seed: int) -> Samples:
    """A door falls shut: a latch's click, and 60 ms later the thump of the frame: 0.5 s."""
    size = round(0.5 * rate_hz)
    time = np.arange(size) / rate_hz
    wave = 0.1 * _decaying(size, rate_hz, 0.05, seed)
    after = np.maximum(time - 0.06, 0)
    for i, hz in enumerate((58.0, 87.0, 141.0)):
        wave += (time >= 0.06) * 0.3 / (i + 1) * np.sin(2 * np.pi * hz * after) * np.exp(-after / 0.07)
    late = round(0.06 * rate_hz)
    wave[late:] += 0.15 * _decaying(size - late, rate_hz, 0.12, seed + 1)
    return rounded(_ending(wave, rate_hz))


# --- sound that goes on and on ----------------------------------------------------------------------------------


def soak(kind: Soak, size: int, rate_hz: int, level_db: float, seed: int) -> Samples:
    """level_db: RMS of the whole, dBFS."""
    make = {"white": _white, "hum": _hum, "clicks": _clicks, "music": _music}[kind]
    return rounded(_at_power(make(size, rate_hz, np.random.default_rng(seed)), 10 ** (level_db / 10)))


def _white(size: int, rate_hz: int, random: np.random.Generator) -> Wave:
    del rate_hz
    wave: Wave = random.standard_normal(size)
    return wave


def _hum(size: int, rate_hz: int, random: np.random.Generator) -> Wave:
    """Mains of 50 Hz with its first eight harmonics, over a little hiss."""
    time = np.arange(size) / rate_hz
    wave: Wave = 0.02 * random.standard_normal(size)
    for number in range(1, 9):
        wave += np.sin(2 * np.pi * (50.0 * number * time + random.random())) / number
    return wave


def _clicks(size: int, rate_hz: int, random: np.random.Generator) -> Wave:
    """A keyboard: three to four a second at uneven times, each 20 ms of fading noise and unequally loud."""
    wave, length = np.zeros(size), rate_hz // 50
    for begin in random.integers(0, size - length, round(3.5 * size / rate_hz)):
        fading = np.exp(-np.arange(length) / (0.003 * rate_hz))
        wave[begin : begin + length] += random.uniform(0.4, 1.0) * fading * random.standard_normal(length)
    return wave


def _music(size: int, rate_hz: int, random: np.random.Generator) -> Wave:
    """Plucked chords of three notes, two a second, over a bass note for every four of them."""
    wave, beat = np.zeros(size), rate_hz // 2
    for number, begin in enumerate(range(0, size, beat)):
        root = random.choice(_ROOTS_HZ)
        notes = [(root * step, 1.0) for step in (1.0, 1.25, 1.5)] + [(root / 2, 1.5)] * (number % 4 == 0)
        time = np.arange(min(2 * beat, size - begin)) / rate_hz
        for hz, strength in notes:
            tone = sum(np.sin(2 * np.pi * hz * part * time) / part**2 for part in (1, 2, 3, 4))
            wave[begin : begin + len(time)] += strength * tone * np.exp(-time / 0.35) * np.minimum(time / 0.005, 1)
    return wave


_ROOTS_HZ: Final = (220.0, 261.63, 293.66, 329.63)


# --- parts ------------------------------------------------------------------------------------------------------


def _power(wave: Samples | Wave) -> float:
    return float(np.mean(np.square(wave, dtype=np.float64)))


def _at_power(wave: Wave, power: float) -> Wave:
    own = _power(wave)
    return wave * math.sqrt(power / own) if own else wave


def _with_spectrum(magnitude: Wave, size: int, seed: int) -> Wave:
    """Noise of random phase and strength around the given magnitudes, [size // 2 + 1]."""
    random = np.random.default_rng(seed).standard_normal((2, len(magnitude)))
    wave: Wave = np.fft.irfft(magnitude * (random[0] + 1j * random[1]), size)
    return wave


def _decaying(size: int, rate_hz: int, seconds: float, seed: int) -> Wave:
    """White noise that falls by 60 dB in `seconds`."""
    fall = 10 ** (-3 * np.arange(size) / (seconds * rate_hz))
    wave: Wave = np.random.default_rng(seed).standard_normal(size) * fall
    return wave


def _throat(size: int, rate_hz: int) -> Wave:
    """Two broad resonances over a falling spectrum."""
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    peaks = sum(strength / (1 + ((hz - at) / width) ** 2) for at, width, strength in _RESONANCES)
    shape: Wave = np.where(hz < LOWEST_HZ, 0.0, np.asarray(peaks))
    return shape


_RESONANCES: Final = ((600.0, 250.0, 1.0), (1_600.0, 400.0, 0.6), (3_500.0, 1_200.0, 0.25))
"""(Hz, half width in Hz, strength)."""


def _ending(wave: Wave, rate_hz: int) -> Wave:
    """Faded out over the last 20 ms."""
    size = rate_hz // 50
    wave[-size:] *= np.linspace(1, 0, size)
    return wave
