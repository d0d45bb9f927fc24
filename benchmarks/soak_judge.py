"""What a soak may show: slopes, windows of latency, and the limits that it is held to.

Knows: samples of the server, turns of the clocks. Does not know: how they were taken, processes, sockets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from voxtral_voice.bench.stats import quantile

WARM_UP: Final = 0.2
"""The first fifth of the time: imports that happen late, tables, the heap's first growth (`docs/adr/0016`)."""
WHOLE_MINUTES: Final = 15.0
"""From here on a run is long enough for a slope of 1 MB/h and for two windows of five minutes."""
BIN_S: Final = 60.0
"""Neighbouring samples resemble each other: a slope's interval counts each minute once."""
MOST_MB_PER_H: Final = 1.0
MOST_GROWTH_MB: Final = 15.0
"""In a short run, whose slope says nothing: from the end of the warm-up to the end. A session that is kept by mistake
has 0.5 MB, and some hundred sessions come in that time."""
MOST_P95: Final = 1.1
"""Last window to first."""
MISSED_S: Final = 15.0
"""A turn without an answer counts as this."""
LATE_MS: Final = 10.0
"""The clocks' p99; beyond it they measure themselves."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of the server. heap_mb: what malloc holds of it, heap_used_mb: what of that is in use; blocks: Python's small
    objects."""

    at_s: float
    memory_mb: float
    tasks: int
    files: int
    cpu_s: float
    heap_mb: float = 0.0
    heap_used_mb: float = 0.0
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """at_s: its last voiced sample, since the soak began. v2v_s: None = no answer came. broken: an engine was, then;
    or it was said that it failed."""

    at_s: float
    v2v_s: float | None
    broken: bool = False


# --- slopes ------------------------------------------------------------------------------------------------------


def slopes(samples: Sequence[Sample], from_s: float) -> dict[str, dict[str, float]]:
    """Per hour, behind the warm-up, each with its 95 % interval; {} when there is too little."""
    kept = [sample for sample in samples if sample.at_s >= from_s]
    if len(kept) < 3 or kept[-1].at_s - kept[0].at_s < 3 * BIN_S:
        return {}
    at_s = np.array([sample.at_s for sample in kept])
    values = {name: np.array([getattr(sample, name) for sample in kept]) for name in ("memory_mb", "tasks", "files")}
    return {name: slope(at_s, each) for name, each in values.items()}


def slope(at_s: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Of the straight line through the means of each minute (least squares), per hour, and its 95 % interval."""
    bins = ((at_s - at_s[0]) // BIN_S).astype(int)
    places = np.unique(bins)
    hours = np.array([at_s[bins == place].mean() for place in places]) / 3600
    means = np.array([values[bins == place].mean() for place in places])
    spread = hours - hours.mean()
    per_hour = float((spread * means).sum() / (spread**2).sum())
    rest = means - means.mean() - per_hour * spread
    free = len(places) - 2
    error = math.sqrt(float((rest**2).sum()) / free / float((spread**2).sum())) if free > 0 else math.inf
    margin = _t975(free) * error
    return {"per_hour": round(per_hour, 2), "low": round(per_hour - margin, 2), "high": round(per_hour + margin, 2)}


def _t975(free: int) -> float:
    """Student's t, 97.5 %: within 1 % of the tables from 3 degrees of freedom on (Cornish and Fisher, 1937)."""
    z = 1.959964
    if free < 1:
        return math.inf
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3


# --- latency -----------------------------------------------------------------------------------------------------


def windows(turns: Sequence[Turn], minutes: float) -> list[dict[str, float]]:
    """p95 of each five minutes (of a short run: of each minute). Turns while an engine was broken by the script are
    counted apart; others without an answer are in it with MISSED_S."""
    size_s = 300.0 if minutes >= WHOLE_MINUTES else 60.0
    count = max(1, round(60 * minutes / size_s))
    found = []
    for place in range(count):
        here = [turn for turn in turns if min(count - 1, int(turn.at_s // size_s)) == place]
        whole = [MISSED_S if turn.v2v_s is None else turn.v2v_s for turn in here if not turn.broken]
        found.append(
            {
                "from_s": place * size_s,
                "turns": len(whole),
                "missed": sum(turn.v2v_s is None for turn in here if not turn.broken),
                "while_broken": sum(turn.broken for turn in here),
                "p50_ms": round(1000 * quantile(whole, 0.5), 1) if whole else 0.0,
                "p95_ms": round(1000 * quantile(whole, 0.95), 1) if whole else 0.0,
            }
        )
    return found


# --- the verdict -------------------------------------------------------------------------------------------------


def verdict(made: dict[str, Any]) -> list[tuple[bool, str]]:
    """Of a result: each limit, whether it was kept, and the sentence that says so."""
    whole = made["minutes"] >= WHOLE_MINUTES
    return [
        _none("rules of the protocol broken", made["violations"]),
        _none("words of one session seen in another", made["leaks"]),
        _back("tasks", made["server"]),
        _back("files", made["server"]),
        _missed(made["latency"]["windows"]),
        *((_slope(made["server"]), _late(made["latency"]), _p95(made["latency"])) if whole else (_grown(made),)),
    ]


def _none(what: str, found: Sequence[str]) -> tuple[bool, str]:
    return not found, f"{what}: {len(found)}, may be 0"


def _back(what: str, server: dict[str, Any]) -> tuple[bool, str]:
    before, after = server["before"][what], server["after"][what]
    return after <= before, f"{what} before the first session {before}, after the last one {after}; may not be more"


def _missed(windows: Sequence[dict[str, float]]) -> tuple[bool, str]:
    missed, turns = sum(each["missed"] for each in windows), sum(each["turns"] for each in windows)
    return turns > 0 and not missed, f"turns of the clocks without an answer: {missed:g} of {turns:g}, may be 0"


def _slope(server: dict[str, Any]) -> tuple[bool, str]:
    found = server["slopes_per_hour"].get("memory_mb")
    if found is None:
        return False, "memory: too few samples for a slope"
    said = f"memory grows by {found['per_hour']:g} MB/h ({found['low']:g} to {found['high']:g})"
    return found["per_hour"] <= MOST_MB_PER_H, f"{said}, may be {MOST_MB_PER_H:g}"


def _grown(made: dict[str, Any]) -> tuple[bool, str]:
    samples = made["server"]["samples"]
    warm = [sample["memory_mb"] for sample in samples if sample["at_s"] >= WARM_UP * 60 * made["minutes"]]
    if not warm:
        return False, "memory: too few samples"
    grown = max(warm) - warm[0]
    return grown <= MOST_GROWTH_MB, f"memory has grown by {grown:.1f} MB after the warm-up, may be {MOST_GROWTH_MB:g}"


def _late(latency: dict[str, Any]) -> tuple[bool, str]:
    late = latency["late_p99_ms"]
    return late <= LATE_MS, f"the clocks spoke up to {late:g} ms late (p99), may be {LATE_MS:g}: else latency is void"


def _p95(latency: dict[str, Any]) -> tuple[bool, str]:
    first, last = latency["windows"][0]["p95_ms"], latency["windows"][-1]["p95_ms"]
    kept = 0 < last <= MOST_P95 * first
    return kept, f"p95 of the first five minutes {first:g} ms, of the last {last:g} ms; may be {MOST_P95:g} times it"
