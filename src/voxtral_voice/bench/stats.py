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
from collections.abc import Iterable, Mapping, Sequence
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
QUANTILES: Final = (0.5, 0.95, 0.99)
DIGITS: Final = 3

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.intp]


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
    groups: dict[str, list[float]] = {}
    for group, value in values:
        groups.setdefault(group, []).append(value)
    whole = _Grouped([groups[name] for name in sorted(groups)])
    if not groups:
        return Spread(0, 0, None, None, None)
    found = [_with_interval(value, draws) for value, draws in whole.quantiles(_drawn(len(groups)), QUANTILES)]
    return Spread(sum(map(len, groups.values())), len(groups), *found)


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
    errors, lengths = (_drawn(len(totals)) @ totals).T
    return _with_interval(100 * totals[:, 0].sum() / totals[:, 1].sum(), 100 * errors / lengths)


def paired(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Paired | None:
    """first, second: group -> its values (none of a group may be missing there). Groups that only one of them has are
    left out; None when none is left. The ratio is infinite when the second median is 0."""
    names = sorted(first.keys() & second.keys())
    names = [name for name in names if first[name] and second[name]]
    if not names:
        return None
    drawn = _drawn(len(names))
    sides = [_Grouped([side[name] for name in names]) for side in (first, second)]
    (here, here_drawn), (there, there_drawn) = (side.quantiles(drawn, (0.5,))[0] for side in sides)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(there_drawn == 0, math.inf, here_drawn / there_drawn)
    return Paired(
        groups=len(names),
        ratio=_with_interval(here / there if there else math.inf, ratios),
        difference=_with_interval(here - there, here_drawn - there_drawn),
    )


class _Grouped:
    """Values in order, each with the number of its group."""

    def __init__(self, groups: Sequence[Sequence[float]]) -> None:
        pairs = sorted((value, number) for number, values in enumerate(groups) for value in values)
        self._values = np.array([value for value, _ in pairs], np.float64)
        self._member = np.array([number for _, number in pairs], np.intp)

    def quantiles(self, drawn: Counts, wanted: Sequence[float]) -> list[tuple[float, Values]]:
        """For each wanted one: of all values, and of each draw. drawn: as `_drawn` makes it."""
        upto = np.cumsum(drawn[:, self._member], axis=1)  # [draws, values]: how many drawn values are not beyond this
        return [(float(np.quantile(self._values, q)), self._drawn_quantile(upto, q)) for q in wanted]

    def _drawn_quantile(self, upto: Counts, q: float) -> Values:
        rank = q * (upto[:, -1] - 1)
        below = np.floor(rank)
        low, high = (self._values[(upto <= each[:, None]).sum(axis=1)] for each in (below, np.ceil(rank)))
        mixed: Values = low + (high - low) * (rank - below)
        return mixed


def _drawn(groups: int) -> Counts:
    """How often each group was drawn, [draws, groups]; no draws from fewer than two."""
    draws = DRAWS if groups > 1 else 0
    picked = np.random.default_rng(SEED).integers(groups, size=(draws, groups))
    flat = picked + groups * np.arange(draws)[:, None]
    return np.bincount(flat.ravel(), minlength=draws * groups).reshape(draws, groups)


def _with_interval(value: float, draws: Values) -> Estimate:
    value = round(float(value), DIGITS)
    if not len(draws):
        return Estimate(value)
    low, high = np.quantile(draws, TAILS, method="inverted_cdf")  # no arithmetic between infinities
    return Estimate(value, round(float(low), DIGITS), round(float(high), DIGITS))


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
