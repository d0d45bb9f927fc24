"""A recording to be spoken to a server, with what is known about it.

Knows: samples, words, and where speech is, from alignments or stored marks and never from an energy gate.
Does not know: where recordings come from (`corpus`) or when they are spoken (`scenario`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from voxtral_voice.audio.pcm import Samples

Kind = Literal["turn", "hold", "tap", "noise", "soak"]
"""turn: something to be answered; hold: the same with a pause inside, in which nobody may answer; tap: no turn at all
(a backchannel, a cough, an echo), over which a reply must go on; noise: a turn under noise; soak: sound
without speech, into silence, to which nobody may answer."""
OWN_ECHO: Final = "own echo"
"""Of the echo of the very reply that is played; the level follows."""
INTENT: Final = "intent"
"""Condition of clips that our embedded responder answers without a language model."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Equal to itself only, so that what was made of it can be kept by it."""

    id: str
    """Set and name: "en-core/goforward"."""
    kind: Kind
    text: str
    """What is said; "" when it is no speech."""
    language: str
    """ISO 639-1."""
    samples: Samples
    rate_hz: int
    onset_s: float
    """Where the first voiced sample is."""
    end_s: float
    """Where the last voiced sample is: the true end of speech."""
    pauses: tuple[tuple[float, float], ...] = ()
    """Silences inside the speech that were put there, (begin, end) in s; of kind "hold"."""
    answer: str | None = None
    """Words that a right answer holds, for the few clips that ask for a fact."""
    condition: str = ""
    """What was done to it, for tables: "pause 800 ms", "10 dB", "echo -20 dB"."""

    @property
    def wants_answer(self) -> bool:
        return self.kind not in ("tap", "soak")
