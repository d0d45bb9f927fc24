"""How much a client may send, and how fast.

Knows: buckets that fill with time, and what a session's audio and events cost. Does not know: clocks (times are given,
in seconds on one clock that does not go backwards), sockets, what is done about who has to wait.

Who sends more than its allowance waits: it is read no further, so that TCP holds it up. Audio and events arrive late
then, and none is lost.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.config_limits import LimitsConfig

APPENDS_PER_S: Final = 250
"""Audio comes in pieces of 10 ms or more: so many events are 2.5 times that."""
APPENDS_BURST: Final = 33_000
"""Pieces of 10 ms, for as long as the audio's own burst."""
EVENTS_BURST_S: Final = 20
"""So many seconds' worth of other events may come at once: a client that brings the items of an old conversation."""
LONGEST_WAIT_S: Final = 60.0
"""A client that would have to wait for longer is let go: with the defaults, one that sends half an hour of G.711 in one
event. It has to be read now and then, since it cannot be seen to leave meanwhile."""


class Bucket:
    """per_s: how fast it fills. burst: what is in it when it is full, as in the beginning."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._level = burst
        self._at = 0.0

    def take(self, amount: float, now: float) -> float:
        """More than is there, too: how many seconds it then takes until nothing is owed; 0 = nothing is."""
        self._level = self._level_at(now) - amount
        self._at = now
        return max(0.0, -self._level / self._per_s)

    def has(self, amount: float, now: float) -> bool:
        return self._level_at(now) >= amount

    def _level_at(self, now: float) -> float:
        return min(self._burst, self._level + max(0.0, now - self._at) * self._per_s)


class Allowance:
    """Of one session. Each call says how many seconds the client is not to be read now."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._audio = Bucket(limits.audio_speed, limits.audio_burst_s)
        self._appends = Bucket(APPENDS_PER_S, APPENDS_BURST)
        self._events = Bucket(limits.events_per_s, EVENTS_BURST_S * limits.events_per_s)

    def audio(self, seconds: float, now: float) -> float:
        """An event brought so much of it."""
        return max(self._audio.take(seconds, now), self._appends.take(1, now))

    def event(self, now: float) -> float:
        """Any other came, or what is none."""
        return self._events.take(1, now)
