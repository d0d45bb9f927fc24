"""From the client's PCM to the session's 16 kHz audio and voice-activity frames.

Knows: the two rates and the frame length. Does not know: the wire, the core, models.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from voxtral_voice.audio.frames import FRAME_SAMPLES, Framer, InputBuffer
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, pcm16_to_float
from voxtral_voice.audio.resample import StreamResampler
from voxtral_voice.engines.base import LISTEN_RATE_HZ

WIRE_RATE_HZ: Final = 24_000
PIECE_BYTES: Final = 4_800
"""100 ms: the resampler's work space grows with what it gets at once, to gigabytes for the largest append."""


class Ingest:
    """What comes in small messages is converted when it makes a frame whole, and not before: that is a third less work,
    and nobody asks for it earlier. `flush` brings `audio` up to date."""

    def __init__(self) -> None:
        self.audio = InputBuffer()
        self._resampler = StreamResampler(WIRE_RATE_HZ, LISTEN_RATE_HZ)
        self._framer = Framer(FRAME_SAMPLES)
        self._pending = b""
        """Less than makes the next frame whole."""

    @property
    def framed_to(self) -> int:
        """Behind the last frame that came out."""
        return self._framer.next_sample

    def push(self, pcm: bytes) -> tuple[int, Samples]:
        """Whole 16-bit samples at 24 kHz. Returns the first sample of the frames, and the frames, [n, 512]."""
        first = self.framed_to
        pcm = self._pending + pcm
        if self._resampler.ready_after(len(pcm) // BYTES_PER_SAMPLE) < first + FRAME_SAMPLES:
            self._pending = pcm
            return first, _NO_FRAMES
        self._pending = b""
        pieces = [self._convert(pcm[at : at + PIECE_BYTES]) for at in range(0, len(pcm), PIECE_BYTES)]
        return first, pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def flush(self) -> None:
        """All that was pushed is in `audio`, but for the resampler's delay."""
        self._convert(self._pending)
        self._pending = b""

    def _convert(self, pcm: bytes) -> Samples:
        samples = self._resampler.push(pcm16_to_float(pcm))
        self.audio.append(samples)
        return self._framer.push(samples)


_NO_FRAMES: Final = np.empty((0, FRAME_SAMPLES), np.float32)
