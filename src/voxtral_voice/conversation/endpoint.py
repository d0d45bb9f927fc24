"""When is the turn over? One pure function with its constants.

Knows: what the client asked for and what the judge said. Does not know: clocks (times are given) or audio.
"""

from __future__ import annotations

import math
from typing import Final

from voxtral_voice.conversation.events import TurnDetection

MAX_WAIT_MS: Final = {"low": 8000.0, "medium": 4000.0, "auto": 4000.0, "high": 2000.0}
"""Longest silence inside an unfinished turn, by eagerness (OpenAI Realtime API reference, semantic_vad)."""

UNJUDGED: Final = 0.5
"""Assumed probability that the turn is over until the judge has spoken (it takes some 50 ms)."""


def endpoint_wait_ms(detection: TurnDetection, judged: float | None, min_wait_ms: float) -> float:
    """Silence after the last voiced sample that ends the turn.

    server_vad: the client's own `silence_duration_ms`, whatever the judge says. semantic_vad: between `min_wait_ms`
    (judge certain that the turn is over) and the eagerness's maximum (certain that it is not), geometrically: the
    wait falls by the same factor for each equal step of certainty.
    """
    if detection.kind == "server_vad":
        return float(detection.silence_duration_ms)
    longest = MAX_WAIT_MS[detection.eagerness]
    certainty = UNJUDGED if judged is None else min(1.0, max(0.0, judged))
    return longest * math.pow(min_wait_ms / longest, certainty)
