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
    judged_silence_ms: int = 160
    """Silence after which the judge of the sound is asked. It is less sure of ends that it hears 100 ms sooner."""
    park_ms: int = 400
    """A prepared answer outlives so much more speech; if the words are the same after it, it is kept."""
    begin_before_ms: int = 800
    """An answer is prepared no earlier than this before the turn would be over: an unfinished sentence costs none."""
    max_dropped: int = 6
    """After so many dropped answers to one turn, the next is prepared when the turn is over."""
    stall_ms: int = 1500
    """Speech of which no more audio comes for this long has fallen silent."""
    sound_gap_ms: int = 480
    """Sounds during a reply with less silence between them are one ("no, no, stop")."""
    partial_every_ms: int = 1000
    """New speech between two partial transcripts; 0 = none."""
    streams: bool = False
    """The transcriber hears a turn while it is said: it is given the new speech with each partial transcript."""
    listens: bool = False
    """The responder hears the newest turn itself: no answer waits for the words of the turn that it answers."""
    apologises: bool = False
    """Who would hear nothing, since an engine failed, hears an apology."""
    lead_ms: int = 200
    """Audio is sent at most this far ahead of what the client has played. So much of a reply is heard after a user has
    begun to interrupt it; a network whose delay varies by more makes gaps."""
    chunk_ms: int = 40
    """Length of one audio message to the client."""
    late_words_ms: int = 1500
    """Words of a sound during a reply are waited for so long after its end."""
    max_turn_ms: int = 90_000
    """A turn that goes on for longer is ended here."""
    max_items: int = 1000
    """Length of the history; the oldest item goes when it is full."""
    max_history_chars: int = 8_000_000
    """Characters of all its items, pictures included (some five photos); the oldest items go."""
