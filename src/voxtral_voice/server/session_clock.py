"""The clock of one session: it stands still while the session is held.

Knows: the loop's clock, as times that are given, in seconds. Does not know: why a session is held.
"""

from __future__ import annotations


class SessionClock:
    def __init__(self) -> None:
        self._behind_s = 0.0
        """By so much it is behind the loop's clock while it runs."""
        self._held_at: float | None = None
        """On the loop's clock."""

    @property
    def is_held(self) -> bool:
        return self._held_at is not None

    def at(self, loop_s: float) -> float:
        """What it shows at this time of the loop's clock, which is now."""
        return (loop_s if self._held_at is None else self._held_at) - self._behind_s

    def loop_time(self, at: float) -> float:
        """When it shows this on the loop's clock, if it goes on from now."""
        return at + self._behind_s

    def hold(self, loop_s: float) -> None:
        """Twice does no harm: the first counts."""
        if self._held_at is None:
            self._held_at = loop_s

    def go_on(self, loop_s: float) -> float:
        """Returns for how many seconds it was held."""
        held_s = 0.0 if self._held_at is None else loop_s - self._held_at
        self._behind_s += held_s
        self._held_at = None
        return held_s
