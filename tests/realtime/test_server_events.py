from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.realtime.make import counted_ids
from tests.realtime.oracle import RESPONSE_KEYS, read
from voxtral_voice.conversation.events import (
    CallItem,
    Entry,
    Item,
    OutputItem,
    Picture,
    ReplyEnded,
    ReplyStarted,
    SpokenBy,
    ToolCall,
    ToolOutput,
    Usage,
)
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.realtime.server_events import (
    ServerEvents,
    audio_delta_head,
    error_object,
    extra_object,
    item_object,
    opened_item_object,
    part_object,
    response_object,
    words_object,
)

STARTED = ReplyStarted("R", "A", "U", "audio", "af_heart", 50)


def ended(**changes: Any) -> ReplyEnded:
    fields = {"status": "completed", "reason": None, "text": "Hi", "audio_ms": 40, "error": None, "timeline": None}
    return ReplyEnded("R", **{**fields, **changes})


def test_every_event_has_its_own_id() -> None:
    events = ServerEvents(counted_ids())
    first, second = read(
        [events.encode("input_audio_buffer.cleared", {}), events.encode("input_audio_buffer.cleared", {})]
    )
    assert first == {"type": "input_audio_buffer.cleared", "event_id": "event_1"}
    assert second["event_id"] == "event_2"


def test_an_error_has_all_its_keys() -> None:
    events = ServerEvents(counted_ids())
    [event] = read([events.error("invalid_request_error", error_object("invalid_value", "No.", None, None))])
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "No.",
        "param": None,
        "event_id": None,
    }


def test_an_audio_delta_is_base64() -> None:
    place: JsonObject = {"response_id": 'R"1', "item_id": "A", "output_index": 0, "content_index": 0}
    [event] = read([ServerEvents(counted_ids()).audio_delta(audio_delta_head(place), b"\x00\x01\x02\x03")])
    assert event == {
        "type": "response.output_audio.delta",
        "event_id": "event_1",
        **place,
        "delta": base64.b64encode(b"\x00\x01\x02\x03").decode(),
    }


@pytest.mark.parametrize(
    ("item", "content"),
    [
        (Item("i", "system", "text", "x"), {"type": "input_text", "text": "x"}),
        (Item("i", "user", "text", "x"), {"type": "input_text", "text": "x"}),
        (Item("i", "user", "audio", None), {"type": "input_audio", "audio": None, "transcript": None}),
        (Item("i", "assistant", "text", "x"), {"type": "output_text", "text": "x"}),
        (Item("i", "assistant", "audio", "x"), {"type": "output_audio", "audio": None, "transcript": "x"}),
    ],
)
def test_the_content_of_items(item: Item, content: dict[str, Any]) -> None:
    assert item_object(item) == {
        "id": "i",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": item.role,
        "content": [content],
    }


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}


def test_pictures_stand_before_the_words() -> None:
    pictures = (Picture("data:image/png;base64,AAAA", "low"),)
    item = Item("i", "user", "text", "What is this?", "completed", pictures)
    assert item_object(item)["content"] == [PICTURE, {"type": "input_text", "text": "What is this?"}]
    item = Item("i", "user", "audio", None, "completed", pictures)
    assert item_object(item)["content"] == [PICTURE, {"type": "input_audio", "audio": None, "transcript": None}]
    assert item_object(Item("i", "user", "text", "", "completed", pictures))["content"] == [PICTURE]


def test_the_sound_of_an_item() -> None:
    content = item_object(Item("i", "user", "audio", "x"), "AAAA")["content"]
    assert content == [{"type": "input_audio", "audio": "AAAA", "transcript": "x"}]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            CallItem("i", ToolCall("c1", "weather", "{}"), "incomplete"),
            {"type": "function_call", "status": "incomplete", "call_id": "c1", "name": "weather", "arguments": "{}"},
        ),
        (
            OutputItem("i", ToolOutput("c1", "sunny")),
            {"type": "function_call_output", "status": "completed", "call_id": "c1", "output": "sunny"},
        ),
    ],
)
def test_calls_and_their_outputs(item: Entry, expected: dict[str, Any]) -> None:
    assert item_object(item) == {"id": "i", "object": "realtime.item", **expected}


def test_an_opened_item_has_no_content() -> None:
    assert opened_item_object(Item("i", "assistant", "audio", None, "in_progress"))["content"] == []


def test_parts_have_names_of_their_own() -> None:
    assert part_object("audio", "x") == {"type": "audio", "transcript": "x"}
    assert part_object("text", "x") == {"type": "text", "text": "x"}


def test_a_response_in_progress() -> None:
    response = response_object(STARTED, None, [], "conv", "audio/pcm", None)
    assert response == {
        "object": "realtime.response",
        "id": "R",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv",
        "output_modalities": ["audio"],
        "max_output_tokens": 50,
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "af_heart"}},
        "usage": None,
        "metadata": None,
    }


@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({}, None),
        (
            {"status": "cancelled", "reason": "turn_detected"},
            {"type": "cancelled", "reason": "turn_detected", "error": None},
        ),
        (
            {"status": "incomplete", "reason": "max_output_tokens"},
            {"type": "incomplete", "reason": "max_output_tokens", "error": None},
        ),
        (
            {"status": "failed", "error": "speaker: it broke"},
            {
                "type": "failed",
                "reason": None,
                "error": {"type": "server_error", "code": "engine_failed", "message": "speaker: it broke"},
            },
        ),
    ],
)
def test_a_response_that_ended(changes: dict[str, Any], details: dict[str, Any] | None) -> None:
    response = response_object(STARTED, ended(**changes), [], "conv", "audio/pcm", {"a": "b"})
    assert response.keys() == RESPONSE_KEYS
    assert response["status"] == changes.get("status", "completed")
    assert response["status_details"] == details
    assert response["metadata"] == {"a": "b"}


def test_a_response_beside_the_conversation_in_another_format() -> None:
    response = response_object(STARTED, None, [], None, "audio/pcmu", None)
    assert response["conversation_id"] is None
    assert response["audio"] == {"output": {"format": {"type": "audio/pcmu"}, "voice": "af_heart"}}


def test_usage_as_the_engine_counted_it() -> None:
    usage = response_object(STARTED, ended(usage=Usage(20, 7, 5)), [], "conv", "audio/pcm", None)["usage"]
    assert usage == {
        "total_tokens": 27,
        "input_tokens": 20,
        "output_tokens": 7,
        "input_token_details": {
            "text_tokens": 20,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": 5,
            "cached_tokens_details": {"text_tokens": 5, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 7, "audio_tokens": 0},
    }


def test_usage_is_full_and_claims_nothing() -> None:
    usage = response_object(STARTED, ended(), [], "conv", "audio/pcm", None)["usage"]
    assert usage == {
        "total_tokens": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "input_token_details": {
            "text_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
    }


def test_the_trace() -> None:
    timeline = Timeline(speech_end=1.0, tentative_end=1.1, commit=1.3, first_audio=1.25, first_sent=1.3)
    assert extra_object(ended(timeline=timeline)) == {
        "trace": {
            "stages_ms": {"silence": 100.0, "first_audio": 150.0, "hold": 50.0},
            "offsets_ms": {
                "speech_end": 0.0, "tentative_end": 100.0, "first_audio": 250.0, "commit": 300.0, "first_sent": 300.0,
            },
            "total_ms": 300.0,
            "endpoint_ms": 300.0,
        }
    }  # fmt: skip
    assert orjson.dumps(extra_object(ended(timeline=Timeline())))


@pytest.mark.parametrize(("language", "told"), [("hi", "hi"), ("", None)])
def test_which_voice_spoke_and_when_each_word_was_said(language: str, told: str | None) -> None:
    by = SpokenBy("af_heart", "hf_alpha", language, "language")
    assert extra_object(ended(by=by, words=(("Hi", 10.4, 199.6),))) == {
        "voice": {"asked": "af_heart", "used": "hf_alpha", "language": told, "why": "language"},
        "words": [{"word": "Hi", "start_ms": 10, "end_ms": 200}],
    }


def test_there_may_be_nothing_to_say_besides() -> None:
    assert extra_object(ended()) == {}
    assert words_object(()) == {}
