from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.bench.stats import (
    Estimate,
    Point,
    Share,
    Spread,
    Tradeoff,
    front,
    paired,
    quantile,
    rate,
    share,
    spread,
    tradeoff,
)

values = st.floats(-1e5, 1e5)
grouped = st.lists(st.tuples(st.sampled_from("abcdef"), values), min_size=1, max_size=40)


def test_a_quantile_lies_between_its_neighbours() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([0, 100], 0.95) == pytest.approx(95)
    assert quantile([7], 0.99) == 7


# --- spread


def test_a_spread_counts_values_and_groups() -> None:
    found = spread([("a", 1), ("a", 2), ("b", 3), ("b", 4)])
    assert (found.n, found.groups) == (4, 2)
    assert found.p50 is not None
    assert (found.p50.value, found.p50.low, found.p50.high) == (2.5, 1.5, 3.5)


def test_without_values_there_is_none() -> None:
    assert spread([]) == Spread(0, 0, None, None, None)


def test_one_group_has_no_interval() -> None:
    assert spread([("a", 1), ("a", 2)]).p50 == Estimate(1.5)


def test_the_interval_is_over_groups_and_not_over_values() -> None:
    """Ten answers to one clip say as much about other clips as one."""
    once = spread((str(clip), clip) for clip in range(20)).p50
    often = spread((str(clip), clip) for clip in range(20) for _ in range(10)).p50
    assert once
    assert often
    assert (once.low, once.high) == (often.low, often.high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """The median of a normal distribution, 200 times; percentile bootstrap is a little narrow."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = spread((str(i), value) for i, value in enumerate(random.normal(0, 1, 30))).p50
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


@settings(deadline=None)
@given(grouped)
def test_a_spread_is_in_order_and_depends_on_nothing_else(pairs: list[tuple[str, float]]) -> None:
    found = spread(pairs)
    assert found.p50 and found.p95 and found.p99  # noqa: PT018 - one fact: there are figures
    assert found.p50.value <= found.p95.value <= found.p99.value
    assert spread(reversed(pairs)) == found
    for each in (found.p50, found.p95, found.p99):
        assert (each.low is None) == (each.high is None) == (found.groups == 1)
        if each.low is not None and each.high is not None:
            assert min(v for _, v in pairs) - 0.001 <= each.low <= each.high <= max(v for _, v in pairs) + 0.001


# --- shares and rates


def test_a_share_of_nothing_is_none() -> None:
    assert share([]) == Share(0, 0, None)


def test_a_share_has_wilsons_interval() -> None:
    found = share((str(i), i < 5) for i in range(50))
    assert (found.count, found.of) == (5, 50)
    assert found.percent == Estimate(10.0, 4.348, 21.36)


def test_none_of_many_is_not_certain() -> None:
    found = share((str(i), False) for i in range(60)).percent
    assert found is not None
    assert found.high is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert 5 < found.high < 7


def test_saying_a_clip_again_does_not_make_a_share_surer() -> None:
    once, often = share([("a", True), ("b", False)]), share([("a", True), ("b", False)] * 9)
    assert (often.count, often.of) == (9, 18)
    assert often.percent == once.percent


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), min_size=1))
def test_a_share_lies_in_its_interval(trials: list[tuple[str, bool]]) -> None:
    found = share(trials).percent
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 100


def test_a_rate_is_all_errors_over_all_lengths() -> None:
    found = rate([("a", 1, 10), ("a", 0, 10), ("b", 5, 10)])
    assert found == Estimate(20.0, 5.0, 50.0)
    assert rate([("a", 1, 10), ("b", 3, 0)]) == Estimate(10.0)
    assert rate([("a", 1, 0)]) is None
    assert rate([]) is None
    assert type(found.value) is float  # and not one that JSON does not know


# --- paired comparisons


def test_the_same_against_itself_is_one() -> None:
    ours = {str(i): [float(i), i + 1.0] for i in range(1, 9)}
    found = paired(ours, ours)
    assert found is not None
    assert (found.groups, found.ratio, found.difference) == (8, Estimate(1, 1, 1), Estimate(0, 0, 0))


def test_a_constant_difference_has_no_uncertainty_though_the_clips_differ() -> None:
    """What pairing is for: the clips' own spread drops out."""
    ours = {str(i): [100.0 * i] for i in range(1, 30)}
    theirs = {clip: [value + 50 for value in found] for clip, found in ours.items()}
    found = paired(ours, theirs)
    assert found is not None
    assert found.difference == Estimate(-50, -50, -50)
    assert found.ratio.value == pytest.approx(1500 / 1550, abs=0.001)


def test_only_clips_that_both_answered_are_compared() -> None:
    found = paired({"a": [1.0], "b": [5.0], "d": []}, {"b": [10.0], "c": [2.0], "d": [1.0]})
    assert found is not None
    assert (found.groups, found.ratio, found.difference) == (1, Estimate(0.5), Estimate(-5.0))
    assert paired({"a": [1.0]}, {"b": [1.0]}) is None


def test_a_ratio_to_nothing_is_infinite() -> None:
    found = paired({"a": [1.0], "b": [2.0]}, {"a": [0.0], "b": [0.0]})
    assert found is not None
    assert found.ratio == Estimate(math.inf, math.inf, math.inf)


# --- speed against patience

RUNS = (Point("fast", 200, 30), Point("middle", 400, 10), Point("slow", 800, 2))


def test_the_four_numbers_lie_between_neighbouring_settings() -> None:
    assert tradeoff(RUNS) == Tradeoff(
        latency_at_5_percent_ms=650,
        latency_at_10_percent_ms=400,
        cut_ins_at_300_ms_percent=20,
        cut_ins_at_600_ms_percent=6,
    )


def test_nothing_is_extrapolated() -> None:
    assert tradeoff(RUNS[1:]) == Tradeoff(650, 400, None, 6)
    assert tradeoff(RUNS[:1]) == tradeoff([]) == Tradeoff(None, None, None, None)
    assert tradeoff([Point("exact", 300, 5)]) == Tradeoff(300, None, 5, None)


def test_a_setting_that_another_beats_is_left_out() -> None:
    worse = (Point("beaten", 500, 40), Point("as fast", 400, 12), Point("as patient", 900, 2))
    assert front((*worse, *RUNS)) == list(RUNS)
    assert tradeoff((*worse, *RUNS)) == tradeoff(RUNS)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 100)), max_size=8))
def test_a_front_is_slower_only_for_fewer_cut_ins(runs: list[tuple[float, float]]) -> None:
    kept = front(Point("", ms, percent) for ms, percent in runs)
    assert bool(kept) == bool(runs)
    for left, right in pairwise(kept):
        assert left.latency_ms < right.latency_ms
        assert left.cut_ins_percent > right.cut_ins_percent
    for ms, percent in runs:
        assert any(point.latency_ms <= ms and point.cut_ins_percent <= percent for point in kept)
