"""What a soak may show: slopes, windows of latency, and the limits that it is held to.

Knows: samples of the server, turns of the clocks. Does not know: how they were taken, processes, sockets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.bench.stats import quantile

Values = npt.NDArray[np.float64]

WARM_UP: Final = 0.2
"""The first fifth of the time: imports that happen late, tables, first growth (`docs/adr/0018-memory.md`)."""
WHOLE_MINUTES: Final = 15.0
"""From here on a run is long enough for a slope of 1 MB/h and for two windows of five minutes."""
BIN_S: Final = 60.0
"""Neighbouring samples resemble each other: a slope's interval counts each minute once."""
FLOOR_S: Final = 180.0
"""Of memory the least of each three minutes counts, in which the collector came by once at least: what the server
comes back to. Frames that a slow client leaves unread, garbage that waits and what glibc has not given back yet come
and go by 10 MB; whatever is kept raises the floor."""
MOST_MB_PER_H: Final = 1.0
SURE_MB_PER_H: Final = 5.0
"""Half of the interval at most; else the run says nothing about memory."""
MOST_GROWTH_MB: Final = 15.0
"""Of the heap that is in use, in a short run, whose slope says nothing: from the end of the warm-up to the end. A
session that is kept by mistake has 0.5 MB, and some hundred sessions come in that time. RSS still grows then: the heap
gets its first holes."""
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
    or it was said that it failed. last: of one without an answer, what was sent and told, and when."""

    at_s: float
    v2v_s: float | None
    broken: bool = False
    last: Sequence[str] = ()


# --- slopes ------------------------------------------------------------------------------------------------------


def slopes(samples: Sequence[Sample], from_s: float) -> dict[str, dict[str, float]]:
    """Per hour, behind the warm-up, each with its 95 % interval; {} when there is too little."""
    kept = [sample for sample in samples if sample.at_s >= from_s]
    if not kept or kept[-1].at_s - kept[0].at_s < 3 * FLOOR_S:
        return {}
    at_s = np.array([sample.at_s for sample in kept])
    values = {name: np.array([getattr(sample, name) for sample in kept]) for name in ("memory_mb", "tasks", "files")}
    found = {name: slope(*_binned(at_s, each, BIN_S, np.mean)) for name, each in values.items()}
    in_use = np.array([sample.heap_used_mb for sample in kept])
    floors = {"memory_floor_mb": values["memory_mb"], "heap_used_floor_mb": in_use}
    return found | {name: slope(*_binned(at_s, each, FLOOR_S, np.min)) for name, each in floors.items()}


def _binned(at_s: Values, values: Values, size_s: float, of: Callable[[Values], Any]) -> tuple[Values, Values]:
    """Where each whole bin stands, and what of it counts."""
    bins = ((at_s - at_s[0]) // size_s).astype(int)
    whole = range(max(1, int((at_s[-1] - at_s[0]) // size_s)))
    places = [at_s[0] + (place + 0.5) * size_s for place in whole]
    return np.array(places), np.array([float(of(values[bins == place])) for place in whole])


def slope(at_s: Values, values: Values) -> dict[str, float]:
    """Of the straight line through them (least squares), per hour, and its 95 % interval."""
    spread = (at_s - at_s.mean()) / 3600
    per_hour = float((spread * values).sum() / (spread**2).sum())
    rest, free = values - values.mean() - per_hour * spread, len(at_s) - 2
    margin = _t975(free) * math.sqrt(float((rest**2).sum()) / max(1, free) / float((spread**2).sum()))
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
    found = server["slopes_per_hour"].get("memory_floor_mb")
    if found is None:
        return False, "memory: too few samples for a slope"
    said = f"memory's floor grows by {found['per_hour']:g} MB/h ({found['low']:g} to {found['high']:g})"
    if found["high"] - found["low"] > 2 * SURE_MB_PER_H:
        return False, f"{said}: the run is too unsteady to tell"
    return found["low"] <= MOST_MB_PER_H, f"{said}, may be {MOST_MB_PER_H:g} within what is certain"


def _grown(made: dict[str, Any]) -> tuple[bool, str]:
    end_s = 60 * made["minutes"]
    samples = [each for each in made["server"]["samples"] if WARM_UP * end_s <= each["at_s"] <= end_s]
    early = [each["heap_used_mb"] for each in samples if each["at_s"] < WARM_UP * end_s + BIN_S]
    late = [each["heap_used_mb"] for each in samples if each["at_s"] >= end_s - BIN_S]
    if not early or not late:
        return False, "memory: too few samples"
    grown = min(late) - min(early)
    said = f"the heap in use has grown by {grown:.1f} MB from the minute after the warm-up to the last, at its least"
    return grown <= MOST_GROWTH_MB, f"{said}; may be {MOST_GROWTH_MB:g}"


def _late(latency: dict[str, Any]) -> tuple[bool, str]:
    late = latency["late_p99_ms"]
    return late <= LATE_MS, f"the clocks spoke up to {late:g} ms late (p99), may be {LATE_MS:g}: else latency is void"


def _p95(latency: dict[str, Any]) -> tuple[bool, str]:
    first, last = latency["windows"][0]["p95_ms"], latency["windows"][-1]["p95_ms"]
    kept = 0 < last <= MOST_P95 * first
    return kept, f"p95 of the first five minutes {first:g} ms, of the last {last:g} ms; may be {MOST_P95:g} times it"
