"""Figures with their uncertainty: quantiles, shares and comparisons, each with a 95 % interval.

Knows: arithmetic. Does not know: turns, replies, units.

Quantile: linear interpolation between the order statistics, at rank q * (n - 1) (Hyndman and Fan's type 7, numpy's
default). Intervals of quantiles, rates and comparisons: percentile bootstrap with a fixed seed, in which *groups*
(clips) are drawn with replacement and every value of a drawn group goes with it, because answers to one clip resemble
each other.
Intervals of shares: Wilson's, with as many trials as there are groups, so that saying a clip five times does not make
the figure surer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

SEED: Final = 20_261_122
DRAWS: Final = 1_000
CONFIDENCE: Final = 0.95
TAILS: Final = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
Z: Final = 1.959964
"""Of the normal distribution, for CONFIDENCE."""
DIGITS: Final = 3

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """low, high: the interval; None when there is one group only, which says nothing about others."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of so many values; None without any."""

    n: int
    groups: int
    p50: Estimate | None
    p95: Estimate | None
    p99: Estimate | None


@dataclass(frozen=True, slots=True)
class Share:
    """count of `of`; percent is None when there was nothing to count."""

    count: int
    of: int
    percent: Estimate | None


@dataclass(frozen=True, slots=True)
class Paired:
    """Two servers on the same clips: medians of all values, first over second, and first less second."""

    groups: int
    ratio: Estimate
    difference: Estimate


def quantile(values: Sequence[float], q: float) -> float:
    """values: at least one, in any order."""
    return float(np.quantile(np.asarray(values, np.float64), q))


def spread(values: Iterable[tuple[str, float]]) -> Spread:
    """values: (group, value)."""
    pairs = sorted(values, key=lambda pair: pair[1])
    names = sorted({group for group, _ in pairs})
    ordered = np.array([value for _, value in pairs], np.float64)
    member = np.array([names.index(group) for group, _ in pairs], np.intp)
    draws = [np.repeat(ordered, counts[member]) for counts in _drawn(len(names))]
    return Spread(len(pairs), len(names), *(_estimate(ordered, draws, q) for q in (0.5, 0.95, 0.99)))


def share(tried: Iterable[tuple[str, bool]]) -> Share:
    """tried: (group, whether it happened)."""
    trials = list(tried)
    count, of = sum(happened for _, happened in trials), len(trials)
    return Share(count, of, _wilson(count / of, len({group for group, _ in trials})) if of else None)


def rate(counted: Iterable[tuple[str, int, int]]) -> Estimate | None:
    """counted: (group, errors, length). All errors over all lengths, in percent; None without any length."""
    sums: dict[str, tuple[int, int]] = {}
    for group, errors, length in counted:
        before = sums.get(group, (0, 0))
        sums[group] = before[0] + errors, before[1] + length
    totals = np.array([pair for pair in sums.values() if pair[1]], np.float64)
    if not len(totals):
        return None
    draws = [counts @ totals for counts in _drawn(len(totals))]
    return _with_interval(_percent(totals.sum(axis=0)), [_percent(draw) for draw in draws])


def paired(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Paired | None:
    """first, second: group -> its values (none of a group may be missing there). Groups that only one of them has are
    left out; None when none is left. The ratio is infinite when the second median is 0."""
    names = sorted(first.keys() & second.keys())
    names = [name for name in names if first[name] and second[name]]
    if not names:
        return None
    left, right = (_Grouped([side[name] for name in names]) for side in (first, second))
    medians = [(left.median(counts), right.median(counts)) for counts in _drawn(len(names))]
    whole = np.ones(len(names), np.intp)
    here, there = left.median(whole), right.median(whole)
    return Paired(
        groups=len(names),
        ratio=_with_interval(_ratio(here, there), [_ratio(a, b) for a, b in medians]),
        difference=_with_interval(here - there, [a - b for a, b in medians]),
    )


class _Grouped:
    """Values in order, each with the number of its group."""

    def __init__(self, groups: Sequence[Sequence[float]]) -> None:
        pairs = sorted((value, number) for number, values in enumerate(groups) for value in values)
        self._values = np.array([value for value, _ in pairs], np.float64)
        self._member = np.array([number for _, number in pairs], np.intp)

    def median(self, counts: npt.NDArray[np.intp]) -> float:
        """counts: how often each group was drawn."""
        return float(np.median(np.repeat(self._values, counts[self._member])))


def _drawn(groups: int) -> Iterator[npt.NDArray[np.intp]]:
    """How often each group was drawn, for each draw; no draws from fewer than two."""
    random = np.random.default_rng(SEED)
    for _ in range(DRAWS if groups > 1 else 0):
        yield np.bincount(random.integers(groups, size=groups), minlength=groups)


def _estimate(values: Values, draws: Sequence[Values], q: float) -> Estimate | None:
    if not len(values):
        return None
    return _with_interval(float(np.quantile(values, q)), [float(np.quantile(draw, q)) for draw in draws])


def _with_interval(value: float, draws: Sequence[float]) -> Estimate:
    if not draws:
        return Estimate(round(value, DIGITS))
    low, high = np.quantile(np.asarray(draws), TAILS, method="inverted_cdf")  # no arithmetic between infinities
    return Estimate(round(value, DIGITS), round(float(low), DIGITS), round(float(high), DIGITS))


def _percent(errors_and_length: Values) -> float:
    return float(100 * errors_and_length[0] / errors_and_length[1])


def _ratio(first: float, second: float) -> float:
    return first / second if second else math.inf


def _wilson(part: float, n: int) -> Estimate:
    """Wilson (1927), in percent."""
    middle = (part + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(part * (1 - part) / n + Z**2 / (4 * n**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(round(100 * part, DIGITS), round(100 * low, DIGITS), round(100 * high, DIGITS))


# --- speed against patience ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a server at one endpoint setting."""

    endpoint: str
    latency_ms: float
    cut_ins_percent: float


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """eot-bench's four numbers; None where no pair of neighbouring settings encloses the asked one."""

    latency_at_5_percent_ms: float | None
    latency_at_10_percent_ms: float | None
    cut_ins_at_300_ms_percent: float | None
    cut_ins_at_600_ms_percent: float | None


def tradeoff(points: Iterable[Point]) -> Tradeoff:
    """Straight lines between neighbours on the front; nothing is extrapolated."""
    curve = [(point.latency_ms, point.cut_ins_percent) for point in front(points)]
    mirrored = [(percent, ms) for ms, percent in reversed(curve)]
    return Tradeoff(_at(mirrored, 5), _at(mirrored, 10), _at(curve, 300), _at(curve, 600))


def front(points: Iterable[Point]) -> list[Point]:
    """The settings that no other beats in both, fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.latency_ms, point.cut_ins_percent)):
        if not kept or point.cut_ins_percent < kept[-1].cut_ins_percent:
            kept.append(point)
    return kept


def _at(curve: Sequence[tuple[float, float]], x: float) -> float | None:
    """curve: (x, y), x rising."""
    if not curve or not curve[0][0] <= x <= curve[-1][0]:
        return None
    xs, ys = zip(*curve, strict=True)
    return round(float(np.interp(x, xs, ys)), DIGITS)
