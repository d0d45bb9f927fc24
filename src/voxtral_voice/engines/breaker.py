"""When an engine that fails is not asked any more, and when it is again.

Knows: failures, successes, and when they were (`now` is given with each). Does not know: clocks, engines, who asks.

    CLOSED     it is asked; OPENS_AT failures in a row, each within WINDOW_S of the first, make it
    OPEN       not asked, so that nobody waits for it in vain; a try in the background makes it
    HALF_OPEN  asked once, for nobody: when that works it is CLOSED, else OPEN

Whatever works closes it, also work that had begun before: an engine that answers is one that can be asked. A failure of
work that began before it was open tells nothing new. A try is less than people's work: it ends no row of failures, so
that an engine which does it and fails at what people want is out again at the next failure of the row.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

OPENS_AT: Final = 3
"""One failure may be a connection that broke, two a bad minute of a network; after three nobody else should wait."""
HUNG: Final = 2
"""An engine that said nothing until its time was up counts so much: one caller fewer is to wait that long."""
WINDOW_S: Final = 30.0
"""Failures that are further apart have nothing to do with each other: about three turns of one conversation."""


class Circuit(Enum):
    """The value is for metrics: the higher, the worse."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Of one engine. Made CLOSED."""

    def __init__(self) -> None:
        self.circuit = Circuit.CLOSED
        self._failures = 0
        self._first_at = 0.0

    @property
    def closed(self) -> bool:
        """It may be asked."""
        return self.circuit is Circuit.CLOSED

    def failed(self, now: float, *, hung: bool = False) -> bool:
        """Somebody's work. True: with this it is open."""
        if not self.closed:
            return False
        if not self._failures or now - self._first_at > WINDOW_S:
            self._failures, self._first_at = 0, now
        self._failures += HUNG if hung else 1
        if self._failures < OPENS_AT:
            return False
        self.circuit = Circuit.OPEN
        return True

    def worked(self) -> bool:
        """Somebody's work. True: with this it is closed."""
        self._failures = 0
        return self.try_worked()

    def try_begins(self) -> None:
        """In the background; of a closed one too, whose last work failed."""
        if self.circuit is Circuit.OPEN:
            self.circuit = Circuit.HALF_OPEN

    def try_worked(self) -> bool:
        """True: with this it is closed."""
        was, self.circuit = self.circuit, Circuit.CLOSED
        return was is not Circuit.CLOSED

    def try_failed(self) -> None:
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit = Circuit.OPEN
