from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from voxtral_voice.top.scrape import Scrape, quantile

TEXT = """# TYPE voxtral_voice_turns counter
voxtral_voice_turns_total 7.0
# TYPE voxtral_voice_work_seconds counter
voxtral_voice_work_seconds_total{engine="speaker",outcome="used"} 2.5
voxtral_voice_work_seconds_total{engine="speaker",outcome="dropped"} 0.5
voxtral_voice_work_seconds_total{engine="responder",outcome="used"} 4.0
# TYPE process_open_fds gauge
process_open_fds 12.0
"""


def test_values_are_summed_over_the_labels_that_are_not_named() -> None:
    scrape = Scrape(TEXT)
    assert scrape.value("turns_total") == 7
    assert scrape.value("process_open_fds") == 12
    assert scrape.value("work_seconds_total", engine="speaker") == 3
    assert scrape.value("work_seconds_total", outcome="used") == 6.5
    assert scrape.value("never_counted_total") == 0
    assert scrape.by("work_seconds_total", "engine") == {"responder": 4, "speaker": 3}
    assert scrape.by("work_seconds_total", "outcome", engine="speaker") == {"dropped": 0.5, "used": 2.5}
    assert scrape.has("turns_total")
    assert not scrape.has("never_counted_total")


def test_what_was_counted_meanwhile() -> None:
    later = Scrape(TEXT.replace("7.0", "9.0").replace('engine="responder"', 'engine="transcriber"'))
    meanwhile = later.since(Scrape(TEXT))
    assert meanwhile.value("turns_total") == 2
    assert meanwhile.by("work_seconds_total", "engine") == {"speaker": 0, "transcriber": 4}


def test_a_server_that_was_started_again_has_counted_all_of_it_meanwhile() -> None:
    assert Scrape(TEXT.replace("7.0", "3.0")).since(Scrape(TEXT)).value("turns_total") == 3


@pytest.mark.parametrize("text", ["<html>", "voxtral_voice_turns_total many\n", "x{"])
def test_what_is_no_such_text(text: str) -> None:
    with pytest.raises(ValueError, match="no text of metrics"):
        Scrape(text)


def test_quantiles_of_what_prometheus_client_writes() -> None:
    registry = CollectorRegistry()
    latency = Histogram("voxtral_voice_wait_seconds", "x", ["stage"], buckets=(0.1, 0.2, 0.4), registry=registry)
    Counter("voxtral_voice_other", "x", registry=registry).inc()
    for seconds in (0.05, 0.15, 0.15, 0.3):
        latency.labels("a").observe(seconds)
    latency.labels("b").observe(9.0)
    scrape = Scrape(generate_latest(registry).decode())
    buckets = scrape.buckets("wait_seconds", stage="a")
    assert buckets == [(0.1, 1), (0.2, 3), (0.4, 4), (float("inf"), 4)]
    assert quantile(0.5, buckets) == pytest.approx(0.15)
    assert quantile(1.0, buckets) == pytest.approx(0.4)
    assert quantile(0.95, scrape.buckets("wait_seconds", stage="b")) == pytest.approx(0.4)
    assert quantile(0.5, scrape.buckets("wait_seconds", stage="c")) is None
    assert quantile(0.5, [(0.1, 0.0), (float("inf"), 0.0)]) is None
