from __future__ import annotations

import json
import re

import httpx
import pytest

from benchmarks import dashboard
from benchmarks.dashboard import DASHBOARD, ask
from benchmarks.dashboard_page import Series, Span, page, shown

SPAN = Span(1_000_000.0, 1_000_600.0)
PANELS = json.loads(DASHBOARD.read_text())


def series(name: str, *values: float) -> Series:
    return Series(name, [(SPAN.begin + 60 * number, value) for number, value in enumerate(values)])


def test_every_panel_is_drawn_also_those_of_which_nothing_is_known() -> None:
    values = {panel["id"]: [series("one", 1, 2, 3), series("<two>", 2, 0, 1)] for panel in PANELS["panels"][:12]}
    html = page(PANELS, values, SPAN, "a note")
    for panel in PANELS["panels"]:
        assert panel["title"] in html
    assert "&lt;two&gt;" in html
    assert "<two>" not in html
    assert ">none<" in html
    assert "nan" not in html.lower().replace("nance", "")


def test_stacked_series_stand_on_each_other() -> None:
    panel = next(panel for panel in PANELS["panels"] if panel["title"].startswith("Where the time goes"))
    alone = page({**PANELS, "panels": [panel]}, {panel["id"]: [series("a", 1, 1)]}, SPAN, "")
    both = page({**PANELS, "panels": [panel]}, {panel["id"]: [series("a", 1, 1), series("b", 1, 1)]}, SPAN, "")
    assert "1.5 s" not in alone
    assert "2 s" in both


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (1.5, "s", "1.5 s"),
        (0.871, "percentunit", "87%"),
        (3 * 2**20, "bytes", "3 MiB"),
        (12345.0, "short", "12,345"),
        (0.25, "short", "0.25"),
    ],
)
def test_numbers_are_written_as_grafana_does(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


async def test_the_queries_are_asked_as_they_stand_and_series_named_by_their_labels() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["query"])
        values = [[1_000_000, "1"], [1_000_060, "NaN"], [1_000_120, "+Inf"], [1_000_180, "4"]]
        found = [{"metric": {"status": "failed"}, "values": values}] if "replies_total" in asked[-1] else []
        return httpx.Response(200, json={"status": "success", "data": {"result": found}})

    async with httpx.AsyncClient(base_url="http://there", transport=httpx.MockTransport(answer)) as client:
        values = await ask(client, PANELS, SPAN)
    targets = [target for panel in PANELS["panels"] if panel["type"] != "row" for target in panel["targets"]]
    assert len(asked) == len(targets)
    assert not any("$" in query for query in asked)
    replies = next(panel["id"] for panel in PANELS["panels"] if panel["title"].startswith("Replies"))
    assert values[replies] == [Series("failed", [(1_000_000.0, 1.0), (1_000_180.0, 4.0)])]


async def test_a_query_that_cannot_be_answered_is_named() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"status": "error", "error": "parse error"})

    async with httpx.AsyncClient(base_url="http://there", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(SystemExit, match=re.compile("cannot answer .*parse error")):
            await ask(client, PANELS, SPAN)


def test_a_port_is_free() -> None:
    assert 1024 < dashboard.free_port() < 65536
