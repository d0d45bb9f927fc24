"""Which engines are asked now: one circuit for each, and what is known of the last failure.

Knows: breakers, the clock, what clients are told. Does not know: engines, how they are asked (`asking`) or tried in the
background (`recovery`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from voxtral_voice.engines.breaker import Breaker
from voxtral_voice.errors import DownError
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics

NO_CHAIN: Final[Mapping[str, Breaker]] = {}
SEAMS: Final = ("voice_activity", "turn_judge", "transcriber", "responder", "speaker")


class Circuits:
    """chain: the responder is several, each with a breaker of its own, so that the seam's has nothing to add."""

    def __init__(
        self, metrics: Metrics, chain: Mapping[str, Breaker] = NO_CHAIN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.chained = bool(chain)
        self._clock, self._chain = clock, chain
        self._breakers = {seam: Breaker() for seam in SEAMS if not (chain and seam == "responder")}
        self._last: dict[str, tuple[str, str]] = {}
        """By seam, of its last failure: the message, and what clients are told."""
        metrics.at_scrape(
            "circuit_state",
            "Is an engine asked: 0 = yes, 1 = it is tried in the background, 2 = no.",
            "engine",
            self._states,
        )

    def require(self, seam: str) -> None:
        """Raises DownError while it is not asked."""
        if not self.closed(seam):
            raise DownError(seam, *self._last[seam])

    def closed(self, seam: str) -> bool:
        """It is asked."""
        return seam not in self._breakers or self._breakers[seam].closed

    def failed(self, seam: str, message: str, told: str, *, hung: bool) -> None:
        self._last[seam] = (message, told)
        if seam in self._breakers and self._breakers[seam].failed(self._clock(), hung=hung):
            log.event("circuit_opened", "error", engine=seam, reason=message)

    def worked(self, seam: str) -> None:
        if seam in self._breakers and self._breakers[seam].worked():
            log.event("circuit_closed", engine=seam)

    def try_begins(self, seam: str) -> None:
        if seam in self._breakers:
            self._breakers[seam].try_begins()

    def try_worked(self, seam: str) -> None:
        if seam in self._breakers and self._breakers[seam].try_worked():
            log.event("circuit_closed", engine=seam)

    def try_failed(self, seam: str) -> None:
        if seam in self._breakers:
            self._breakers[seam].try_failed()

    def _states(self) -> Iterator[tuple[str, float]]:
        return ((seam, breaker.circuit.value) for seam, breaker in (self._breakers | {**self._chain}).items())
