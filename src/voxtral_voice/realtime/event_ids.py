"""Ids of a session's events, which can be counted; and how far a reply's audio had come at each. Pure.

Knows: ids, numbers. Does not know: what events say.

A client that comes back says which event was the last to arrive. A server that has only a snapshot of the session, made
some events before, finds out from its number how much of the reply the client has got.

    event_<12 hex digits of the session's server><8 hex digits: 1, 2, ...>
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_ID: Final = re.compile(r"event_([0-9a-f]{12})([0-9a-f]{8})")
MOST_RUNS: Final = 64
"""Stretches of audio without other events between them: phrases, mostly. The oldest go."""


class EventIds:
    """prefix: 12 hex digits. others: ids of all but events."""

    def __init__(self, prefix: str, others: Callable[[str], str]) -> None:
        self.prefix, self._others = prefix, others
        self.count = 0

    def __call__(self, kind: str) -> str:
        if kind != "event":
            return self._others(kind)
        self.count += 1
        return f"event_{self.prefix}{self.count:08x}"


def number_of(event_id: str, prefix: str) -> int | None:
    """None: it is none of these."""
    match = _ID.fullmatch(event_id)
    return int(match[2], 16) if match is not None and match[1] == prefix else None


@dataclass(slots=True)
class Run:
    """Events one after the other, each with more audio of one reply, as much in each."""

    first: int
    """Number of the first event."""
    end_ms: float
    """Behind it, in the reply's audio."""
    step_ms: float
    count: int = 1


class AudioRuns:
    """Of the reply that was sent last."""

    def __init__(self) -> None:
        self._reply_id: str | None = None
        self._sent_ms = 0.0
        self.runs: deque[Run] = deque(maxlen=MOST_RUNS)

    def add(self, number: int, reply_id: str, audio_ms: float) -> None:
        if reply_id != self._reply_id:
            self._reply_id, self._sent_ms = reply_id, 0.0
            self.runs.clear()
        self._sent_ms += audio_ms
        last = self.runs[-1] if self.runs else None
        if last is not None and number == last.first + last.count and audio_ms == last.step_ms:
            last.count += 1
        else:
            self.runs.append(Run(number, self._sent_ms, audio_ms))


def heard_ms(runs: Sequence[Run], number: int) -> float | None:
    """Of the reply's audio, when this event was the last to arrive; it may be a later one than they know of. None:
    there are none."""
    if not runs:
        return None
    before = [run for run in runs if run.first <= number]
    if not before:
        return 0.0
    run = before[-1]
    steps = number - run.first
    return run.end_ms + run.step_ms * (steps if run is runs[-1] else min(steps, run.count - 1))
