"""The dashboard and the alerts ask for metrics that a server has, by labels that they have."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import Counter, Gauge, Histogram

import voxtral_voice
from tests.ops.promql import asked
from tests.server.conftest import quick
from voxtral_voice.config import Config
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.observe.metrics import PREFIX, Metrics
from voxtral_voice.server.admission import Reason
from voxtral_voice.server.link import Why
from voxtral_voice.server.runtime import Runtime

OPS: Final = Path(__file__).parents[2] / "ops"
DOCS: Final = OPS.parent / "docs" / "observability.md"
DASHBOARD: Final = json.loads((OPS / "grafana" / "voxtral-voice.json").read_text())
RULES: Final = yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
JOBS: Final = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
OTHERS: Final = {
    "up": set[str](),
    "vllm:num_requests_running": set[str](),
    "vllm:num_requests_waiting": set[str](),
    "vllm:kv_cache_usage_perc": set[str](),
}
"""Metrics of Prometheus itself and of vLLM."""
OF_TARGETS: Final = {"job", "instance"}
STAGES: Final = Timeline(0, 1, 2, 3, 4, 5, 6, 7)
VALUES: Final = {
    ("replies_total", "status"): set(get_args(get_type_hints(ev.ReplyEnded)["status"])),
    ("sessions_ended_total", "reason"): set(get_args(Why)),
    ("sessions_refused_total", "reason"): set(get_args(Reason)),
    ("stage_latency_seconds_sum", "stage"): set(STAGES.stages_ms()),
    ("traces_total", "outcome"): {"sent", "lost"},
    ("work_seconds_total", "outcome"): {"used", "dropped"},
    ("speculations_total", "outcome"): {"begun", "kept", "dropped"},
}
"""That a label may have, where an expression asks for one."""


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Of a server: name as it is scraped -> labels."""
    return {**known(Runtime(Config(profile="fake"), quick()).metrics), **OTHERS}


def known(metrics: Metrics) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for it in vars(metrics).values():
        if isinstance(it, Counter):
            found[f"{it._name}_total"] = set(it._labelnames)
        elif isinstance(it, Histogram):
            found |= {f"{it._name}_{part}": set(it._labelnames) for part in ("sum", "count")}
            found[f"{it._name}_bucket"] = {*it._labelnames, "le"}
        elif isinstance(it, Gauge):
            found[it._name] = set(it._labelnames)
    for family in metrics.registry.collect():  # those that have no attribute
        for sample in family.samples:
            found.setdefault(sample.name, set(sample.labels))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_what_is_asked_for_is_there(where: str, expression: str, metrics: dict[str, set[str]]) -> None:
    found = asked(expression)
    assert found.selectors
    labels = set(OF_TARGETS)
    for name, matchers in found.selectors:
        assert name in metrics, f"no server has {name}"
        labels |= metrics[name]
        for matcher in matchers:
            assert matcher.label in metrics[name] | OF_TARGETS, f"{name} has no label {matcher.label}"
            values = VALUES.get((name.removeprefix(PREFIX), matcher.label))
            if values is not None:
                assert set(matcher.value.split("|")) <= values
    assert found.groupings <= labels


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_counters_are_asked_for_by_their_rates(where: str, expression: str) -> None:
    for name in re.findall(rf"{PREFIX}\w+_(?:total|bucket|sum|count)\b", expression):
        assert re.search(rf"(?:rate|increase)\({name}\b", expression), name


def test_the_dashboard_shows_everything_that_is_measured(metrics: dict[str, set[str]]) -> None:
    """But for what says more elsewhere."""
    shown = {name for _, expression in expressions() for name, _ in asked(expression).selectors}
    bare = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown}
    elsewhere = {f"{PREFIX}{name}" for name in ("build_info", "ingest_audio_seconds", "reply_audio_seconds", "tokens")}
    elsewhere |= {f"{PREFIX}{name}" for name in ("turns", "interruptions")}
    ours = {name for name in metrics if name.startswith(PREFIX) and not name.endswith("_created")}
    measured = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in ours}
    assert measured - bare - elsewhere == set()


def test_the_docs_say_what_each_metric_means(metrics: dict[str, set[str]]) -> None:
    explained = set(re.findall(r"[a-z_]+", DOCS.read_text()))
    parts = re.compile(r"_(bucket|sum|count)$")
    ours = {name.removeprefix(PREFIX) for name in metrics if name.startswith(PREFIX) and not name.endswith("_created")}
    assert {parts.sub("", name) for name in ours} - explained == set()


def test_the_docs_name_every_event_that_is_logged_and_no_other() -> None:
    table = DOCS.read_text().partition("| event | when |")[2].partition("\n\n")[0]
    named = {event for line in table.splitlines()[2:] for event in re.findall(r"`([a-z_0-9]+)`", line.split("|")[1])}
    sources = [ast.parse(path.read_text()) for path in Path(voxtral_voice.__file__).parent.rglob("*.py")]
    assert named == {event for tree in sources for event in logged(tree)} | {"library_said"}


def logged(tree: ast.Module) -> Iterator[str]:
    """What stands first in a call of a logger, if it is the name of an event and no sentence."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
            of_a_log = "log" in ast.unparse(call.func.value).lower()
            if of_a_log and call.func.attr in ("event", "info", "warning", "error", "exception"):
                words = (node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant))
                yield from (word for word in words if isinstance(word, str) and re.fullmatch(r"[a-z_0-9]+", word))


def test_the_docs_name_every_way_that_a_session_ends_or_is_refused() -> None:
    told = set(re.findall(r"`([a-z_]+)`", DOCS.read_text()))
    assert {*get_args(Reason), *get_args(Why)} - {"resume_unknown", "resumed"} - told == set()


def test_panels_stand_beside_each_other_and_explain_themselves() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert all(panel["description"].endswith(".") and panel["targets"] for panel in panels())
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    headings = {heading.strip().lower() for heading in re.findall(r"^#+ (.+)$", DOCS.read_text(), re.MULTILINE)}
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "warn", "info")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/observability.md", rule["alert"].lower())
        assert anchor in headings


def test_the_job_has_the_name_that_alerts_and_dashboard_know() -> None:
    [job] = JOBS
    named = {
        matcher.value
        for _, expression in expressions()
        for _, matchers in asked(expression).selectors
        for matcher in matchers
        if matcher.label == "job"
    }
    assert named == {job["job_name"]}


# --- promtool ---------------------------------------------------------------------------------------------------


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("promtool is in the Debian package prometheus, which is not installed")
        pytest.skip("no promtool here: it is in the Debian package prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_read_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", OPS / "prometheus" / "alerts.yml")
    promtool("check", "config", OPS / "prometheus" / "prometheus.yml")


def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file)


def test_alerts_go_off_when_they_should() -> None:
    promtool("test", "rules", OPS / "prometheus" / "alerts_test.yml")
