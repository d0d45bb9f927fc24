"""Whether the server has as much to do as it can, from how it fared lately.

Knows: recent latencies of turns, how late the event loop was. Does not know: clocks (times are given, in seconds on one
clock), sessions, who is refused because of it.

What it says does not flap: it has too much to do as soon as one of its figures is above the limit, and has room again
when both have been well below for a while.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

Figure = Literal["turn latency", "event loop lag"]

RECENT_S: Final = 30.0
"""Older turns say nothing about now."""
FEWEST_TURNS: Final = 8
"""Of fewer, one slow turn would be the p95."""
MOST_TURNS: Final = 512
LAGS: Final = 20
"""2 s of measurements: half of them have to be late, so that a pause of the collector is no overload."""
WELL_BELOW: Final = 0.7
"""Of a limit. In between, things stay as they are."""
CALM_S: Final = 5.0
"""So long all has to be well below."""


class Load:
    """slow_turn_s, lag_s: the limits; 0 = none."""

    def __init__(self, slow_turn_s: float, lag_s: float) -> None:
        self._slow_turn_s, self._lag_s = slow_turn_s, lag_s
        self._turns: deque[tuple[float, float]] = deque(maxlen=MOST_TURNS)  # full: the oldest goes
        """When, and how long it took."""
        self._lags: deque[float] = deque(maxlen=LAGS)  # full: the oldest goes
        self._too_much: Figure | None = None
        self._calm_since: float | None = None

    def turn(self, seconds: float, now: float) -> None:
        """An answer's first sound was sent so long after the decision that the user's turn was over."""
        self._turns.append((now, seconds))

    def lag(self, seconds: float) -> None:
        """The event loop was so late."""
        self._lags.append(seconds)

    def too_much(self, now: float) -> Figure | None:
        """Which figure says so; None = there is room."""
        if (above := self._above(1.0, now)) is not None:
            self._too_much, self._calm_since = above, None
        elif self._too_much is not None:
            self._calm(now)
        return self._too_much

    def _calm(self, now: float) -> None:
        if self._above(WELL_BELOW, now) is not None:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM_S:
            self._too_much = self._calm_since = None

    def _above(self, share: float, now: float) -> Figure | None:
        """The figure that is above this share of its limit."""
        if 0 < share * self._slow_turn_s < self.turn_p95_s(now):
            return "turn latency"
        if 0 < share * self._lag_s < self.loop_lag_s():
            return "event loop lag"
        return None

    def turn_p95_s(self, now: float) -> float:
        """Of the recent turns; 0 when they are too few."""
        while self._turns and self._turns[0][0] < now - RECENT_S:
            self._turns.popleft()
        if len(self._turns) < FEWEST_TURNS:
            return 0.0
        return sorted(seconds for _, seconds in self._turns)[int(0.95 * (len(self._turns) - 1) + 0.5)]

    def loop_lag_s(self) -> float:
        """The median of the recent ones; 0 when they are too few."""
        return sorted(self._lags)[LAGS // 2] if len(self._lags) == LAGS else 0.0
