from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.trace import observe

TIMELINE = Timeline(
    speech_end=10.0,
    tentative_end=10.1,
    transcript=10.25,
    first_token=10.3,
    first_phrase=10.32,
    first_audio=10.36,
    commit=10.4,
    first_sent=10.41,
)
ENDED = ev.ReplyEnded("resp_1", "completed", None, "It is a secret.", 960, None, TIMELINE)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"voxtral_voice_{name}", labels) or 0.0


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, log.ROOT)
    return caplog


def fields(lines: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Of the one line that was logged."""
    [record] = lines.records
    assert (record.levelname, record.getMessage()) == ("INFO", "reply_ended")
    logged: dict[str, Any] = record.__dict__["fields"]
    return logged


def test_a_turn_is_one_line_whose_stages_sum_to_it(lines: pytest.LogCaptureFixture) -> None:
    observe(ENDED, Metrics())
    logged = fields(lines)
    assert logged["total_ms"] == 410.0
    assert logged["endpoint_ms"] == 400.0
    stages = ("silence", "transcript", "first_token", "first_phrase", "first_audio", "hold")
    assert sum(logged[f"{stage}_ms"] for stage in stages) == pytest.approx(410.0)
    assert (logged["reply"], logged["status"], logged["audio_ms"]) == ("resp_1", "completed", 960)


def test_what_was_said_is_not_logged(lines: pytest.LogCaptureFixture) -> None:
    observe(ENDED, Metrics())
    observe(ev.TranscriptDone("item_1", "It is a secret.", 1.0), Metrics())
    observe(ev.ReplyTextDelta("resp_1", "It is a secret."), Metrics())
    assert "secret" not in str([record.__dict__ for record in lines.records])


def test_the_latencies_are_measured_in_seconds(lines: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    observe(ENDED, metrics)
    assert value(metrics, "turn_latency_seconds_sum") == pytest.approx(0.41)
    assert value(metrics, "endpoint_latency_seconds_sum") == pytest.approx(0.4)
    assert value(metrics, "stage_latency_seconds_sum", stage="transcript") == pytest.approx(0.15)
    assert value(metrics, "stage_latency_seconds_count", stage="hold") == 1


@pytest.mark.parametrize(
    "timeline", [None, Timeline(), Timeline(speech_end=10.0, commit=10.4), replace(TIMELINE, first_sent=None)]
)
def test_a_reply_that_was_never_heard_has_no_latency(
    lines: pytest.LogCaptureFixture, timeline: Timeline | None
) -> None:
    metrics = Metrics()
    observe(replace(ENDED, timeline=timeline), metrics)
    assert fields(lines)["total_ms"] is None
    assert value(metrics, "turn_latency_seconds_count") == 0
    assert value(metrics, "endpoint_latency_seconds_count") == 0
    assert value(metrics, "replies_total", status="completed") == 1


@pytest.mark.parametrize(
    ("status", "reason", "interruptions"),
    [("cancelled", "turn_detected", 1), ("cancelled", "client_cancelled", 0), ("failed", None, 0)],
)
def test_how_replies_end_is_counted(
    lines: pytest.LogCaptureFixture, status: Any, reason: Any, interruptions: int
) -> None:
    metrics = Metrics()
    observe(replace(ENDED, status=status, reason=reason, error="speaker: x"), metrics)
    assert value(metrics, "replies_total", status=status) == 1
    assert value(metrics, "interruptions_total") == interruptions
    assert fields(lines)["error"] == "speaker: x"


def test_turns_and_refusals_are_counted(lines: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    observe(ev.AudioCommitted(ev.Item("item_1", "user", "audio", None), None), metrics)
    observe(ev.Refused("response_cancel_not_active", "no"), metrics)
    observe(ev.SpeechStarted("item_1", 0), metrics)
    assert value(metrics, "turns_total") == 1
    assert value(metrics, "refusals_total", code="response_cancel_not_active") == 1
    assert lines.records == []


@pytest.mark.parametrize(("usage", "tokens"), [(None, (None, None)), (ev.Usage(40, 9, 30), (40, 9))])
def test_tokens_are_logged_when_they_are_known(
    lines: pytest.LogCaptureFixture, usage: ev.Usage | None, tokens: tuple[int | None, int | None]
) -> None:
    metrics = Metrics()
    observe(replace(ENDED, usage=usage), metrics)
    assert (fields(lines)["input_tokens"], fields(lines)["output_tokens"]) == tokens
    counted = (value(metrics, "tokens_total", direction="input"), value(metrics, "tokens_total", direction="output"))
    assert counted == tuple(count or 0 for count in tokens)


def test_what_became_of_prepared_answers_is_counted(lines: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    for outcome in ("begun", "dropped", "begun", "kept"):
        observe(ev.Speculated(outcome, "It is a secret."), metrics)
    assert value(metrics, "speculations_total", outcome="begun") == 2
    assert value(metrics, "speculations_total", outcome="kept") == 1
    assert lines.records == []


def test_a_reply_is_logged_with_the_turn_that_it_answers(lines: pytest.LogCaptureFixture) -> None:
    observe(ENDED, Metrics(), "item_1")
    assert fields(lines)["turn"] == "item_1"
