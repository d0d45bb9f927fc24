from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from tests.realtime.make import counted_ids
from tests.realtime.oracle import read
from voxtral_voice.conversation.events import Modality, ReplyCallStarted, ReplyEnded, ReplyStarted
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.audio_formats import FormatName
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


def reply(
    modality: Modality = "audio",
    metadata: dict[str, str] | None = None,
    *,
    item_id: str | None = "A",
    conversation_id: str | None = "conv_1",
    output_format: FormatName = "audio/pcm",
) -> ReplyEvents:
    started = ReplyStarted("R", item_id, "U", modality, "af_heart", None)
    return ReplyEvents(ServerEvents(counted_ids()), started, conversation_id, output_format, metadata)


def opened(modality: Modality = "audio", **wishes: Any) -> ReplyEvents:
    open_reply = reply(modality, **wishes)
    open_reply.opening()
    return open_reply


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
    [event] = read([opened(modality).text("Hello")])
    assert event == {"type": kind, "event_id": "event_5", **PLACE, "delta": "Hello"}


def test_words_come_with_their_times_where_they_are_known() -> None:
    [event] = read([opened().text("Hello there.", (("Hello", 10.2, 319.8), ("there.", 320.0, 700.0)))])
    assert event["voxtral_voice"] == {
        "words": [
            {"word": "Hello", "start_ms": 10, "end_ms": 320},
            {"word": "there.", "start_ms": 320, "end_ms": 700},
        ]
    }


def test_audio_deltas() -> None:
    [event] = read(opened().audio(np.zeros(2, dtype=np.float32)))
    assert event == {"type": "response.output_audio.delta", "event_id": "event_5", **PLACE, "delta": "AAAAAA=="}


def test_a_spoken_reply_closes() -> None:
    events = read(opened().closing(ended()))
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
    events = read(opened("text").closing(ended()))
    assert kinds(events) == ["response.output_text.done", *CLOSING]
    assert events[0]["text"] == "Hello there."
    assert events[2]["item"]["content"] == [{"type": "output_text", "text": "Hello there."}]


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_reply_cut_off_closes_the_same_way(status: str) -> None:
    events = read(opened().closing(ended("", status=status)))
    assert kinds(events)[2:] == CLOSING
    assert events[-1]["response"]["status"] == status
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_the_timeline_goes_with_response_done() -> None:
    done = read(opened().closing(ended(timeline=Timeline(speech_end=1.0, commit=1.2, first_sent=1.25))))[-1]
    assert done["voxtral_voice"]["trace"]["total_ms"] == 250.0
    assert done["voxtral_voice"]["trace"]["endpoint_ms"] == 200.0


# --- formats ----------------------------------------------------------------------------------------------------


def test_audio_in_the_format_of_the_reply() -> None:
    telephone = reply(output_format="audio/pcmu")
    created = read(telephone.opening())[0]["response"]
    assert created["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    [event] = read(telephone.audio(np.zeros(24, dtype=np.float32)))
    assert event["delta"] == base64.b64encode(b"\xff" * 8).decode()


def test_no_event_without_sound() -> None:
    telephone = opened(output_format="audio/pcma")
    sounds = [telephone.audio(np.zeros(1, dtype=np.float32)) for _ in range(3)]
    assert [len(read(frames)) for frames in sounds] == [1, 0, 0]


# --- calls ------------------------------------------------------------------------------------------------------

CALL_OPENING = ["response.output_item.added", "conversation.item.added"]
CALL_CLOSING = ["response.function_call_arguments.done", "conversation.item.done", "response.output_item.done"]


def calling(item_id: str = "C", after: str | None = "U") -> ReplyCallStarted:
    return ReplyCallStarted("R", item_id, after, f"call_{item_id}", "weather")


def test_a_reply_that_only_calls() -> None:
    tool = reply(item_id=None)
    assert kinds(read(tool.opening())) == ["response.created"]
    output, item = events = read(tool.call(calling()))
    assert kinds(events) == CALL_OPENING
    assert (output["output_index"], item["previous_item_id"], item["item"]) == (0, "U", output["item"])
    assert output["item"] == {
        "id": "C", "object": "realtime.item", "type": "function_call", "status": "in_progress",
        "call_id": "call_C", "name": "weather", "arguments": "",
    }  # fmt: skip
    deltas = read([tool.arguments("C", '{"city": '), tool.arguments("C", '"Paris"}')])
    place = {"response_id": "R", "item_id": "C", "output_index": 0, "call_id": "call_C"}
    assert deltas[0] == {
        "type": "response.function_call_arguments.delta", "event_id": "event_4", **place, "delta": '{"city": ',
    }  # fmt: skip
    arguments, item, output = events = read(tool.call_ended("C"))
    assert kinds(events) == CALL_CLOSING
    said = {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert arguments == {
        "type": "response.function_call_arguments.done", "event_id": "event_6", **place, **said,
    }  # fmt: skip
    assert item["item"] == output["item"]
    assert {**output["item"], **said, "status": "completed"} == output["item"]
    [done] = read(tool.closing(ended("")))
    assert done["response"]["output"] == [output["item"]]


def test_words_and_two_calls_are_numbered_as_they_begin() -> None:
    tool = reply(item_id=None)
    events = read([*tool.opening(), *tool.message("A", "U"), tool.text("One moment.")])
    events += read([*tool.call(calling("C", "A")), *tool.call_ended("C"), *tool.call(calling("D", "C"))])
    events += read([*tool.audio(np.zeros(2, dtype=np.float32)), tool.arguments("D", "{}"), *tool.call_ended("D")])
    events += read(tool.closing(ended("One moment.")))
    assert kinds(events[:4]) == OPENING
    indexes = {
        event["item"]["id"]: event["output_index"] for event in events if "output_index" in event and "item" in event
    }
    assert indexes == {"A": 0, "C": 1, "D": 2}
    message, *calls = events[-1]["response"]["output"]
    assert message["content"] == [{"type": "output_audio", "audio": None, "transcript": "One moment."}]
    assert [(call["id"], call["arguments"], call["status"]) for call in calls] == [
        ("C", "", "completed"), ("D", "{}", "completed"),
    ]  # fmt: skip
    assert kinds(events)[-6:] == ["response.output_audio.done", "response.output_audio_transcript.done", *CLOSING]


def test_words_may_come_behind_a_call() -> None:
    tool = reply(item_id=None)
    events = read([*tool.opening(), *tool.call(calling()), *tool.call_ended("C"), *tool.message("A", "C")])
    events += read([tool.text("Done."), *tool.closing(ended("Done."))])
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["function_call", "message"]
    assert [event["output_index"] for event in events if event["type"] == "response.content_part.added"] == [1]


def test_a_call_that_is_cut_off_is_not_done_but_incomplete() -> None:
    """A client that runs its tool when the arguments are done does not run this one."""
    tool = opened(item_id=None)
    tool.call(calling())
    tool.arguments("C", '{"ci')
    item, output, done = events = read(tool.closing(ended("", status="cancelled", reason="client_cancelled")))
    assert kinds(events) == ["conversation.item.done", "response.output_item.done", "response.done"]
    assert (item["item"]["status"], item["item"]["arguments"]) == ("incomplete", '{"ci')
    assert done["response"]["output"] == [output["item"]] == [item["item"]]


def test_a_reply_that_came_to_nothing_has_no_output() -> None:
    events = read(opened(item_id=None).closing(ended("", status="failed", error="responder: it broke")))
    assert kinds(events) == ["response.done"]
    assert events[0]["response"]["output"] == []


# --- beside the conversation ------------------------------------------------------------------------------------


def test_a_reply_beside_the_conversation_adds_no_items_to_it() -> None:
    aside = reply("text", conversation_id=None)
    events = read([*aside.opening(), aside.text("Yes."), *aside.call(calling()), *aside.call_ended("C")])
    events += read(aside.closing(ended("Yes.")))
    assert not any(kind.startswith("conversation.") for kind in kinds(events))
    assert events[0]["response"]["conversation_id"] is events[-1]["response"]["conversation_id"] is None
    assert [item["id"] for item in events[-1]["response"]["output"]] == ["A", "C"]
