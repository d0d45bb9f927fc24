"""What is too little to be heard by a model that makes up words for silence. Pure.

Knows: levels, what a click is. Does not know: speech, models.

Voxtral Mini does so, as the Whisper that its encoder comes from. So what has no sound in it is never shown to it,
wherever it runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from voxtral_voice.audio.level import frames_dbfs
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Message, Samples

QUIETEST_DBFS: Final = -60.0
"""Below it there is nothing to hear: faint speech is about 15 dB louder."""
SHORTEST_MS: Final = 90
"""Less sound than that is a click; no word is as short."""
_FRAME_MS: Final = 30


def audible(samples: Samples) -> bool:
    frame = LISTEN_RATE_HZ * _FRAME_MS // 1000
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loud = sum(level > QUIETEST_DBFS for level in frames_dbfs(frames)) if len(frames) else 0
    return loud * _FRAME_MS >= SHORTEST_MS


def worth_answering(message: Message) -> Message | None:
    """The last one, for an engine that listens: without a sound that has nothing to hear in it. None: it has no words
    either."""
    if message.audio is None or audible(message.audio):
        return message
    return replace(message, audio=None) if message.text or message.pictures else None
