"""How many of the client's frames a snapshot stands for. Pure.

Knows: frames in order, whether all of them have become part of the conversation. Does not know: frames' contents.

A frame of audio is one that speech may begin in before anybody can tell. So while nothing is being said the number
trails by LEAD_S, and while somebody speaks it stands still: a client that comes back to another server sends again all
that it has said since.
"""

from __future__ import annotations

from collections import deque
from typing import Final

LEAD_S: Final = 0.6
"""Voice activity is sure of speech after a tenth of a second, and speech begins three tenths before that."""


class Received:
    def __init__(self, count: int = 0) -> None:
        self.count = count
        """That were worked on."""
        self.kept = count
        """Those of them that a snapshot stands for."""
        self._told = count
        """Up to the last one that was no audio."""
        self._marks: deque[tuple[float, int]] = deque()  # LEAD_S long, at the rate of `look`

    def frame(self, *, is_audio: bool) -> None:
        self.count += 1
        if not is_audio:
            self._told = self.count

    def look(self, now: float, *, all_taken_in: bool) -> None:
        """Before each snapshot."""
        if not all_taken_in:
            self._marks.clear()
            return
        if not self._marks:  # a turn was taken in just now
            self.kept = self.count
        self._marks.append((now, self.count))
        while self._marks[0][0] < now - LEAD_S:
            self.kept = max(self.kept, self._marks.popleft()[1])
        self.kept = max(self.kept, self._told)
