"""What a listener has heard by now of the audio that was sent.

Knows: that play begins on arrival and goes on without a break while there is audio. Does not know: the
network, the client's own buffer (its reports override this estimate), whose audio it is. Times are given, in
seconds on one clock that does not go backwards.
"""

from __future__ import annotations

import math


class PlayoutLedger:
    """One reply's audio in a player's queue.

    free_at: when the player has finished what it was given before this ledger began.
    """

    def __init__(self, free_at: float = -math.inf) -> None:
        self._ends_at = free_at
        self._sent_ms = 0.0
        self.underruns = 0
        """How often the queue ran empty before more came."""
        self.longest_gap_ms = 0.0

    @property
    def sent_ms(self) -> float:
        return self._sent_ms

    def sent(self, now: float, duration_ms: float) -> float:
        """More audio goes into the queue. Returns when its first sample is played: max(now, end of the
        queue)."""
        if self._sent_ms and now > self._ends_at:
            self.underruns += 1
            self.longest_gap_ms = max(self.longest_gap_ms, (now - self._ends_at) * 1000)
        plays_at = max(now, self._ends_at)
        self._ends_at = plays_at + duration_ms / 1000
        self._sent_ms += duration_ms
        return plays_at

    def resumed(self, now: float, away_ms: float, unheard_ms: float) -> None:
        """The listener was away for so long, in which the clock stood still and its player went on with what it had;
        the last `unheard_ms` of what was sent had not arrived, and arrive now."""
        arrived_ends_at = self._ends_at - (away_ms + unheard_ms) / 1000
        self._ends_at = max(now, arrived_ends_at) + unheard_ms / 1000

    def heard_ms(self, now: float) -> float:
        """How much of the audio sent so far has been played."""
        return max(0.0, self._sent_ms - self.ahead_ms(now))

    def ends_at(self) -> float:
        """When the queue runs empty if nothing more comes; `free_at` when nothing was sent."""
        return self._ends_at

    def ahead_ms(self, now: float) -> float:
        """How long the player could go on without more."""
        return max(0.0, (self._ends_at - now) * 1000)
