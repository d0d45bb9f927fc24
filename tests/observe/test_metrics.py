from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from voxtral_voice.observe.metrics import LATENCY_BUCKETS_S, STAGE_BUCKETS_S, Metrics

NAMES = {
    "sessions": "gauge",
    "turns": "counter",
    "replies": "counter",
    "interruptions": "counter",
    "refusals": "counter",
    "engine_failures": "counter",
    "turn_latency_seconds": "histogram",
    "endpoint_latency_seconds": "histogram",
    "stage_latency_seconds": "histogram",
    "event_loop_lag_seconds": "gauge",
    "work_seconds": "counter",
    "ingest_cpu_seconds": "counter",
    "ingest_audio_seconds": "counter",
}
"""Dashboards are made with these."""


def test_the_names_that_an_operator_relies_on() -> None:
    families = list(text_string_to_metric_families(Metrics().text().decode()))
    kinds = {family.name.removeprefix("voxtral_voice_"): family.type for family in families}
    assert {name: kind for name, kind in kinds.items() if not name.endswith("_created")} == NAMES
    assert all(family.documentation.endswith(".") for family in families if not family.name.endswith("_created"))


def test_two_servers_do_not_add_up() -> None:
    one, other = Metrics(), Metrics()
    one.turns.inc()
    assert b"voxtral_voice_turns_total 1.0" in one.text()
    assert b"voxtral_voice_turns_total 0.0" in other.text()


@pytest.mark.parametrize(("buckets", "target_s"), [(LATENCY_BUCKETS_S, (0.35, 0.8)), (STAGE_BUCKETS_S, (0.05, 0.3))])
def test_buckets_rise_and_have_an_edge_at_each_target(buckets: tuple[float, ...], target_s: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
    assert set(target_s) <= set(buckets)
