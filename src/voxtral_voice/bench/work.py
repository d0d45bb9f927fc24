"""What of a server's work was for nothing, by its own count.

Knows: `voxtral_voice_work_seconds_total` on /metrics, with the labels `engine` and `outcome` ("used", "dropped").
Does not know: how the server counts. A server without that counter has no such figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

NAME: Final = "voxtral_voice_work_seconds_total"
LINE: Final = re.compile(rf"{NAME}\{{([^}}]*)\}} (\S+)")
LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
TIMEOUT_S: Final = 5.0

Counters = Mapping[tuple[str, str], float]
"""(engine, outcome) -> seconds so far."""


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds that engines were at work (wall time, queues included), by engine: what went into replies that were
    heard, and what was thrown away."""

    used_s: dict[str, float]
    dropped_s: dict[str, float]

    @property
    def dropped_percent(self) -> float | None:
        whole = sum(self.used_s.values()) + sum(self.dropped_s.values())
        return round(100 * sum(self.dropped_s.values()) / whole, 1) if whole else None

    def as_json(self) -> dict[str, Any]:
        return {
            "used_s": self.used_s,
            "dropped_s": self.dropped_s,
            "dropped_total_s": round(sum(self.dropped_s.values()), 3),
            "dropped_percent": self.dropped_percent,
        }


def counters(url: str) -> Counters | None:
    """url: of the server's socket. None when it does not count, or does not say."""
    scheme = "https" if urlsplit(url).scheme == "wss" else "http"
    try:
        answer = httpx.get(f"{scheme}://{urlsplit(url).netloc}/metrics", timeout=TIMEOUT_S)
    except httpx.HTTPError:
        return None
    return read(answer.text) if answer.is_success else None


def read(text: str) -> Counters | None:
    """text: in Prometheus' format."""
    found: dict[tuple[str, str], float] = {}
    for labels, value in LINE.findall(text):
        named = dict(LABEL.findall(labels))
        try:
            found[named["engine"], named["outcome"]] = float(value)
        except (KeyError, ValueError):
            continue
    return found or None


def between(before: Counters | None, after: Counters | None) -> Work | None:
    """before: None when nothing had been counted yet."""
    if after is None:
        return None
    done = {key: round(seconds - (before or {}).get(key, 0.0), 3) for key, seconds in after.items()}
    return Work(_of(done, "used"), _of(done, "dropped"))


def _of(done: Counters, outcome: str) -> dict[str, float]:
    return {engine: seconds for (engine, each), seconds in sorted(done.items()) if each == outcome}
