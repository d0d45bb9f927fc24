from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.realtime.make import counted_ids
from tests.realtime.oracle import read
from voxtral_voice.conversation.events import Modality, ReplyEnded, ReplyStarted
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.reply_events import ReplyEvents
from voxtral_voice.realtime.server_events import ServerEvents

PLACE = {"response_id": "R", "item_id": "A", "output_index": 0, "content_index": 0}
OPENING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
CLOSING = ["response.content_part.done", "conversation.item.done", "response.output_item.done", "response.done"]


def reply(modality: Modality = "audio", metadata: dict[str, str] | None = None) -> ReplyEvents:
    started = ReplyStarted("R", "A", "U", modality, "af_heart", None)
    return ReplyEvents(ServerEvents(counted_ids()), started, "conv_1", metadata)


def ended(text: str = "Hello there.", **changes: Any) -> ReplyEnded:
    fields = {"status": "completed", "reason": None, "audio_ms": 40, "error": None, "timeline": None, "text": text}
    return ReplyEnded("R", **{**fields, **changes})


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_the_opening() -> None:
    created, output, item, part = events = read(reply(metadata={"a": "b"}).opening())
    assert kinds(events) == OPENING
    assert created["response"]["status"] == "in_progress"
    assert created["response"]["metadata"] == {"a": "b"}
    assert created["response"]["conversation_id"] == "conv_1"
    assert (output["item"]["status"], output["item"]["content"]) == ("in_progress", [])
    assert (item["previous_item_id"], item["item"]) == ("U", output["item"])
    assert part["part"] == {"type": "audio", "transcript": ""}


def test_a_text_reply_opens_a_text_part() -> None:
    assert read(reply("text").opening())[-1]["part"] == {"type": "text", "text": ""}


@pytest.mark.parametrize(
    ("modality", "kind"),
    [("audio", "response.output_audio_transcript.delta"), ("text", "response.output_text.delta")],
)
def test_text_deltas(modality: Modality, kind: str) -> None:
    [event] = read([reply(modality).text("Hello")])
    assert event == {"type": kind, "event_id": "event_1", **PLACE, "delta": "Hello"}


def test_audio_deltas() -> None:
    [event] = read([reply().audio(np.zeros(2, dtype=np.float32))])
    assert event == {"type": "response.output_audio.delta", "event_id": "event_1", **PLACE, "delta": "AAAAAA=="}


def test_a_spoken_reply_closes() -> None:
    events = read(reply().closing(ended()))
    assert kinds(events) == ["response.output_audio.done", "response.output_audio_transcript.done", *CLOSING]
    _, transcript, part, item, output, done = events
    assert transcript["transcript"] == "Hello there."
    assert part["part"] == {"type": "audio", "transcript": "Hello there."}
    assert item["item"]["status"] == "completed"
    assert item["item"]["content"] == [{"type": "output_audio", "audio": None, "transcript": "Hello there."}]
    assert output["item"] == item["item"]
    assert done["response"]["output"] == [item["item"]]
    assert done["response"]["status"] == "completed"
    assert "voxtral_voice" not in done


def test_a_text_reply_closes() -> None:
    events = read(reply("text").closing(ended()))
    assert kinds(events) == ["response.output_text.done", *CLOSING]
    assert events[0]["text"] == "Hello there."
    assert events[2]["item"]["content"] == [{"type": "output_text", "text": "Hello there."}]


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_reply_cut_off_closes_the_same_way(status: str) -> None:
    events = read(reply().closing(ended("", status=status)))
    assert kinds(events)[2:] == CLOSING
    assert events[-1]["response"]["status"] == status
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_the_timeline_goes_with_response_done() -> None:
    done = read(reply().closing(ended(timeline=Timeline(speech_end=1.0, commit=1.2, first_sent=1.25))))[-1]
    assert done["voxtral_voice"]["trace"]["total_ms"] == 250.0
    assert done["voxtral_voice"]["trace"]["endpoint_ms"] == 200.0
