from __future__ import annotations

import base64
import copy
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.realtime.make import JSON, change_one_place, frame
from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.client_events import (
    MAX_APPEND_BASE64_CHARS,
    AppendAudio,
    ClientEvent,
    CreateItem,
    CreateResponse,
    RetrieveItem,
    UpdateSession,
    parse,
)
from voxtral_voice.realtime.fields import Problem, ProblemCode

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
CODES = get_args(ProblemCode)


def action(kind: str, **fields: Any) -> object:
    event = parse(frame(kind, **fields))
    assert isinstance(event, ClientEvent), event
    return event.action


def problem(text: str | bytes) -> Problem:
    found = parse(text)
    assert isinstance(found, Problem), found
    return found


# --- frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "param", "words"),
    [
        (b"\x00\x01", "invalid_event", None, "Binary frames"),
        ("", "invalid_json", None, "not valid JSON"),
        ("{", "invalid_json", None, "not valid JSON"),
        ('{"type": NaN}', "invalid_json", None, "not valid JSON"),
        ('{"type": 1e999}', "invalid_json", None, "infinity"),
        ("\ud800", "invalid_json", None, "not valid JSON"),
        ("[" * 100_000, "invalid_json", None, "depth"),
        ("[]", "invalid_event", None, "but this one is an array"),
        ("null", "invalid_event", None, "but this one is null"),
        ("{}", "missing_required_parameter", "type", "'type'"),
        ('{"type": 7}', "invalid_value", "type", "a string"),
        ('{"type": "input_audio_buffer.eat"}', "invalid_value", "type", "one of input_audio_buffer.append, "),
        ('{"type": "response.cancel", "event_id": 1}', "invalid_value", "event_id", "at most 512"),
        (frame("response.cancel", event_id="e" * 513), "invalid_value", "event_id", "at most 512"),
        (frame("output_audio_buffer.clear"), "invalid_value", "type", "WebRTC"),
    ],
)
def test_what_is_no_event(text: str | bytes, code: str, param: str | None, words: str) -> None:
    found = problem(text)
    assert (found.code, found.param) == (code, param)
    assert words in found.message
    assert found.client_event_id is None


def test_the_clients_event_id_comes_with_the_event_and_with_its_problem() -> None:
    assert parse(frame("response.cancel", event_id="e1")) == ClientEvent(ev.CancelReply(None), "e1")
    assert problem(frame("eat", event_id="e2")).client_event_id == "e2"


# --- audio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pcm", [b"", b"\x01", b"\x01\x02" * 480])
def test_append_gives_the_bytes(pcm: bytes) -> None:
    assert action("input_audio_buffer.append", audio=base64.b64encode(pcm).decode()) == AppendAudio(pcm)


@pytest.mark.parametrize("audio", ["AAA", "A A=", "AAAA\n", "AA-_", "ééé=", "===="])
def test_append_takes_strict_base64_only(audio: str) -> None:
    found = problem(frame("input_audio_buffer.append", audio=audio, event_id="e"))
    assert (found.code, found.param, found.client_event_id) == ("invalid_value", "audio", "e")
    assert "base64" in found.message


@pytest.mark.parametrize(("fields", "code"), [({}, "missing_required_parameter"), ({"audio": [0, 1]}, "invalid_value")])
def test_append_needs_audio(fields: dict[str, Any], code: str) -> None:
    found = problem(frame("input_audio_buffer.append", **fields))
    assert (found.code, found.param) == (code, "audio")


def test_15_mib_of_audio_pass_and_20_do_not() -> None:
    most = action("input_audio_buffer.append", audio="A" * MAX_APPEND_BASE64_CHARS)
    assert isinstance(most, AppendAudio)
    assert len(most.pcm) == 15 * 1024 * 1024
    found = problem(frame("input_audio_buffer.append", audio=base64.b64encode(bytes(20 * 1024 * 1024)).decode()))
    assert (found.code, found.param) == ("invalid_value", "audio")
    assert "at most 15 MiB of audio in one event, but got 20.0 MiB" in found.message


def test_the_buffer_events() -> None:
    assert action("input_audio_buffer.commit") == ev.CommitAudio()
    assert action("input_audio_buffer.clear") == ev.ClearAudio()


# --- items ------------------------------------------------------------------------------------------------------


def created(**item: Any) -> object:
    return action("conversation.item.create", item={"type": "message", **item})


def test_create_item() -> None:
    assert action("conversation.item.create", item=MESSAGE) == CreateItem(
        None, "user", "text", "Hello", "completed", None
    )
    assert action(
        "conversation.item.create", item={**MESSAGE, "id": "mine", "status": "incomplete"}, previous_item_id="root"
    ) == CreateItem("mine", "user", "text", "Hello", "incomplete", "root")


@pytest.mark.parametrize(
    ("role", "part", "modality"),
    [
        ("system", {"type": "input_text", "text": "words"}, "text"),
        ("user", {"type": "input_text", "text": "words"}, "text"),
        ("user", {"type": "input_audio", "audio": "AAAA", "transcript": "words"}, "audio"),
        ("assistant", {"type": "output_text", "text": "words"}, "text"),
        ("assistant", {"type": "output_audio", "audio": None, "transcript": "words"}, "audio"),
        ("assistant", {"type": "text", "text": "words"}, "text"),
        ("assistant", {"type": "audio", "transcript": "words"}, "audio"),
    ],
)
def test_every_kind_of_content(role: str, part: dict[str, Any], modality: str) -> None:
    item = created(role=role, content=[part])
    assert isinstance(item, CreateItem)
    assert (item.role, item.modality, item.text) == (role, modality, "words")


def test_several_parts_are_lines() -> None:
    parts = [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]
    item = created(role="user", content=parts)
    assert isinstance(item, CreateItem)
    assert item.text == "one\ntwo"


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (None, "missing_required_parameter", "item"),
        ("x", "invalid_value", "item"),
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "function_call_output", "call_id": "c", "output": "o"}, "invalid_value", "item.type"),
        ({**MESSAGE, "role": "developer"}, "invalid_value", "item.role"),
        ({**MESSAGE, "content": "Hello"}, "invalid_value", "item.content"),
        ({**MESSAGE, "content": ["Hello"]}, "invalid_value", "item.content[0]"),
        ({**MESSAGE, "content": [{"text": "Hello"}]}, "missing_required_parameter", "item.content[0].type"),
        ({**MESSAGE, "content": [{"type": "input_text"}]}, "missing_required_parameter", "item.content[0].text"),
        ({**MESSAGE, "content": [{"type": "input_image"}]}, "invalid_value", "item.content[0].type"),
        ({**MESSAGE, "content": [{"type": "output_text"}]}, "invalid_value", "item.content[0].type"),
        (
            {**MESSAGE, "content": [{"type": "input_audio", "audio": "AAAA"}]},
            "invalid_value",
            "item.content[0].transcript",
        ),
        ({**MESSAGE, "content": MESSAGE["content"] * 129}, "invalid_value", "item.content"),  # type: ignore[operator]
        ({**MESSAGE, "id": ""}, "invalid_value", "item.id"),
        ({**MESSAGE, "status": "done"}, "invalid_value", "item.status"),
    ],
)
def test_items_that_are_refused(item: object, code: str, param: str) -> None:
    found = problem(frame("conversation.item.create", item=item))
    assert (found.code, found.param) == (code, param)


def test_item_events() -> None:
    assert action("conversation.item.delete", item_id="a") == ev.DeleteItem("a")
    assert action("conversation.item.retrieve", item_id="a") == RetrieveItem("a")
    truncate = {"item_id": "a", "content_index": 0, "audio_end_ms": 1500.7}
    assert action("conversation.item.truncate", **truncate) == ev.TruncateItem("a", 1500)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"item_id": None}, "missing_required_parameter", "item_id"),
        ({"item_id": 7}, "invalid_value", "item_id"),
        ({"content_index": 1}, "invalid_value", "content_index"),
        ({"content_index": None}, "missing_required_parameter", "content_index"),
        ({"audio_end_ms": -1}, "invalid_value", "audio_end_ms"),
        ({"audio_end_ms": "10"}, "invalid_value", "audio_end_ms"),
        ({"audio_end_ms": 1e300}, "invalid_value", "audio_end_ms"),
    ],
)
def test_truncations_that_are_refused(change: dict[str, Any], code: str, param: str) -> None:
    fields = {"item_id": "a", "content_index": 0, "audio_end_ms": 10, **change}
    found = problem(frame("conversation.item.truncate", **fields))
    assert (found.code, found.param) == (code, param)


# --- replies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"response": None}, {"response": {}}, {"response": {"temperature": 0.8}}])
def test_create_response_without_wishes(fields: dict[str, Any]) -> None:
    assert action("response.create", **fields) == CreateResponse(ev.ReplyOptions(), None)


def test_create_response_with_all_wishes() -> None:
    response = {
        "instructions": "",
        "output_modalities": ["text"],
        "max_output_tokens": 7,
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": {"id": "marin"}}},
        "metadata": {"client_event_id": "e1"},
        "conversation": "auto",
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    assert action("response.create", response=response) == CreateResponse(
        ev.ReplyOptions(instructions="", voice="marin", modality="text", max_output_tokens=7),
        {"client_event_id": "e1"},
    )


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ([], ""),
        ({"conversation": "none"}, ".conversation"),
        ({"conversation": "other"}, ".conversation"),
        ({"input": []}, ".input"),
        ({"tools": [{"type": "function"}]}, ".tools"),
        ({"prompt": {"id": "p"}}, ".prompt"),
        ({"metadata": {str(i): "" for i in range(17)}}, ".metadata"),
        ({"metadata": {"k" * 65: ""}}, ".metadata"),
        ({"metadata": {"k": 1}}, ".metadata.k"),
        ({"metadata": {"k": "v" * 513}}, ".metadata.k"),
        ({"max_output_tokens": 5000}, ".max_output_tokens"),
        ({"audio": {"output": {"format": {"type": "audio/pcmu"}}}}, ".audio.output.format.type"),
        ({"tool_choice": "maybe"}, ".tool_choice"),
        ({"parallel_tool_calls": 1}, ".parallel_tool_calls"),
    ],
)
def test_responses_that_are_refused(response: object, param: str) -> None:
    found = problem(frame("response.create", response=response))
    assert (found.code, found.param) == ("invalid_value", f"response{param}")


@pytest.mark.parametrize("audio", [{"input": {}}, {"output": {"speed": 1}}])
def test_response_audio_is_strict(audio: dict[str, Any]) -> None:
    assert problem(frame("response.create", response={"audio": audio})).code == "unknown_parameter"


def test_cancel() -> None:
    assert action("response.cancel", response_id="r") == ev.CancelReply("r")
    assert problem(frame("response.cancel", response_id=1)).param == "response_id"


def test_session_update_hands_the_patch_on() -> None:
    assert action("session.update", session={"type": "realtime"}) == UpdateSession({"type": "realtime"})
    assert problem(frame("session.update")).param == "session"


# --- anything at all --------------------------------------------------------------------------------------------

VALID: list[dict[str, Any]] = [
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "session.update", "session": {"type": "realtime"}},
    {"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "root"},
    {"type": "conversation.item.delete", "item_id": "a"},
    {"type": "conversation.item.retrieve", "item_id": "a"},
    {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 1},
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "audio": {"output": {"voice": "marin"}}}},
    {"type": "response.cancel", "response_id": "r"},
]


def sane(text: str | bytes) -> None:
    found = parse(text)
    if isinstance(found, Problem):
        assert found.code in CODES
        assert 0 < len(found.message) < 2000
    else:
        assert isinstance(found, ClientEvent)


@given(st.text() | st.binary())
def test_random_frames_never_raise(text: str | bytes) -> None:
    sane(text)


@given(JSON)
def test_random_json_never_raises(value: Any) -> None:
    sane(orjson.dumps(value).decode())


@given(st.data())
def test_a_changed_event_never_raises(data: st.DataObject) -> None:
    event = copy.deepcopy(data.draw(st.sampled_from(VALID)))
    change_one_place(data.draw, event)
    sane(orjson.dumps(event).decode())
