"""One timeline per turn: when each stage of the answer was reached, and how long each took.

Knows: stamps and their order. Does not know: who measures or prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Timeline:
    """Stamps in seconds on the session's clock; None = not reached.

    `speech_end` is when the last voiced sample arrived, so that the stages sum to the whole wait of the user as the
    server sees it. Network and the client's own playout come on top and are measured by the client.
    """

    speech_end: float | None = None
    """The last voiced sample had arrived."""
    tentative_end: float | None = None
    """Silence was noticed; speculation began."""
    transcript: float | None = None
    """The final transcript was there."""
    first_token: float | None = None
    """The responder gave its first text."""
    first_phrase: float | None = None
    """Enough text for the first phrase."""
    first_audio: float | None = None
    """The first phrase's first audio was there (and, before commit, held)."""
    commit: float | None = None
    """The turn was declared over."""
    first_sent: float | None = None
    """The first audio left."""

    def stages_ms(self) -> dict[str, float]:
        """Consecutive stages that sum to `total_ms()`. A stage that was never reached is left out.

        The last one, "hold", is the time that ready audio waited for the commit: 0 means that the models were the
        bottleneck, more means that the endpoint wait was.
        """
        names = {
            "tentative_end": "silence",
            "transcript": "transcript",
            "first_token": "first_token",
            "first_phrase": "first_phrase",
            "first_audio": "first_audio",
            "first_sent": "hold",
        }
        if self.speech_end is None:
            return {}
        stages: dict[str, float] = {}
        last = self.speech_end
        for stamp, stage in names.items():
            at: float | None = getattr(self, stamp)
            if at is not None:
                stages[stage] = round((at - last) * 1000, 1)
                last = at
        return stages

    def endpoint_ms(self) -> float | None:
        """Last voiced sample to commit: what the turn detection alone cost."""
        if self.speech_end is None or self.commit is None:
            return None
        return round((self.commit - self.speech_end) * 1000, 1)

    def total_ms(self) -> float | None:
        """Last voiced sample in to first audio out, at the server."""
        if self.speech_end is None or self.first_sent is None:
            return None
        return round((self.first_sent - self.speech_end) * 1000, 1)

    def offsets_ms(self) -> dict[str, float]:
        """Every stamp that was reached, in ms after `speech_end`."""
        if self.speech_end is None:
            return {}
        return {
            f.name: round((at - self.speech_end) * 1000, 1)
            for f in fields(self)
            if (at := getattr(self, f.name)) is not None
        }
