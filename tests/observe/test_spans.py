from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.observe.test_trace import ENDED, TIMELINE
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.observe.spans import Span, Turn, turn_span

MODELS = {"transcriber": "whisper-base", "responder": "smollm", "speaker": "kokoro"}
TURN = Turn("sess_1", "item_1", ENDED, ended_at=11.5, spoken_from=8.5, models=MODELS)


def made(turn: Turn) -> Span:
    span = turn_span(turn)
    assert span is not None
    return span


def test_the_stages_stand_one_behind_the_other_and_fill_the_turn() -> None:
    span = made(TURN)
    assert [child.name for child in span.children] == [
        "speech",
        "silence",
        "speech_to_text whisper-base",
        "chat smollm",
        "chat smollm",
        "text_to_speech kokoro",
        "hold",
        "playout",
    ]
    assert (span.name, span.start, span.end) == ("invoke_agent voxtral_voice", 8.5, 11.5)
    ends = [span.start, *(child.end for child in span.children)]
    assert [child.start for child in span.children] == pytest.approx(ends[:-1])
    assert ends[-1] == span.end


def test_the_stages_are_named_as_in_the_metric() -> None:
    stages = [child.attributes["voxtral_voice.turn.stage"] for child in made(TURN).children]
    assert stages[1:-1] == [*TIMELINE.stages_ms()]


def test_a_turn_says_who_answered_and_how_it_ended() -> None:
    attributes = made(replace(TURN, reply=replace(ENDED, usage=ev.Usage(40, 9)))).attributes
    assert attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "voxtral_voice",
        "gen_ai.agent.name": "voxtral_voice",
        "gen_ai.conversation.id": "sess_1",
        "gen_ai.response.id": "resp_1",
        "gen_ai.request.model": "smollm",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.agent.invocation.end_reason": "completed",
        "voxtral_voice.turn.id": "item_1",
        "voxtral_voice.reply.status": "completed",
        "voxtral_voice.reply.audio_seconds": 0.96,
        "voxtral_voice.turn.latency_seconds": 0.41,
        "voxtral_voice.turn.endpoint_seconds": 0.4,
    }


def test_what_was_said_is_in_no_span() -> None:
    failed = replace(ENDED, status="failed", error='speaker: cannot say "It is a secret."')
    assert "secret" not in repr(made(TURN))
    assert "secret" not in repr(made(replace(TURN, reply=failed)))


@pytest.mark.parametrize(
    ("error", "engine"), [("speaker: it took too long", "speaker"), (None, "unknown"), ("", "unknown")]
)
def test_a_failure_names_the_engine(error: str | None, engine: str) -> None:
    span = made(replace(TURN, reply=replace(ENDED, status="failed", error=error)))
    assert span.error == engine
    assert span.attributes["error.type"] == engine
    assert span.attributes["gen_ai.agent.invocation.end_reason"] == "failed"


@pytest.mark.parametrize(
    ("status", "reason", "end"),
    [
        ("cancelled", "turn_detected", "interrupted"),
        ("cancelled", "client_cancelled", "interrupted"),
        ("incomplete", "max_output_tokens", "completed"),
    ],
)
def test_how_it_ended(status: Any, reason: Any, end: str) -> None:
    span = made(replace(TURN, reply=replace(ENDED, status=status, reason=reason)))
    assert span.attributes["gen_ai.agent.invocation.end_reason"] == end
    assert span.attributes["voxtral_voice.reply.reason"] == reason
    assert span.error is None


def test_stages_that_were_not_reached_or_took_no_time_are_left_out() -> None:
    timeline = Timeline(speech_end=10.0, tentative_end=10.1, transcript=10.1, commit=10.2)
    span = made(replace(TURN, spoken_from=None, reply=replace(ENDED, timeline=timeline)))
    assert [child.name for child in span.children] == ["silence"]
    assert span.start == 10.0


@pytest.mark.parametrize("timeline", [None, Timeline(), Timeline(commit=3.0)])
def test_no_spoken_turn_no_span(timeline: Timeline | None) -> None:
    assert turn_span(replace(TURN, reply=replace(ENDED, timeline=timeline))) is None


def test_an_engine_without_a_name_is_called_by_its_seam() -> None:
    span = made(replace(TURN, models={}))
    assert [child.name for child in span.children][2:6] == [
        "speech_to_text transcriber",
        "chat responder",
        "chat responder",
        "text_to_speech speaker",
    ]
