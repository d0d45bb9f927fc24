"""The numbers of turn-taking and playout, in one place.

Knows: defaults and units. Does not know: where they are configured (`config`), nor the client's own settings
(`events.TurnDetection`), which come on top.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    onset_ms: int = 96
    """Voiced audio before a sound counts as speech: 3 frames, so that a click is none."""
    tentative_silence_ms: int = 64
    """Silence after which the turn may be over and speculation begins."""
    min_endpoint_ms: int = 300
    """Semantic detection: silence before a turn is over when the judge is certain that it is."""
    contest_ms: int = 300
    """A sound this long during a reply is an interruption."""
    partial_every_ms: int = 1000
    """New speech between two partial transcripts; 0 = none."""
    lead_ms: int = 400
    """Audio is sent at most this far ahead of what the client has played."""
    chunk_ms: int = 40
    """Length of one audio message to the client."""
    max_turn_ms: int = 90_000
    """A turn that goes on for longer is ended here."""
    max_items: int = 1000
    """Length of the history; the oldest item goes when it is full."""
