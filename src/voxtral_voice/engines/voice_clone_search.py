"""Which style sounds like somebody? A search that listens to few attempts, since each one costs a second.

Knows: points of a space of voices, how a style changes what is heard (learned once, corrected while it searches). Does
not know: models, audio, files.

What is heard of a style is a speaker embedding (256 numbers) and a pitch (semitones). The response of both to the style
is taken to be linear, with a prior that keeps the voice near those that are most like it, as near as voices of the
table are to each other: each step is the most likely style given what the best attempt so far missed (Gauss-Newton with
a Gaussian prior), and each attempt corrects the response along the way it went (Broyden, 1965). An attempt that is no
better halves the next step. What is found is the mean of the best few: what each of them owes to the words that it
said, and not to the voice, is mostly lost in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

EMBEDDING_ERROR: Final = 0.04
"""Of one number of an embedding (they are 0.06 in size): what another sentence changes, and what no style can reach. A
lower one moves further from the voices of the table for less likeness."""
PITCH_ERROR: Final = 0.5
"""Semitones."""
PITCH_WEIGHT: Final = 0.01
"""A semitone off costs as much as so much less likeness."""
BEST: Final = 3
"""Attempts whose mean is what is found."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one attempt, or of the clip."""

    embedding: Vector
    """Of length 1."""
    pitch: float
    """Semitones."""

    @property
    def vector(self) -> Vector:
        return np.append(self.embedding, self.pitch)


@dataclass(frozen=True, slots=True)
class Attempt:
    point: Vector
    heard: Heard
    similarity: float
    """Cosine to the clip's embedding."""
    score: float
    """Similarity, less what is wrong with the pitch."""


class Search:
    """response: [points, 257], how much what is heard changes with the point. wanted: of the clip. start: the first
    attempt. middle: of the prior. In the space of points the voices of the table have mean 0 and variance 1."""

    def __init__(self, response: Vector, wanted: Heard, start: Vector, middle: Vector) -> None:
        self._response = response.copy()
        self._wanted = wanted
        self._middle = middle
        self._next = start
        self._step = 1.0
        self._last: Attempt | None = None
        self._best: list[Attempt] = []
        """The best first."""

    @property
    def found(self) -> Vector:
        """After at least one attempt."""
        found: Vector = np.mean([attempt.point for attempt in self._best], axis=0)
        return found

    @property
    def next(self) -> Vector:
        """The point to be tried now."""
        return self._next

    def tell(self, heard: Heard) -> Attempt:
        """Of `next`, which then is another one."""
        attempt = self._attempt(heard)
        if self._last is not None:
            self._correct(self._last, attempt)
        self._last = attempt
        self._best = sorted([*self._best, attempt], key=lambda known: -known.score)[:BEST]
        self._step = min(1.0, 1.3 * self._step) if self._best[0] is attempt else self._step / 2
        self._next = self._best[0].point + self._step * self._way_from(self._best[0])
        return attempt

    def _attempt(self, heard: Heard) -> Attempt:
        similarity = float(heard.embedding @ self._wanted.embedding)
        return Attempt(self._next, heard, similarity, similarity - PITCH_WEIGHT * abs(heard.pitch - self._wanted.pitch))

    def _correct(self, before: Attempt, now: Attempt) -> None:
        way = now.point - before.point
        missed = now.heard.vector - before.heard.vector - way @ self._response
        self._response += np.outer(way, missed) / (way @ way + 1)

    def _way_from(self, attempt: Attempt) -> Vector:
        precision = np.append(np.full(attempt.heard.embedding.size, EMBEDDING_ERROR**-2), PITCH_ERROR**-2)
        weighted = self._response * precision
        missing = self._wanted.vector - attempt.heard.vector
        strayed = attempt.point - self._middle
        way: Vector = np.linalg.solve(weighted @ self._response.T + np.eye(strayed.size), weighted @ missing - strayed)
        return way
