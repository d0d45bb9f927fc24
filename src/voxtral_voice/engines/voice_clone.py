"""The seam of voice cloning: a clip of somebody's speech becomes a voice that the Speaker can use.

Knows: what goes in and comes out. Does not know: models, who may have a voice, where it is kept.

A cloner is no engine that a conversation waits for. It may take a minute, and gives way to speech meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from voxtral_voice.engines.base import Engine, Samples
from voxtral_voice.engines.voices import Styles

LEAST_SPEECH_S: Final = 5.0
"""Below, the speaker's own halves are too unlike each other to aim at."""
MOST_SPEECH_S: Final = 30.0
"""Of a longer clip the first so many seconds of speech count."""
LONGEST_CLIP_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """What is kept of a clip."""

    styles: Styles = field(repr=False)
    """As a voice file: float32 [510, 1, 256]."""
    gain_db: float
    """Makes it as loud as the other voices."""
    gender: Literal["female", "male"]
    """By its pitch; chooses a stand-in where a voice of the table is needed."""
    pitch_hz: float
    """Median, of the clip."""
    similarity: float
    """Cosine between the speaker embeddings of the clip and of the cloned voice: 1 is the same, strangers have 0.5 to
    0.6, two recordings of one person 0.85 and more."""


class VoiceCloner(Engine, Protocol):
    async def clone(self, clip: Samples) -> ClonedVoice:
        """clip: one person's, 16 kHz, with LEAST_SPEECH_S of speech in it. Cancelling stops within one step. Raises
        RequestError, whose text says what to record instead, for a clip that no voice can be made of; EngineError when
        the cloner fails."""
