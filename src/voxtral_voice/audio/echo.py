"""Is what the microphone hears our own voice, come back from a loudspeaker?

Knows: what the client plays and when, what its microphone heard and when, on one clock; that an echo is the same sound
later, fainter and blurred by a room. Does not know: speech, turns, whether there is a loudspeaker at all.

Two steps. The **delay**: both signals are made equally strong at every frequency and compared at every delay that is
possible (generalised cross-correlation with phase transform: Knapp and Carter, 1976); an echo has one sharp peak,
another voice has none. The **path** from loudspeaker to microphone is then learned, as an echo canceller learns it (a
Kalman filter in blocks of frequencies: Enzner and Vary, 2006, which holds still by itself while somebody talks over
the echo), and the likeness is the share of the microphone's power that it explains.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import StreamResampler

ECHO: Final = 0.5
"""A voiced frame with at least this likeness is not speech: half of its power is ours. In the three
rooms of `benchmarks/contests.py` that is 90 to 95 % of an echo's frames in the first 1.5 s of a session, 93 to 98 %
later, and then 13 to 27 % of the frames of a user who is 10 dB louder than the echo."""

LISTEN_RATE_HZ: Final = 16_000
PLAY_RATE_HZ: Final = 24_000
RATE_HZ: Final = 8_000
"""What is compared: most of a voice is below 4 kHz, and half the samples cost half."""
FRAME_SAMPLES: Final = 512
EARLIEST_MS: Final = -50
"""An echo comes no earlier after its playing; below 0, because when it is played is an estimate."""
LATEST_MS: Final = 400
"""Nor later: a client's jitter buffer, its sound card, the way through the room."""
WINDOW_FRAMES: Final = 8
"""Microphone frames that are compared at once: 256 ms."""
PEAK: Final = 0.3
"""Correlation at which a delay is believed, and the window is an echo while the path is young."""
YOUNG_FRAMES: Final = 16
"""A path that has explained so many frames is known."""
LOOK_EVERY: Final = 4
"""Frames between two searches for another delay when a known path explains nothing."""
STEADY_S: Final = 0.05
"""The microphone's time is counted in samples; it is set anew when it is so far from what is said."""
FORGET: Final = 0.999
"""Per block; a room changes within seconds."""
KEEP_S: Final = 6.0
"""Of what is played so much is remembered; the longest that is played ahead, and what an echo may be late."""
JOIN_S: Final = 0.002
"""Audio that is played so near to the end of the last one follows it without a gap."""
LOWEST_HZ: Final = 200.0
HIGHEST_HZ: Final = 3_600.0

_FRAME: Final = FRAME_SAMPLES * RATE_HZ // LISTEN_RATE_HZ
_WINDOW: Final = WINDOW_FRAMES * _FRAME
_EARLIEST: Final = EARLIEST_MS * RATE_HZ // 1000
_LATEST: Final = LATEST_MS * RATE_HZ // 1000
_SPAN: Final = _WINDOW + _LATEST - _EARLIEST
_FFT: Final = 5_760
"""At least _SPAN, and a product of small numbers."""
_MARGIN: Final = 32
"""The path begins so many samples before the delay found (4 ms), because that is not the first sound for sure."""
_BLOCKS: Final = 6
"""The path is so many frames long: 192 ms."""
TONE_BINS: Final = 24
"""The strongest of the spectrum, 33 Hz in all."""
TONE: Final = 0.95
"""With so much of its power in them what is played is a tone, and a filter makes any other tone of it: nothing can be
said. A tone of 100 ms has 0.952 of it there, of 1,116 windows of speech none had more than 0.923."""
_QUIETEST: Final = 1e-9
"""Mean square (-90 dBFS) below which there is nothing to compare."""

Wave = npt.NDArray[np.float32]
_HZ: Final = np.fft.rfftfreq(_FFT, 1 / RATE_HZ)
_BAND: Final[Wave] = ((_HZ >= LOWEST_HZ) & (_HZ <= HIGHEST_HZ)).astype(np.float32)


class EchoGuard:
    """One session's. Frames come one after the other, without a gap."""

    def __init__(self) -> None:
        self._reference = Reference()
        self._heard = np.zeros(_WINDOW, np.float32)
        self._resampler = StreamResampler(LISTEN_RATE_HZ, RATE_HZ)
        self._heard_to = 0
        """Sample number behind the newest of `_heard`."""
        self._path = Path()
        self._delay: int | None = None
        """Samples from playing to hearing."""
        self._learned = 0
        """Frames that the path has explained; so long it is young."""
        self._missed = 0
        """Frames in a row that it has not."""

    def played(self, samples: Samples, plays_at_s: float) -> None:
        """24 kHz audio that the client plays from `plays_at_s` on; pieces in the order in which they are played."""
        self._reference.add(samples, plays_at_s)

    def likeness(self, frame: Samples, heard_at_s: float) -> float:
        """How much of a frame is an echo, 0 to 1. frame: [512] at 16 kHz, the next one. heard_at_s: when its first
        sample was heard; jitter of less than STEADY_S does not matter."""
        fresh = self._resampler.push(frame)
        self._heard = np.concatenate((self._heard[len(fresh) :], fresh))
        end = round(heard_at_s * RATE_HZ) + _FRAME
        self._heard_to += _FRAME
        if abs(end - self._heard_to) > STEADY_S * RATE_HZ:
            self._heard_to = end
        played = self._reference.between(self._heard_to - _WINDOW - _LATEST, self._heard_to - _EARLIEST)
        if played is None or float(np.mean(np.square(self._heard[-2 * _FRAME :]))) < _QUIETEST or is_tone(played):
            return 0.0
        explained = self._explained()
        return max(explained, self._compared(played, explained))

    def _explained(self) -> float:
        """The share of the frame that the path knows, as soon as there is one."""
        if self._delay is None:
            return 0.0
        end = self._heard_to - self._delay + _MARGIN
        block = self._reference.between(end - _FRAME, end)
        share = self._path.step(np.zeros(_FRAME, np.float32) if block is None else block, self._heard[-_FRAME:])
        found = share >= ECHO
        self._learned += found
        self._missed = 0 if found else self._missed + 1
        return share

    def _compared(self, played: Wave, explained: float) -> float:
        """The likeness of the window as a whole, while the path is young; also finds the delay, again when it moves."""
        young = self._learned < YOUNG_FRAMES
        if explained >= ECHO or (not young and self._missed % LOOK_EVERY):
            return 0.0
        likeness = correlation(self._heard, played)
        place = int(np.argmax(likeness))
        peak, delay = float(likeness[place]), _LATEST - place
        if peak >= PEAK and (self._delay is None or abs(delay - self._delay) > _MARGIN // 2):
            self._delay, self._learned = delay, 0
        return min(1.0, max(0.0, peak * ECHO / PEAK)) if young else 0.0


class Path:
    """From what is played to what is heard, learned block by block at RATE_HZ."""

    def __init__(self) -> None:
        shape = (_BLOCKS, _FRAME + 1)
        self._before = np.zeros(_FRAME, np.float32)
        self._played = np.zeros(shape, np.complex64)
        """The spectra of the last blocks played, the newest first."""
        self._weights = np.zeros(shape, np.complex64)
        self._doubt = np.ones(shape, np.float32)
        """Expected square error of each weight."""
        self._other = np.full(_FRAME + 1, 1e-6, np.float32)
        """Power of what is no echo."""
        self._powers = (0.0, 0.0)
        """Of the last block: heard, and left when the echo is taken away."""

    def step(self, played: Wave, heard: Wave) -> float:
        """One block of each. Returns the share of the last two blocks' power that is echo, 0 to 1."""
        self._played[1:] = self._played[:-1]
        self._played[0] = np.fft.rfft(np.concatenate((self._before, played)))
        self._before = played
        left = heard - np.fft.irfft(np.einsum("bf,bf->f", self._played, self._weights))[_FRAME:]
        self._learn(np.fft.rfft(np.concatenate((np.zeros(_FRAME, np.float32), left))).astype(np.complex64))
        before, self._powers = self._powers, (float(heard @ heard), float(left @ left))
        power = self._powers[0] + before[0]
        return max(0.0, 1 - (self._powers[1] + before[1]) / power) if power else 0.0

    def _learn(self, left: npt.NDArray[np.complex64]) -> None:
        power = np.square(self._played.real) + np.square(self._played.imag)
        self._other *= np.float32(0.9)
        self._other += np.float32(0.1) * (np.square(left.real) + np.square(left.imag))
        gain = self._doubt / (np.einsum("bf,bf->f", self._doubt, power) + 2 * self._other + 1e-9)
        change = np.fft.irfft(gain * np.conj(self._played) * left)
        change[:, _FRAME:] = 0  # a block's weights reach over one block
        self._weights += np.fft.rfft(change)
        size = np.square(self._weights.real) + np.square(self._weights.imag)
        self._doubt = FORGET * (1 - 0.5 * gain * power) * self._doubt + (1 - FORGET) * (size + 1e-6)


class Reference:
    """What is played, by sample number at RATE_HZ, since 0 s of the clock."""

    def __init__(self) -> None:
        self._samples = np.zeros(round(KEEP_S * RATE_HZ), np.float32)
        self._start = 0
        """Number of the first sample kept."""
        self._end = 0
        """Behind the last one that is there; the resampler holds back a few."""
        self._next = 0.0
        """Where what is played next begins if it follows without a gap."""
        self._resampler = StreamResampler(PLAY_RATE_HZ, RATE_HZ)

    def add(self, samples: Samples, plays_at_s: float) -> None:
        begins = round(plays_at_s * RATE_HZ)
        if abs(begins - self._next) > JOIN_S * RATE_HZ:
            self._resampler, self._end, self._next = StreamResampler(PLAY_RATE_HZ, RATE_HZ), begins, float(begins)
        self._next += len(samples) * RATE_HZ / PLAY_RATE_HZ
        fresh = self._resampler.push(samples)
        self._end += len(fresh)
        fresh = fresh[-len(self._samples) :]
        self._move_to(self._end)
        at = self._end - len(fresh) - self._start
        self._samples[max(0, at) : at + len(fresh)] = fresh[max(0, -at) :]

    def between(self, first: int, last: int) -> Wave | None:
        """Silence where nothing is played; None when that is everywhere."""
        if first >= self._end or last <= self._start:
            return None
        kept = self._samples[max(0, first - self._start) : max(0, last - self._start)]
        if not kept.any():
            return None
        before = max(0, self._start - first)
        return np.pad(kept, (before, last - first - before - len(kept)))

    def _move_to(self, end: int) -> None:
        """Make room up to `end`; what is played later than that is no longer valid."""
        size = len(self._samples)
        by = end - size - self._start
        if by <= 0 and end >= self._start:
            return
        kept = size - by if 0 < by < size else 0
        self._samples[:kept] = self._samples[size - kept :]
        self._samples[kept:] = 0
        self._start = end - size


def is_tone(played: Wave) -> bool:
    power = np.square(np.abs(np.fft.rfft(played, _FFT))) * _BAND
    return bool(np.sum(np.partition(power, -TONE_BINS)[-TONE_BINS:]) > TONE * np.sum(power))


def correlation(heard: Wave, played: Wave) -> Wave:
    """Of whitened signals, in [-1, 1], for every place of `heard` within `played`."""
    spectrum, reference = _white(heard), _white(played)
    both = np.fft.irfft(reference * np.conj(spectrum), _FFT)
    places = len(played) - len(heard) + 1
    power = np.concatenate(([0.0], np.cumsum(np.square(np.fft.irfft(reference, _FFT)))))
    within = power[len(heard) : len(played) + 1] - power[:places]
    of_heard = float(np.sum(np.square(np.fft.irfft(spectrum, _FFT)[: len(heard)])))
    found: Wave = (both[:places] / np.sqrt(within * of_heard + 1e-12)).astype(np.float32)
    return found


def _white(wave: Wave) -> npt.NDArray[np.complex128]:
    """Its spectrum with every frequency of the band equally strong."""
    spectrum = np.fft.rfft(wave, _FFT)
    white: npt.NDArray[np.complex128] = spectrum * _BAND / (np.abs(spectrum) + 1e-9)
    return white
