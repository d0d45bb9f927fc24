from __future__ import annotations

import base64
from typing import Any

import pytest

from voxtral_voice.conversation.events import (
    CallItem,
    Item,
    ItemReference,
    OutputItem,
    Picture,
    ToolCall,
    ToolOutput,
)
from voxtral_voice.realtime.fields import FieldError, Problem
from voxtral_voice.realtime.items import MAX_PICTURE_CHARS, NewItem, new_item, response_input

MESSAGE: dict[str, Any] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'}
OUTPUT: dict[str, Any] = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
PNG = "data:image/png;base64," + base64.b64encode(b"a picture").decode()


def made(**fields: Any) -> NewItem:
    return new_item({**MESSAGE, **fields}, "item")


def problem(value: Any, check: Any = new_item) -> Problem:
    with pytest.raises(FieldError) as caught:
        check(value, "item")
    return caught.value.problem


# --- messages ---------------------------------------------------------------------------------------------------


def test_a_message() -> None:
    assert made() == NewItem(Item("", "user", "text", "Hello"))
    assert made(status="in_progress").entry == Item("", "user", "text", "Hello", "completed")
    assert made(id="mine", status="incomplete").entry == Item("mine", "user", "text", "Hello", "incomplete")


def test_ids_of_clients_may_be_long() -> None:
    assert made(id="i" * 512).entry.id == "i" * 512


@pytest.mark.parametrize(
    ("role", "part", "modality"),
    [
        ("system", {"type": "input_text", "text": "words"}, "text"),
        ("user", {"type": "input_text", "text": "words"}, "text"),
        ("user", {"type": "input_audio", "transcript": "words"}, "audio"),
        ("assistant", {"type": "output_text", "text": "words"}, "text"),
        ("assistant", {"type": "output_audio", "audio": None, "transcript": "words"}, "audio"),
        ("assistant", {"type": "text", "text": "words"}, "text"),
        ("assistant", {"type": "audio", "transcript": "words"}, "audio"),
        ("assistant", {"type": "input_text", "text": "words"}, "text"),
    ],
)
def test_every_kind_of_content(role: Any, part: dict[str, Any], modality: Any) -> None:
    assert made(role=role, content=[part]) == NewItem(Item("", role, modality, "words"))


def test_several_parts_are_lines() -> None:
    parts = [{"type": "input_text", "text": "one"}, {"type": "input_audio", "transcript": "two"}]
    assert made(content=parts).entry == Item("", "user", "audio", "one\ntwo")


def test_a_message_without_content() -> None:
    assert made(content=[]).entry == Item("", "user", "text", "")


# --- sound ------------------------------------------------------------------------------------------------------


def test_audio_with_its_transcript() -> None:
    part = {"type": "input_audio", "audio": "AAEC", "transcript": "words"}
    assert made(content=[part]) == NewItem(Item("", "user", "audio", "words"), b"\x00\x01\x02")
    part = {"type": "output_audio", "audio": "AAEC", "transcript": "words"}
    assert made(role="assistant", content=[part]).sound == b"\x00\x01\x02"


@pytest.mark.parametrize("transcript", [{}, {"transcript": None}])
def test_audio_whose_words_have_to_be_found(transcript: dict[str, Any]) -> None:
    part = {"type": "input_audio", "audio": "AAEC", **transcript}
    assert made(content=[part]) == NewItem(Item("", "user", "audio", None), b"\x00\x01\x02")


def test_a_picture_beside_audio_whose_words_have_to_be_found() -> None:
    parts = [{"type": "input_image", "image_url": PNG}, {"type": "input_audio", "audio": "AAEC"}]
    assert made(content=parts).entry == Item("", "user", "audio", None, "completed", (Picture(PNG),))


# --- pictures ---------------------------------------------------------------------------------------------------


def test_a_picture_and_words() -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PNG, "detail": "low"},
    ]
    assert made(content=parts).entry == Item("", "user", "text", "What is this?", "completed", (Picture(PNG, "low"),))


@pytest.mark.parametrize("kind", ["png", "jpeg", "jpg", "webp", "gif"])
def test_kinds_of_pictures(kind: str) -> None:
    url = f"data:image/{kind};base64,AAAA"
    item = made(content=[{"type": "input_image", "image_url": url}]).entry
    assert item == Item("", "user", "text", "", "completed", (Picture(url, "auto"),))


@pytest.mark.parametrize(
    ("part", "code", "key"),
    [
        ({}, "missing_required_parameter", ".image_url"),
        ({"image_url": "https://example.com/a.png"}, "invalid_value", ".image_url"),
        ({"image_url": "file:///etc/passwd"}, "invalid_value", ".image_url"),
        ({"image_url": "data:text/html;base64,AAAA"}, "invalid_value", ".image_url"),
        ({"image_url": "data:image/png;base64,A"}, "invalid_value", ".image_url"),
        ({"image_url": "data:image/png;base64," + "A" * MAX_PICTURE_CHARS}, "invalid_value", ".image_url"),
        ({"image_url": PNG, "detail": "huge"}, "invalid_value", ".detail"),
    ],
)
def test_pictures_that_are_refused(part: dict[str, Any], code: str, key: str) -> None:
    found = problem({**MESSAGE, "content": [{"type": "input_image", **part}]})
    assert (found.code, found.param) == (code, f"item.content[0]{key}")


def test_pictures_have_a_size_together() -> None:
    part = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * (MAX_PICTURE_CHARS // 2)}
    found = problem({**MESSAGE, "content": [part, part]})
    assert (found.code, found.param) == ("invalid_value", "item.content")


# --- tools ------------------------------------------------------------------------------------------------------


def test_a_call_and_its_output() -> None:
    assert new_item(CALL, "item") == NewItem(CallItem("", ToolCall("c1", "weather", '{"city": "Paris"}')))
    assert new_item({**OUTPUT, "id": "mine"}, "item") == NewItem(OutputItem("mine", ToolOutput("c1", "sunny")))
    assert new_item({**OUTPUT, "output": ""}, "item").entry == OutputItem("", ToolOutput("c1", ""))


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ("x", "invalid_value", "item"),
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "letter"}, "invalid_value", "item.type"),
        ({"type": "mcp_call"}, "invalid_value", "item.type"),
        ({**MESSAGE, "role": "developer"}, "invalid_value", "item.role"),
        ({**MESSAGE, "content": "Hello"}, "invalid_value", "item.content"),
        ({**MESSAGE, "content": ["Hello"]}, "invalid_value", "item.content[0]"),
        ({**MESSAGE, "content": [{"text": "Hello"}]}, "missing_required_parameter", "item.content[0].type"),
        ({**MESSAGE, "content": [{"type": "input_text"}]}, "missing_required_parameter", "item.content[0].text"),
        ({**MESSAGE, "content": [{"type": "output_text"}]}, "invalid_value", "item.content[0].type"),
        (
            {**MESSAGE, "role": "assistant", "content": [{"type": "output_audio", "audio": "AAAA"}]},
            "missing_required_parameter",
            "item.content[0].transcript",
        ),
        (
            {**MESSAGE, "content": [{"type": "input_audio"}]},
            "missing_required_parameter",
            "item.content[0].transcript",
        ),
        (
            {**MESSAGE, "content": [{"type": "input_audio", "audio": ""}]},
            "missing_required_parameter",
            "item.content[0].transcript",
        ),
        ({**MESSAGE, "content": [{"type": "input_audio", "audio": "A"}]}, "invalid_value", "item.content[0].audio"),
        (
            {**MESSAGE, "content": [*MESSAGE["content"], {"type": "input_audio", "audio": "AAAA"}]},
            "invalid_value",
            "item.content",
        ),
        ({**MESSAGE, "content": MESSAGE["content"] * 129}, "invalid_value", "item.content"),
        ({**MESSAGE, "id": ""}, "invalid_value", "item.id"),
        ({**MESSAGE, "id": "i" * 513}, "invalid_value", "item.id"),
        ({**MESSAGE, "status": "done"}, "invalid_value", "item.status"),
        ({**CALL, "call_id": None}, "missing_required_parameter", "item.call_id"),
        ({**CALL, "name": None}, "missing_required_parameter", "item.name"),
        ({**CALL, "arguments": {}}, "invalid_value", "item.arguments"),
        ({**OUTPUT, "call_id": ""}, "invalid_value", "item.call_id"),
        ({**OUTPUT, "output": None}, "missing_required_parameter", "item.output"),
        ({**OUTPUT, "output": {"a": 1}}, "invalid_value", "item.output"),
    ],
)
def test_items_that_are_refused(item: object, code: str, param: str) -> None:
    found = problem(item)
    assert (found.code, found.param) == (code, param)


# --- the input of a response ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (MESSAGE, (("user", "Hello"),)),
        (CALL, (ToolCall("c1", "weather", '{"city": "Paris"}'),)),
        (OUTPUT, (ToolOutput("c1", "sunny"),)),
        ({"type": "item_reference", "id": "item_1"}, (ItemReference("item_1"),)),
        (
            {**MESSAGE, "content": [*MESSAGE["content"], {"type": "input_image", "image_url": PNG}]},
            (Picture(PNG), ("user", "Hello")),
        ),
    ],
)
def test_entries_of_a_responses_input(entry: Any, shown: tuple[object, ...]) -> None:
    assert response_input(entry, "item") == shown


@pytest.mark.parametrize(
    ("entry", "code", "param"),
    [
        ({"type": "item_reference"}, "missing_required_parameter", "item.id"),
        ({"type": "letter"}, "invalid_value", "item.type"),
        ({**MESSAGE, "content": [{"type": "input_audio", "audio": "AAAA"}]}, "invalid_value", "item.content"),
    ],
)
def test_entries_that_are_refused(entry: Any, code: str, param: str) -> None:
    found = problem(entry, response_input)
    assert (found.code, found.param) == (code, param)
