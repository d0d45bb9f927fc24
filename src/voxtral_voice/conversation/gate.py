"""From speech probabilities and levels to two edges: the user began to speak, the user fell silent.

Knows: hysteresis, how loud this speech is, sample positions. Does not know: turns, models, time.

Silero goes on saying "speech" for some 60 ms after the last sound. So a frame far below the level of the speech before
it counts as silence too, half as much as one that Silero calls silent. On 103 recordings of people and voices the end
is noticed 73 ms after the last sound at the median, not 122; and 0.2 times a second of speech for nothing, not 0.05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from voxtral_voice.conversation.level import Level

FRAME_SAMPLES: Final = 512
RATE_HZ: Final = 16_000
FRAME_MS: Final = 1000 * FRAME_SAMPLES / RATE_HZ

RELEASE_MARGIN: Final = 0.15
"""A voiced stretch goes on until the probability falls this far below the threshold (Silero's own hysteresis)."""
HUSHED_DB: Final = 23.0
"""Below the speech before. At 20 one notices it 8 ms earlier, and nearly twice as often for nothing."""
LEVEL_FRAMES: Final = 5
"""So much speech has a level."""
ECHOING_FRAMES: Final = 5
"""So long after the end (160 ms) a hushed frame is no new speech: Silero still hears the old."""
SURE, UNSURE = 2, 1
"""What a frame counts that Silero calls silent, and one that is only hushed."""


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
        """silence_ms: of hushed frames; half of it is enough of those that are silent."""
        self.threshold = threshold
        self._onset_frames = max(1, round(onset_ms / FRAME_MS))
        self._silence = max(1, round(silence_ms / FRAME_MS)) * UNSURE
        self._speaking = False
        self._run = 0
        self._run_start = 0
        self._level = Level()
        self._next_level = Level()
        self._since_end = 0
        self._released = True
        """The probability is below the threshold, hysteresis included."""
        self.voiced = False
        """The last frame was."""

    def push(self, first_sample: int, probability: float, level_db: float = math.nan) -> Onset | Offset | None:
        """One frame of 512 samples that begins at `first_sample`. level_db: its RMS in dBFS; nan = not known."""
        self._released = probability < self.threshold - (0.0 if self._released else RELEASE_MARGIN)
        self.voiced = not self._released and not self._is_hushed(level_db)
        return self._speech(first_sample, level_db) if self._speaking else self._silent(first_sample, level_db)

    def _speech(self, first_sample: int, level_db: float) -> Offset | None:
        if self.voiced:
            self._run = 0
            self._level.add(level_db)
            return None
        if self._run == 0:
            self._run_start = first_sample
        self._run += SURE if self._released else UNSURE
        if self._run < self._silence:
            return None
        self._speaking, self._run, self._since_end = False, 0, 0
        return Offset(self._run_start)

    def _silent(self, first_sample: int, level_db: float) -> Onset | None:
        self._since_end += 1
        if not self.voiced:
            self._run = 0
            return None
        if self._run == 0:
            self._run_start = first_sample
            self._next_level = Level()
        self._run += 1
        self._next_level.add(level_db)
        if self._run < self._onset_frames:
            return None
        self._speaking, self._run, self._level = True, 0, self._next_level
        return Onset(self._run_start)

    def _is_hushed(self, level_db: float) -> bool:
        usual_db = self._level.db
        if usual_db is None or self._level.frames < LEVEL_FRAMES:
            return False
        return level_db < usual_db - HUSHED_DB and (self._speaking or self._since_end <= ECHOING_FRAMES)

    @property
    def sounding(self) -> bool:
        """The last frame was speech by its probability, hushed or not."""
        return not self._released

    @property
    def speaking(self) -> bool:
        """Between an onset and its offset."""
        return self._speaking

    def reset(self) -> None:
        """As if nothing had been heard: speech that goes on is a new onset."""
        self._speaking = self.voiced = False
        self._released = True
        self._run = 0
        self._level = Level()
