"""How long engines worked for what was used, and for what was thrown away.

Knows: seconds and their outcome. Does not know: what the work was, who decides that it is not wanted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from voxtral_voice.observe.metrics import Metrics

Outcome = Literal["used", "dropped"]


class Account:
    """Of one attempt or reply."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds, self._under_way = metrics.work, metrics.engine_requests
        self._spent: dict[str, float] = {}
        self._outcome: Outcome | None = None

    @contextmanager
    def working(self, engine: str) -> Iterator[None]:
        """The engine is asked at the beginning and answers at the end, or is stopped."""
        began = time.monotonic()
        under_way = self._under_way.labels(engine)
        under_way.inc()
        try:
            yield
        finally:
            under_way.dec()
            self._spend(engine, time.monotonic() - began)

    def settle(self, outcome: Outcome) -> None:
        """From now on it is known what the work was good for. The first word stands."""
        if self._outcome is None:
            self._outcome = outcome
            for engine, seconds in self._spent.items():
                self._seconds.labels(engine, outcome).inc(seconds)

    def _spend(self, engine: str, seconds: float) -> None:
        if self._outcome is None:
            self._spent[engine] = self._spent.get(engine, 0.0) + seconds
        else:
            self._seconds.labels(engine, self._outcome).inc(seconds)
