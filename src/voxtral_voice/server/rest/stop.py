"""A text that ends where a client's stop sequence begins. Pure.

Knows: texts that come in pieces. Does not know: who writes them.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """What may be told of a text, while it comes."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """All that cannot be the beginning of a stop sequence any more; nothing behind one."""
        if self.stopped:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._told(min(found))
        return self._told(len(self._held) - self._perhaps())

    def finish(self) -> str:
        """The rest, when the text has ended."""
        return "" if self.stopped else self._told(len(self._held))

    def _told(self, end: int) -> str:
        told, self._held = self._held[:end], self._held[end:]
        return told

    def _perhaps(self) -> int:
        """Length of the longest end of the text that a stop sequence begins with."""
        lengths = (
            length
            for stop in self._stops
            for length in range(min(len(stop) - 1, len(self._held)), 0, -1)
            if self._held.endswith(stop[:length])
        )
        return max(lengths, default=0)
