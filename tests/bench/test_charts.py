from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.bench.charts import CHARACTER_PX, LEFT, WIDTH, Axis, Mark, distribution, scatter, strip, waterfall

names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=30)


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str, classes: str) -> list[str]:
    return [node.text or "" for node in drawn(svg).iter("text") if (node.get("class") or "").split()[0] == classes]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 1300, [0, 500, 1000]),
        (-400, 900, [0, 500]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Axis(low, high, 0, 100).ticks() == pytest.approx(ticks)


@settings(deadline=None)
@given(st.floats(-1e5, 1e5), st.floats(1, 1e5))
def test_ticks_lie_on_the_axis_and_are_few(low: float, length: float) -> None:
    axis = Axis(low, low + length, 0, 100)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(-0.1 <= axis.at(tick) <= 100.1 for tick in ticks)
    assert all(left < right for left, right in pairwise(ticks))


def test_a_distribution_rises_to_the_whole() -> None:
    svg = distribution(
        [300.0, 100.0, 200.0, 400.0], [Mark("p50 250 ms", 250, 200, 300), Mark("p95", 385, None, None)], "V2V"
    )
    path = next(node.get("d") or "" for node in drawn(svg).iter("path") if node.get("class") == "line")
    heights = [float(up) for up in re.findall(r"V([\d.]+)", path)]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == min(float(node.get("y") or 0) for node in drawn(svg).iter("rect"))
    assert texts(svg, "name") == ["p50 250 ms", "p95"]
    assert sum(node.get("class") == "band" for node in drawn(svg).iter("rect")) == 1


def test_marks_may_be_missing() -> None:
    assert texts(distribution([100.0, 200.0], [], "V2V"), "name") == []


@settings(deadline=None)
@given(st.floats(1, 20_000), st.floats(0, 20_000))
def test_the_names_of_marks_keep_apart(p50: float, more: float) -> None:
    marks = [Mark(f"p50 {p50:,.0f} ms", p50, None, None), Mark(f"p95 {p50 + more:,.0f} ms", p50 + more, None, None)]
    root = drawn(distribution([p50, p50 + more], marks, "V2V"))
    names = [node for node in root.iter("text") if (node.get("class") or "").startswith("name")]
    edges = [
        (float(node.get("x") or 0) - half, float(node.get("x") or 0) + half)
        for node in names
        if (half := len(node.text or "") * CHARACTER_PX / 2)
    ]
    assert edges[0][0] >= LEFT
    assert edges[0][1] < edges[1][0]
    assert edges[1][1] <= WIDTH + 0.1
    tops = [
        float(re.findall(r"M[\d.]+,([\d.]+)V", node.get("d") or "")[0])
        for node in root.iter("path")
        if node.get("class") == "mark"
    ]
    assert max(float(node.get("y") or 0) for node in names) < min(tops)


def test_an_interval_beyond_the_edge_ends_there() -> None:
    svg = distribution([100.0, 200.0], [Mark("p50", 150, -50, 9_000)], "V2V")
    (band,) = (node for node in drawn(svg).iter("rect"))
    assert 0 < float(band.get("width") or 0) < WIDTH


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.floats(0, 5_000), st.floats(0, 100)), min_size=1, max_size=8))
def test_names_in_a_scatter_do_not_lie_on_each_other(points: list[tuple[str, float, float]]) -> None:
    svg = scatter(points, [], "speed against patience")
    root = drawn(svg)
    assert sorted(texts(svg, "name")) == sorted(name for name, _, _ in points)
    places = [(node.get("x"), node.get("y"), node.get("class")) for node in root.iter("text") if node.text]
    assert len(set(places)) == len(places)
    assert sum(node.tag == "circle" for node in root.iter()) == len(points)


def test_a_name_at_the_right_edge_stands_to_the_left() -> None:
    svg = scatter([("here", 100, 5), ("a rather long name", 900, 5)], [(100, 5)], "t")
    classes = {node.text: node.get("class") for node in drawn(svg).iter("text")}
    assert (classes["here"], classes["a rather long name"]) == ("name", "name end")


def bars(markup: str) -> list[tuple[float, float]]:
    """(where it begins, how long it is), in percent."""
    return [(float(a), float(b)) for a, b in re.findall(r"margin-left:([\d.]+)%;width:([\d.]+)%", markup)]


def test_a_waterfall_goes_on_where_it_was() -> None:
    assert bars(waterfall([("wire", 300), ("silence", 100)], ("V2V", 400))) == [(0, 75), (75, 25), (0, 100)]


def test_a_stage_of_less_than_nothing_goes_back() -> None:
    assert bars(waterfall([("a", 500), ("b", -100)], ("V2V", 400))) == [(0, 100), (80, 20), (0, 80)]


def test_without_a_length_there_is_still_a_bar() -> None:
    assert bars(waterfall([("a", 0)], ("V2V", 0))) == [(0, 0), (0, 0)]


@settings(deadline=None)
@given(names)
def test_names_are_text_and_nothing_else(name: str) -> None:
    for markup in (waterfall([(name, 1)], (name, 1)), strip([(name, 1)], 2), scatter([(name, 1, 1)], [], name)):
        tags = [node.tag for node in ElementTree.fromstring(markup).iter()]
        assert set(tags) <= {"div", "span", "b", "i", "svg", "title", "path", "text", "polyline", "circle"}


def test_a_strip_is_as_long_as_its_turn() -> None:
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", strip([("a", 100), ("b", 50)], 300))]
    assert widths == [33.33, 16.67]
