from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.observe.collector import PATIENCE_S, Collector, attributes, collecting
from tests.observe.test_spans import TURN, made
from tests.observe.test_trace import value
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.otlp import QUEUE, Exporter


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of this machine's; the libraries' own logger is as it was."""
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    libraries = logging.getLogger("opentelemetry")
    level = libraries.level
    yield
    libraries.setLevel(level)


pytestmark = pytest.mark.usefixtures("quiet")


def test_a_turn_arrives_as_a_trace_with_its_stages_at_the_time_of_day(collector: Collector) -> None:
    metrics = Metrics()
    exporter = Exporter(collector.url + "/", metrics, every_s=0.01)
    before = time.time()
    exporter(made(TURN), 20.0)  # on the session's clock, so that it ended 8.5 s ago
    exporter.close()
    root, *stages = collector.spans
    assert collector.paths == ["/v1/traces"]
    assert root.name == "invoke_agent voxtral_voice"
    assert root.end_time_unix_nano / 1e9 == pytest.approx(before - 8.5, abs=5)
    assert (root.end_time_unix_nano - root.start_time_unix_nano) / 1e9 == pytest.approx(3.0)
    assert [stage.name for stage in stages] == [child.name for child in made(TURN).children]
    assert {stage.trace_id for stage in stages} == {root.trace_id}
    assert {stage.parent_span_id for stage in stages} == {root.span_id}
    assert root.parent_span_id == b""
    assert attributes(root) == pytest.approx(dict(made(TURN).attributes))
    assert value(metrics, "traces_total", outcome="sent") == 1


def test_it_says_which_service_it_is_of(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k1")
    exporter = Exporter(collector.url, Metrics(), every_s=0.01)
    exporter(made(TURN), 20.0)
    exporter.close()
    resource = attributes(collector.requests[0].resource_spans[0].resource)
    assert resource["service.name"] == "voxtral-voice"
    assert {"service.version", "service.instance.id"} <= resource.keys()
    assert collector.headers[0]["x-key"] == "k1"


def test_each_turn_is_a_trace_of_its_own_and_a_failed_one_says_so(collector: Collector) -> None:
    exporter = Exporter(collector.url, Metrics(), every_s=0.01)
    exporter(replace(made(TURN), children=()), 20.0)
    exporter(replace(made(TURN), children=(), error="speaker"), 20.0)
    exporter.close()
    one, other = collector.spans
    assert one.trace_id != other.trace_id
    assert (one.status.code, other.status.code, other.status.message) == (0, 2, "speaker")


def test_a_collector_that_refuses_is_named_once_and_turns_are_counted_as_lost(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, log.ROOT)
    collector.answer = 400
    metrics = Metrics()
    exporter = Exporter(collector.url, metrics, every_s=0.01)
    for _ in range(2):
        collector.came.clear()
        exporter(made(TURN), 20.0)
        assert collector.came.wait(PATIENCE_S)
    exporter.close()
    assert [record.getMessage() for record in caplog.records] == ["traces_lost"]
    assert value(metrics, "traces_total", outcome="lost") == 2


def test_it_is_said_when_the_collector_takes_them_again(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    exporter = Exporter(collector.url, Metrics(), every_s=0.01)
    for answer in (400, 200):
        collector.answer = answer
        collector.came.clear()
        exporter(made(TURN), 20.0)
        assert collector.came.wait(PATIENCE_S)
        until(lambda: len(caplog.records) > 0)
    exporter.close()
    assert [record.getMessage() for record in caplog.records] == ["traces_lost", "traces_sent_again"]


def test_a_collector_that_hangs_holds_nobody_up(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue fills, what is too much is lost, and closing does not wait for it for long."""
    monkeypatch.setattr("voxtral_voice.observe.otlp.CLOSE_S", 0.05)
    collector.go_on.clear()
    metrics = Metrics()
    exporter = Exporter(collector.url, metrics, every_s=0.01)
    exporter(made(TURN), 20.0)
    assert collector.came.wait(PATIENCE_S)
    for _ in range(QUEUE + 3):
        exporter(made(TURN), 20.0)
    assert value(metrics, "traces_total", outcome="lost") == 3
    exporter.close()
    collector.go_on.set()
    exporter._turns.queue.clear()
    exporter._thread.join(PATIENCE_S)
    assert not exporter._thread.is_alive()


def test_nobody_listens_there(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again until the server stops."""
    monkeypatch.setattr("voxtral_voice.observe.otlp.CLOSE_S", 0.05)
    metrics = Metrics()
    exporter = Exporter(f"http://127.0.0.1:{unused_tcp_port}", metrics, every_s=0.01)
    exporter(made(TURN), 20.0)
    exporter.close()
    exporter._thread.join(PATIENCE_S)
    assert value(metrics, "traces_total", outcome="lost") == 1


def until(true: Any) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)
