"""Is what the microphone hears our own voice, come back from a loudspeaker?

Knows: what the client plays and when, what its microphone heard and when, on one clock; that an echo is the same sound
later, fainter and blurred by a room. Does not know: speech, turns, whether there is a loudspeaker at all.

Both signals are made equally strong at every frequency and compared at every delay that is possible (generalised
cross-correlation with phase transform: Knapp and Carter, 1976). A room keeps the phase of the direct sound, so that
there is one sharp peak at the delay; another voice, however like ours in rhythm and pitch, has none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import StreamResampler

ECHO: Final = 0.3
"""A voiced frame with at least this likeness is not speech."""

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
_FFT: Final = 1 << (_SPAN - 1).bit_length()
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

    def played(self, samples: Samples, plays_at_s: float) -> None:
        """24 kHz audio that the client plays from `plays_at_s` on; pieces in the order in which they are played."""
        self._reference.add(samples, plays_at_s)

    def likeness(self, frame: Samples, heard_at_s: float) -> float:
        """How much a frame and what came before it are an echo, 0 to 1. frame: [512] at 16 kHz, the next one.
        heard_at_s: when its first sample was heard."""
        fresh = self._resampler.push(frame)
        self._heard = np.concatenate((self._heard[len(fresh) :], fresh))
        end = round(heard_at_s * RATE_HZ) + _FRAME
        played = self._reference.between(end - _WINDOW - _LATEST, end - _EARLIEST)
        if played is None or float(np.mean(np.square(self._heard))) < _QUIETEST:
            return 0.0
        return float(np.clip(np.max(correlation(self._heard, played)), 0.0, 1.0))


class Reference:
    """What is played, by sample number at RATE_HZ, since 0 s of the clock."""

    def __init__(self) -> None:
        self._samples = np.zeros(round(KEEP_S * RATE_HZ), np.float32)
        self._start = 0
        """Number of the first sample kept."""
        self._end = 0
        """Behind the last one that is played."""
        self._resampler = StreamResampler(PLAY_RATE_HZ, RATE_HZ)

    def add(self, samples: Samples, plays_at_s: float) -> None:
        begins = round(plays_at_s * RATE_HZ)
        if abs(begins - self._end) > JOIN_S * RATE_HZ:
            self._resampler, self._end = StreamResampler(PLAY_RATE_HZ, RATE_HZ), begins
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
        moved = np.zeros(size, np.float32)
        if 0 < by < size:
            moved[: size - by] = self._samples[by:]
        self._samples, self._start = moved, end - size


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
