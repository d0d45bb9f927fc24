"""What goes out is what OpenAI's format says, and what servers refuse does not go out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pybase64
import pytest

from voxtral_voice.engines.base import NO_TOOLS, Call, Message, NamedTool, Picture, Tool, ToolChoice, Tools
from voxtral_voice.engines.openai_audio import wav
from voxtral_voice.engines.openai_chat import INSTRUCTIONS, message_json, messages_json, tool_fields
from voxtral_voice.engines.prompt import A_PICTURE, NO_OUTPUT_YET

SYSTEM = Message("system", "Be brief.")
SCHEMA = '{"type": "object", "properties": {"n": {"maximum": 123456789012345678901234567890}}}'


def sent(content: object) -> Any:
    """As the server reads it."""
    return json.loads(orjson.dumps(content))


def chat(*messages: Message, pictures: bool = True) -> Any:
    return sent(messages_json([SYSTEM, *messages], pictures=pictures)[1:])


def test_instructions_of_the_session_replace_our_own() -> None:
    assert messages_json([SYSTEM], pictures=True) == [{"role": "system", "content": "Be brief."}]
    for messages in ([], [Message("user", "Hi")]):
        assert messages_json(messages, pictures=True)[0] == {"role": "system", "content": INSTRUCTIONS.text}


def test_pictures_are_parts_of_the_users_message() -> None:
    low, auto = Picture("data:image/png;base64,AA", "low"), Picture("data:image/png;base64,BB")
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}},
    ]
    shown = Message("user", "What is this?", (low, auto))
    assert chat(shown) == [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
    assert chat(Message("user", "", (low, auto))) == [{"role": "user", "content": parts}]
    assert chat(shown, pictures=False) == [{"role": "user", "content": f"{A_PICTURE} {A_PICTURE} What is this?"}]


def test_sound_goes_out_instead_of_its_words() -> None:
    audio = np.linspace(-1, 1, 99, dtype=np.float32)
    [part] = sent(message_json(Message("user", "Hello", audio=audio)))["content"]
    assert part["type"] == "input_audio"
    assert part["input_audio"]["format"] == "wav"
    assert pybase64.b64decode(part["input_audio"]["data"]) == wav(audio)


def test_calls_and_their_outputs() -> None:
    history = (
        Message("user", "The weather?"),
        Message("assistant", "", calls=(Call("1", "get_weather", '{"city": "Rome"}'), Call("2", "get_time", "{}"))),
        Message("tool", "sunny", call_id="1"),
        Message("assistant", "Sunny.", calls=(Call("3", "wave", "{}"),)),
    )
    function = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
    assert chat(*history) == [
        {"role": "user", "content": "The weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": function},
                {"id": "2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "2", "content": NO_OUTPUT_YET},
        {
            "role": "assistant",
            "content": "Sunny.",
            "tool_calls": [{"id": "3", "type": "function", "function": {"name": "wave", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "3", "content": NO_OUTPUT_YET},
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", "{}"),
        (" ", "{}"),
        ("null", "{}"),
        ('{"a": ', '{"arguments":"{\\"a\\":"}'),
        ("[1]", '{"arguments":[1]}'),
        ("Rome", '{"arguments":"Rome"}'),
    ],
)
def test_arguments_in_the_history_are_a_json_object(arguments: str, shown: str) -> None:
    ((call, _),) = [chat(Message("assistant", "", calls=(Call("1", "f", arguments),)))]
    assert call["tool_calls"][0]["function"]["arguments"] == shown


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        ("auto", {}),
        ("required", {"tool_choice": "required"}),
        (NamedTool("f"), {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ],
)
@pytest.mark.parametrize("parallel", [True, False])
def test_tools_go_out_as_they_came_in(choice: ToolChoice, fields: dict[str, object], parallel: bool) -> None:
    tools = Tools((Tool("f", "Does it.", SCHEMA), Tool("g", "", "")), choice, parallel)
    assert sent(tool_fields(tools)) == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "Does it.", "parameters": json.loads(SCHEMA)},
            },
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
        "parallel_tool_calls": parallel,
        **fields,
    }


@pytest.mark.parametrize("tools", [NO_TOOLS, Tools((Tool("f", "", ""),), "none"), Tools((), "required")])
def test_where_nothing_may_be_called_nothing_is_offered(tools: Tools) -> None:
    assert tool_fields(tools) == {}
