"""What is heard during a reply: one sound, its short gaps included, measured for the contest.

Knows: frames, levels, when a transcript of the sound is worth its cost. Does not know: what it is (`contest`), the
floor, time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from voxtral_voice.conversation.contest import OVER_MS, TRANSCRIBE_AT_MS, TRANSCRIBE_EVERY_MS, Kind, Sound
from voxtral_voice.conversation.gate import FRAME_MS, FRAME_SAMPLES, RATE_HZ
from voxtral_voice.conversation.level import Level

UNKNOWN_DB: Final = math.nan
"""Level of a frame that was given without one."""


class Overheard:
    """onset: its first voiced sample. levels_db: of the frames from there on, all of them voiced."""

    def __init__(self, onset: int, levels_db: Sequence[float]) -> None:
        self.onset = onset
        self.voiced_to = onset + len(levels_db) * FRAME_SAMPLES
        """Behind its last voiced sample."""
        self.attempt: int | None = None
        """Of the transcript that is under way."""
        self.has_words = False
        """As far as is known."""
        self.waits = False
        """It becomes a turn when the reply is over, since it may not interrupt it."""
        self._heard_to = self.voiced_to
        self._voiced_ms = len(levels_db) * FRAME_MS
        self._level = Level()
        for level_db in levels_db:
            self._level.add(level_db)
        self._kind = Kind.UNKNOWN
        self._words_to = onset
        self._asked_at_ms = 0.0
        """`_voiced_ms` when the last transcript was asked for; 0 = none was."""
        self._asked_to = onset
        self._language: str | None = None

    def hear(self, *, voiced: bool, level_db: float) -> None:
        """One more frame."""
        self._heard_to += FRAME_SAMPLES
        if voiced:
            self.voiced_to = self._heard_to
            self._voiced_ms += FRAME_MS
            self._level.add(level_db)

    @property
    def silent_ms(self) -> float:
        return 1000 * (self._heard_to - self.voiced_to) / RATE_HZ

    def transcript_due(self) -> bool:
        """At a certain length, with so much more of it (half, of a long one), and at its end."""
        if self.attempt is not None or self._voiced_ms == self._asked_at_ms:
            return False
        more_ms = max(TRANSCRIBE_EVERY_MS, self._asked_at_ms / 2)
        at_ms = self._asked_at_ms + more_ms if self._asked_at_ms else TRANSCRIBE_AT_MS
        return self._voiced_ms >= at_ms or self.silent_ms >= OVER_MS

    def ask(self, attempt: int) -> None:
        """A transcript of all of it was asked for."""
        self.attempt, self._asked_at_ms, self._asked_to = attempt, self._voiced_ms, self._heard_to

    def answer(self, words: str, kind: Kind, language: str | None) -> None:
        """kind: by what we were saying when the words came; what we say later cannot be heard in them."""
        self.attempt, self.has_words = None, bool(words)
        self._kind, self._words_to, self._language = kind, self._asked_to, language

    def sound(self, *, usual_db: float | None, later_ms: float = 0.0) -> Sound:
        """later_ms: silence behind the last frame, of which there were no frames."""
        return Sound(
            elapsed_ms=1000 * (self._heard_to - self.onset) / RATE_HZ + later_ms,
            voiced_ms=self._voiced_ms,
            silent_ms=self.silent_ms + later_ms,
            level_db=self._level.db,
            usual_db=usual_db,
            kind=self._kind,
            words_to_ms=1000 * (self._words_to - self.onset) / RATE_HZ,
            language=self._language,
        )
