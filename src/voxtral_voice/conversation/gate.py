"""From speech probabilities to two edges: the user began to speak, the user fell silent.

Knows: hysteresis and sample positions. Does not know: turns, models, time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FRAME_SAMPLES: Final = 512
RATE_HZ: Final = 16_000
FRAME_MS: Final = 1000 * FRAME_SAMPLES / RATE_HZ

RELEASE_MARGIN: Final = 0.15
"""A voiced stretch goes on until the probability falls this far below the threshold (Silero's own hysteresis)."""


@dataclass(frozen=True, slots=True)
class Onset:
    sample: int
    """First voiced sample."""


@dataclass(frozen=True, slots=True)
class Offset:
    sample: int
    """Behind the last voiced sample."""


class SpeechGate:
    """Onsets and offsets alternate, beginning with an onset."""

    def __init__(self, threshold: float, onset_ms: float, silence_ms: float) -> None:
        self.threshold = threshold
        self._onset_frames = max(1, round(onset_ms / FRAME_MS))
        self._silence_frames = max(1, round(silence_ms / FRAME_MS))
        self._speaking = False
        self._run = 0
        self._run_start = 0
        self.voiced = False
        """The last frame was voiced."""

    def push(self, first_sample: int, probability: float) -> Onset | Offset | None:
        """One frame of 512 samples that begins at `first_sample`."""
        self.voiced = probability >= self.threshold - (RELEASE_MARGIN if self.voiced else 0.0)
        if self.voiced == self._speaking:
            self._run = 0
            return None
        if self._run == 0:
            self._run_start = first_sample
        self._run += 1
        if self._run < (self._silence_frames if self._speaking else self._onset_frames):
            return None
        self._speaking, self._run = self.voiced, 0
        return Onset(self._run_start) if self._speaking else Offset(self._run_start)

    @property
    def speaking(self) -> bool:
        """Between an onset and its offset."""
        return self._speaking

    def reset(self) -> None:
        """As if nothing had been heard: speech that goes on is a new onset."""
        self._speaking = self.voiced = False
        self._run = 0
