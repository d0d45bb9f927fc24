"""A long recording cut at its silences into pieces that a transcriber takes, each with its time.

Knows: speech probabilities of frames. Does not know: models, files, words.

The longer a piece already is, the shorter a silence ends it: a transcriber hears a sentence better than two halves of
one, and a subtitle should not stand for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import LISTEN_RATE_HZ, VAD_FRAME_SAMPLES

FRAME_S: Final = VAD_FRAME_SAMPLES / LISTEN_RATE_HZ
THRESHOLD: Final = 0.35
"""Speech probability from which a frame is speech. Lower than for turns: quiet speech in a file is worth hearing, and
the transcriber itself tells noise from words."""
SILENCES_S: Final = ((12.0, 0.16), (6.0, 0.35), (0.0, 1.5))
"""(length of a piece, the silence that ends it from there on); longest first. The voices here pause for 250 ms between
sentences, and voice activity hears the end of a sound some frames late."""
LONGEST_S: Final = 28.0
"""Whisper takes 29 s at once."""
SEARCH_S: Final = 8.0
"""Without any silence it is cut at the quietest point of its last so many seconds."""
PAD_FRAMES: Final = 8
"""Kept around the speech (256 ms): its first and last consonants are quiet."""


@dataclass(frozen=True, slots=True)
class Piece:
    start_s: float
    end_s: float
    """Of the speech in it, from the beginning of the recording."""
    audio: Samples
    """16 kHz, with a little silence at both ends."""


class Cutter:
    """Frames in, in order; a piece comes out when it is whole."""

    def __init__(self) -> None:
        self._frames: list[Samples] = []
        self._at = 0
        """Number of `_frames[0]`."""
        self._first: int | None = None
        """Frame in which the speech begins; None while there is none."""
        self._end = 0
        """Behind the last frame of speech."""

    @property
    def seconds(self) -> float:
        """Length of all that came."""
        return self._next * FRAME_S

    @property
    def _next(self) -> int:
        return self._at + len(self._frames)

    def push(self, frame: Samples, probability: float) -> Piece | None:
        """frame: 512 samples at 16 kHz."""
        number = self._next
        self._frames.append(frame)
        if probability >= THRESHOLD:
            self._first = number if self._first is None else self._first
            self._end = number + 1
        if self._first is None:
            self._forget(self._next - PAD_FRAMES)
            return None
        return self._cut(self._first)

    def finish(self) -> Piece | None:
        """What is left at the end."""
        return None if self._first is None else self._take(self._first, self._end, PAD_FRAMES)

    def _cut(self, first: int) -> Piece | None:
        length_s, silence_s = (self._end - first) * FRAME_S, (self._next - self._end) * FRAME_S
        enough_s = next(enough_s for least_s, enough_s in SILENCES_S if length_s >= least_s)
        if silence_s >= enough_s:
            return self._take(first, self._end, PAD_FRAMES)
        if (self._next - first) * FRAME_S >= LONGEST_S:
            return self._take(first, min(self._quietest(), self._end), 0)
        return None

    def _take(self, first: int, end: int, pad: int) -> Piece:
        begin = max(self._at, first - PAD_FRAMES)
        audio = np.concatenate(self._frames[begin - self._at : end + pad - self._at])
        self._forget(end)
        self._first = end if self._end > end else None
        return Piece(first * FRAME_S, end * FRAME_S, audio)

    def _quietest(self) -> int:
        """Frame in the middle of the three with the least energy, among the last ones."""
        last = self._frames[-round(SEARCH_S / FRAME_S) :]
        energy = np.square(np.stack(last)).sum(axis=1)
        return self._next - len(last) + 1 + int(np.convolve(energy, np.ones(3), "valid").argmin())

    def _forget(self, before: int) -> None:
        count = max(0, before - self._at)
        del self._frames[:count]
        self._at += count
