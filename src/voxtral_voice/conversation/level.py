"""How loud a stretch of frames is.

Knows: powers. Does not know: whose sound it is.
"""

from __future__ import annotations

import math


class Level:
    """Mean power of frames. Frames whose level is not known (nan) are left out."""

    def __init__(self) -> None:
        self._power = 0.0
        self.frames = 0

    def add(self, level_db: float) -> None:
        """dBFS."""
        if not math.isnan(level_db):
            self._power += 10 ** (level_db / 10)
            self.frames += 1

    @property
    def db(self) -> float | None:
        """dBFS; None = of no frame it is known."""
        return 10 * math.log10(self._power / self.frames) if self._power else None
