"""From the client's PCM to the session's 16 kHz audio and voice-activity frames.

Knows: the two rates and the frame length. Does not know: the wire, the core, models.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.frames import FRAME_SAMPLES, Framer, InputBuffer
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, pcm16_to_float
from voxtral_voice.audio.resample import prompt_resampler
from voxtral_voice.engines.base import LISTEN_RATE_HZ

WIRE_RATE_HZ: Final = 24_000
PIECE_BYTES: Final = 4_800
"""100 ms: the resampler's work space grows with what it gets at once, to gigabytes for the largest append."""


class Ingest:
    """Messages are put together and converted when somebody asks: for frames that can be made whole, or, with `flush`,
    for all audio."""

    def __init__(self) -> None:
        self.audio = InputBuffer()
        self._resampler = prompt_resampler(WIRE_RATE_HZ, LISTEN_RATE_HZ)
        self._framer = Framer(FRAME_SAMPLES)
        self._pending = bytearray()
        """Not converted yet."""
        self._whole = _NO_FRAMES
        """Frames that nobody has taken."""

    @property
    def framed_to(self) -> int:
        """Behind the last whole frame."""
        return self._framer.next_sample

    @property
    def has_frames(self) -> bool:
        """`frames` has something to give."""
        ready = self._resampler.ready_after(len(self._pending) // BYTES_PER_SAMPLE)
        return len(self._whole) > 0 or ready >= self.framed_to + FRAME_SAMPLES

    def push(self, pcm: bytes) -> None:
        """Whole 16-bit samples at 24 kHz."""
        self._pending += pcm

    def frames(self, most: int) -> tuple[int, Samples]:
        """Takes up to `most` frames, the oldest ones: their first sample, and the frames, [n, 512]."""
        self.flush()
        first = self.framed_to - self._whole.size
        taken, self._whole = self._whole[:most], self._whole[most:]
        return first, taken

    def flush(self) -> None:
        """All that was pushed is in `audio`, 1.5 ms later than it came."""
        pcm = bytes(self._pending)
        self._pending.clear()
        pieces = [self._convert(pcm[at : at + PIECE_BYTES]) for at in range(0, len(pcm), PIECE_BYTES)]
        if len(self._whole) or len(pieces) > 1:
            self._whole = np.concatenate([self._whole, *pieces])
        elif pieces:
            self._whole = pieces[0]

    def _convert(self, pcm: bytes) -> Samples:
        samples = self._resampler.push(pcm16_to_float(pcm))
        self.audio.append(samples)
        return self._framer.push(samples)

    def forget_frames(self) -> None:
        """Nobody will take the frames that are whole."""
        self.flush()
        self._whole = _NO_FRAMES


_NO_FRAMES: Final = np.empty((0, FRAME_SAMPLES), np.float32)
