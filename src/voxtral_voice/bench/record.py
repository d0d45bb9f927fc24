"""What happened in a measured conversation: facts with their times, before any figure is made of them.

Knows: what a caller said by schedule and what reached it. Does not know: wires (drivers translate), figures (`score`).
All times are seconds on the caller's one clock, which does not go backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.clip import Clip, Kind

Purpose = Literal["turn", "barge_in", "tap", "echo", "soak"]
"""turn: said into silence; barge_in: said while a reply was heard, to stop it; tap: the same, and the reply has to go
on; echo: nothing was said, the microphone took up the reply itself; soak: sound without speech, into silence."""
WANT_ANSWERS: Final = frozenset({"turn", "barge_in"})
ANSWER_TIMEOUT_S: Final = 15.0
"""A turn that is silent for so long has no answer."""
Status = Literal["completed", "cancelled", "failed", "incomplete"]


@dataclass(frozen=True, slots=True)
class Said:
    """One clip spoken; its times are those of the schedule, at which the samples were due."""

    clip: str
    """`Clip.id`."""
    kind: Kind
    purpose: Purpose
    text: str
    language: str
    condition: str
    begin: float
    """The clip's first sample."""
    onset: float
    """The first voiced sample."""
    end: float
    """The last voiced sample: where V2V begins."""
    pauses: tuple[tuple[float, float], ...] = ()
    answer: str | None = None
    deadline_s: float = ANSWER_TIMEOUT_S
    """After `end`; without an audible answer by then the turn is missed."""

    @property
    def wants_answer(self) -> bool:
        return self.purpose in WANT_ANSWERS

    @classmethod
    def of(cls, clip: Clip, purpose: Purpose, begin: float, deadline_s: float) -> Said:
        return cls(
            clip.id,
            clip.kind,
            purpose,
            clip.text,
            clip.language,
            clip.condition,
            begin=begin,
            onset=begin + clip.onset_s,
            end=begin + clip.end_s,
            pauses=tuple((begin + start, begin + end) for start, end in clip.pauses),
            answer=clip.answer,
            deadline_s=deadline_s,
        )


# --- what reached the caller ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """The server says that the user's turn is over (a server that does not say so gives none)."""

    at: float
    item: str
    speech_end: float | None = None
    """Where the server heard the speech end, on the caller's clock, when it says so."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The server's transcript of something the user said."""

    at: float
    item: str
    text: str | None
    """None: the transcription failed."""
    final: bool = True


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    at: float
    reply: str
    """An id made by the server, or by the driver for a server that has none."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioArrived:
    at: float
    reply: str
    samples: Samples
    """24 kHz."""


@dataclass(frozen=True, slots=True)
class TextArrived:
    at: float
    reply: str
    text: str
    """A piece of the reply's transcript."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The server's word, asked for after an interruption, of what was heard of a reply."""

    at: float
    reply: str
    text: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """The server said something on which a client has to stop playing (speech_started, clear, interruption)."""

    at: float


@dataclass(frozen=True, slots=True)
class Silenced:
    """The caller stopped playing, for a reply that would not end. The server has no part in it."""

    at: float


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """No more audio of this reply will come. Not that it has been played."""

    at: float
    reply: str
    status: Status
    error: str | None = None
    trace: Mapping[str, Any] | None = None
    """The server's own timeline of the turn, as it came."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server sent an error that belongs to no reply."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection broke."""

    at: float
    reason: str


Observation = (
    TurnCommitted
    | Heard
    | ReplyBegan
    | AudioArrived
    | TextArrived
    | Remembered
    | Flushed
    | Silenced
    | ReplyEnded
    | Refused
    | Lost
)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One caller's whole conversation."""

    said: tuple[Said, ...]
    """In order of `begin`."""
    seen: tuple[Observation, ...]
    """In order of `at`."""
    lateness_ms: tuple[float, ...]
    """By how much each chunk of the microphone left after its due time."""
    began: float
    """The microphone's first sample."""
    ended: float
    by_ear: Mapping[str, str] = field(default_factory=dict)
    """Reply -> what a transcriber makes of that part of it which was played; of interrupted ones (`ear`)."""
