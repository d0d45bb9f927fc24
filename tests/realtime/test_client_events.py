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
    AppendAudio,
    ClientEvent,
    CreateItem,
    CreateResponse,
    RetrieveItem,
    UpdateSession,
    parse,
)
from voxtral_voice.realtime.fields import MAX_AUDIO_CHARS, Problem, ProblemCode
from voxtral_voice.realtime.items import NewItem

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
    most = action("input_audio_buffer.append", audio="A" * MAX_AUDIO_CHARS)
    assert isinstance(most, AppendAudio)
    assert len(most.audio) == 15 * 1024 * 1024
    found = problem(frame("input_audio_buffer.append", audio=base64.b64encode(bytes(20 * 1024 * 1024)).decode()))
    assert (found.code, found.param) == ("invalid_value", "audio")
    assert "at most 15 MiB of audio in one event, but got 20.0 MiB" in found.message


def test_the_buffer_events() -> None:
    assert action("input_audio_buffer.commit") == ev.CommitAudio()
    assert action("input_audio_buffer.clear") == ev.ClearAudio()


# --- items ------------------------------------------------------------------------------------------------------


def test_create_item() -> None:
    item = ev.Item("", "user", "text", "Hello")
    assert action("conversation.item.create", item=MESSAGE) == CreateItem(NewItem(item), None)
    assert action("conversation.item.create", item=MESSAGE, previous_item_id="root") == CreateItem(
        NewItem(item), "root"
    )


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"item": None}, "missing_required_parameter", "item"),
        ({"item": {**MESSAGE, "role": "developer"}}, "invalid_value", "item.role"),
        ({"item": MESSAGE, "previous_item_id": ""}, "invalid_value", "previous_item_id"),
    ],
)
def test_items_that_are_refused(fields: dict[str, Any], code: str, param: str) -> None:
    found = problem(frame("conversation.item.create", **fields))
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


@pytest.mark.parametrize("fields", [{}, {"response": None}, {"response": {}}, {"response": {"conversation": None}}])
def test_create_response_without_wishes(fields: dict[str, Any]) -> None:
    assert action("response.create", **fields) == CreateResponse()


def test_what_means_nothing_to_a_response_is_named() -> None:
    response = {"temperature": 0.8, "voice": "alloy", "commentary": None}
    wishes = action("response.create", response=response)
    assert wishes == CreateResponse(ignored=("response.temperature", "response.voice"))


def test_create_response_with_all_wishes() -> None:
    response = {
        "instructions": "",
        "output_modalities": ["text"],
        "max_output_tokens": 7,
        "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "marin"}}},
        "metadata": {"client_event_id": "e1"},
        "conversation": "none",
        "tools": [{"type": "function", "name": "now", "description": "The time.", "parameters": {}}],
        "tool_choice": {"type": "function", "name": "now"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "prompt": None,
        "input": [MESSAGE, {"type": "item_reference", "id": "item_1"}],
    }
    assert action("response.create", response=response) == CreateResponse(
        ev.ReplyOptions(
            instructions="",
            voice="marin",
            modality="text",
            max_output_tokens=7,
            tools=(ev.Tool("now", "The time.", "{}"),),
            tool_choice=ev.NamedTool("now"),
            parallel_tool_calls=False,
            aside=True,
            input=(("user", "Hello"), ev.ItemReference("item_1")),
            audio_format="audio/pcmu",
        ),
        {"client_event_id": "e1"},
    )


def test_no_limit_is_another_thing_than_the_session_s() -> None:
    for most, wanted in (("inf", ev.UNLIMITED), (None, None), (7, 7)):
        create = action("response.create", response={"max_output_tokens": most})
        assert create == CreateResponse(ev.ReplyOptions(max_output_tokens=wanted))


def test_no_input_is_another_thing_than_an_empty_one() -> None:
    assert action("response.create", response={"input": []}) == CreateResponse(ev.ReplyOptions(input=()))
    assert action("response.create", response={"input": None}) == CreateResponse()


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ([], ""),
        ({"conversation": "other"}, ".conversation"),
        ({"input": {}}, ".input"),
        ({"input": [MESSAGE] * 1025}, ".input"),
        ({"input": [MESSAGE, {"type": "letter"}]}, ".input[1].type"),
        ({"tools": [{"type": "mcp"}]}, ".tools[0].type"),
        ({"prompt": {"id": "p"}}, ".prompt"),
        ({"metadata": {str(i): "" for i in range(17)}}, ".metadata"),
        ({"metadata": {"k" * 65: ""}}, ".metadata"),
        ({"metadata": {"k": 1}}, ".metadata.k"),
        ({"metadata": {"k": "v" * 513}}, ".metadata.k"),
        ({"max_output_tokens": 5000}, ".max_output_tokens"),
        ({"audio": {"output": {"format": {"type": "audio/opus"}}}}, ".audio.output.format.type"),
        ({"tool_choice": "maybe"}, ".tool_choice"),
        ({"parallel_tool_calls": 1}, ".parallel_tool_calls"),
        ({"reasoning": {"effort": 1}}, ".reasoning.effort"),
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
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message", "role": "user", "id": "mine",
            "content": [
                {"type": "input_audio", "audio": "AAAA"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            ],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "call_id": "c", "name": "now", "arguments": "{}"},
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "noon"}},
    {"type": "conversation.item.delete", "item_id": "a"},
    {"type": "conversation.item.retrieve", "item_id": "a"},
    {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 1},
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "audio": {"output": {"voice": "marin"}}}},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "input": [MESSAGE, {"type": "item_reference", "id": "a"}],
            "tools": [{"type": "function", "name": "now", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "now"},
        },
    },
    {"type": "response.cancel", "response_id": "r"},
]  # fmt: skip


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
