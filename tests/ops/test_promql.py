from __future__ import annotations

import pytest

from tests.ops.promql import Matcher, asked


def test_metrics_matchers_and_groupings_are_found() -> None:
    found = asked(
        'histogram_quantile(0.95, sum by (le, stage) (rate(a_bucket{instance=~"$instance",stage="hold"}[5m])))'
        " / on (job) group_left () 60 * b_total > 1e3"
    )
    assert found.selectors == (
        ("a_bucket", (Matcher("instance", "=~", "$instance"), Matcher("stage", "=", "hold"))),
        ("b_total", ()),
    )
    assert found.groupings == {"le", "stage", "job"}


def test_names_in_texts_and_ranges_are_none() -> None:
    assert asked('x{a="y(z)"}[$__rate_interval] or vector(0)').selectors == (("x", (Matcher("a", "=", "y(z)"),)),)
    assert asked("vllm:num_requests_waiting > 0").selectors == (("vllm:num_requests_waiting", ()),)


def test_a_function_that_is_none() -> None:
    with pytest.raises(ValueError, match="ratte is no function"):
        asked("ratte(x[5m])")
