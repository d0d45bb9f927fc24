from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.parser import text_string_to_metric_families

import voxtral_voice
from voxtral_voice.observe.metrics import (
    LAG_BUCKETS_S,
    LATENCY_BUCKETS_S,
    PREFIX,
    STAGE_BUCKETS_S,
    Metrics,
    close_label,
)

SOURCE = Path(voxtral_voice.__file__).parent
KINDS = {"turn_latency_seconds": "histogram", "sessions": "gauge", "replies": "counter", "work_seconds": "counter"}


def families(metrics: Metrics) -> list[Metric]:
    """Without those that only say since when one counts."""
    read = text_string_to_metric_families(metrics.text().decode())
    return [family for family in read if not family.name.endswith("_created")]


def test_each_is_explained_in_a_sentence_and_named_as_the_others() -> None:
    ours = [family for family in families(Metrics()) if not family.name.startswith("process_")]
    assert all(family.name.startswith(PREFIX) for family in ours)
    assert all(family.documentation.endswith(".") for family in ours)
    assert all(not family.name.endswith(("_ms", "_minutes", "_mb", "_percent")) for family in ours)
    kinds = {family.name.removeprefix(PREFIX): family.type for family in ours}
    assert KINDS.items() <= kinds.items()


def test_the_process_is_measured_too() -> None:
    names = {family.name for family in families(Metrics())}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds"} <= names


def test_each_instrument_is_used_outside_this_file() -> None:
    """One that nobody counts would be a zero that looks like good news."""
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name != "metrics.py"]
    instruments = {name for name, it in vars(Metrics()).items() if isinstance(it, Counter | Gauge | Histogram)}
    used = {name for name in instruments if any(re.search(rf"metrics\.{name}\b", text) for text in texts)}
    assert instruments - used == set()


def test_two_servers_do_not_add_up() -> None:
    one, other = Metrics(), Metrics()
    one.turns.inc()
    assert b"voxtral_voice_turns_total 1.0" in one.text()
    assert b"voxtral_voice_turns_total 0.0" in other.text()


def test_a_gauge_may_be_asked_for_when_it_is_scraped() -> None:
    metrics, depth = Metrics(), [3.0]
    metrics.at_scrape("made_up_depth", "What waits.", "queue", lambda: [("out", depth[0])])
    assert b'voxtral_voice_made_up_depth{queue="out"} 3.0' in metrics.text()
    depth[0] = 5
    assert b'voxtral_voice_made_up_depth{queue="out"} 5.0' in metrics.text()


@pytest.mark.parametrize(
    ("code", "label"),
    [(1000, "1000"), (1013, "1013"), (1010, "other"), (3000, "application"), (4999, "application"), (-1, "other")],
)
def test_a_client_cannot_make_up_series_with_its_close_codes(code: int, label: str) -> None:
    assert close_label(code) == label


@pytest.mark.parametrize(
    ("buckets", "target_s"),
    [(LATENCY_BUCKETS_S, (0.35, 0.8)), (STAGE_BUCKETS_S, (0.05, 0.3)), (LAG_BUCKETS_S, (0.05,))],
)
def test_buckets_rise_and_have_an_edge_at_each_target(buckets: tuple[float, ...], target_s: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
    assert set(target_s) <= set(buckets)
