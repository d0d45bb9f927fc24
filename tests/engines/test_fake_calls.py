"""Which tools the scripted responder calls is a matter of words alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.base import NO_TOOLS, Call, Message, NamedTool, Tool, ToolChoice, Tools
from voxtral_voice.engines.fake_calls import calls_for

PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}


def tool(name: str, schema: object = PLACE) -> Tool:
    return Tool(name, "", json.dumps(schema) if schema is not None else "")


WEATHER, LIGHTS = tool("get_weather"), tool("setLights", {"type": "object", "properties": {}})


def calls(
    said: str, *tools: Tool, choice: ToolChoice = "auto", parallel: bool = True
) -> list[tuple[str, dict[str, object]]]:
    found = calls_for([Message("user", said)], Tools(tools or (WEATHER, LIGHTS), choice, parallel))
    return [(name, json.loads(arguments)) for name, arguments in found]


def test_a_tool_is_called_when_its_name_is_said() -> None:
    assert calls("What is the weather like in Paris?") == [("get_weather", {"location": "Paris"})]
    assert calls("Turn on the light!") == [("setLights", {})]
    assert calls("Get me a coffee.") == []
    assert calls("") == []


def test_each_thing_asked_about_is_a_call() -> None:
    assert calls("The weather in New York and Rome, Oslo") == [
        ("get_weather", {"location": "New York"}),
        ("get_weather", {"location": "Rome"}),
        ("get_weather", {"location": "Oslo"}),
    ]
    assert [name for name, _ in calls("Lights and weather")] == ["get_weather", "get_weather", "setLights"]
    assert calls("The weather in Rome and Oslo", parallel=False) == [("get_weather", {"location": "Rome"})]


@pytest.mark.parametrize(
    ("said", "choice", "names"),
    [
        ("The weather in Rome", "none", []),
        ("Hello", "required", ["get_weather"]),
        ("The lights", "required", ["setLights"]),
        ("Hello", NamedTool("setLights"), ["setLights"]),
        ("Hello", NamedTool("unknown"), []),
    ],
)
def test_the_choice_is_obeyed(said: str, choice: ToolChoice, names: list[str]) -> None:
    assert [name for name, _ in calls(said, choice=choice)] == names


def test_an_output_is_not_answered_by_a_call_unless_one_is_demanded() -> None:
    messages = [
        Message("user", "The weather in Rome?"),
        Message("assistant", "", calls=(Call("c", "get_weather", "{}"),)),
        Message("tool", "sunny weather", call_id="c"),
    ]
    assert calls_for(messages, Tools((WEATHER,))) == []
    assert calls_for(messages, Tools((WEATHER,), "required")) == [("get_weather", '{"location":""}')]
    assert calls_for([], Tools((WEATHER,))) == []
    assert calls_for(messages[:1], NO_TOOLS) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "5 minutes"),
        ({}, "5 minutes"),
        ({"type": "integer"}, 5),
        ({"type": ["number", "null"]}, 5),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "null"}, None),
        ({"type": "object", "properties": {"minutes": {"type": "number"}}}, {"minutes": 5}),
        ({"enum": ["hours", "Minutes"]}, "Minutes"),
        ({"enum": ["hours", "days"]}, "hours"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 5),
    ],
)
def test_arguments_fit_their_schema(schema: dict[str, object], value: object) -> None:
    timer = tool("set_timer", {"type": "object", "properties": {"it": schema}})
    assert calls("Set a timer for 5 minutes.", timer) == [("set_timer", {"it": value})]


def test_a_number_that_is_not_said_is_one() -> None:
    timer = tool("set_timer", {"properties": {"minutes": {"type": "integer"}}})
    assert calls("A timer, please", timer) == [("set_timer", {"minutes": 1})]


def test_only_what_is_required_is_given() -> None:
    schema = {"properties": {"a": {}, "b": {}}, "required": ["b", "c", 3]}
    assert calls("timer", tool("timer", schema)) == [("timer", {"b": "timer", "c": "timer"})]
    assert calls("timer", tool("timer", None)) == [("timer", {})]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "enum", "anyOf", "properties", "required", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_schema_breaks_it(schema: object) -> None:
    ((name, arguments),) = calls("timer", tool("timer", schema))
    assert name == "timer"
    assert isinstance(arguments, dict)
