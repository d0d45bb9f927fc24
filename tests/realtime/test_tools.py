from __future__ import annotations

from typing import Any

import pytest

from voxtral_voice.conversation.events import NamedTool, Tool, ToolChoice
from voxtral_voice.realtime.fields import FieldError, Json, Problem
from voxtral_voice.realtime.tools import (
    NO_PARAMETERS,
    check_choice,
    choice_among,
    tool_choice,
    tool_choice_json,
    tool_json,
    tool_list,
)

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOLS = (Tool("weather", "", "{}"), Tool("time", "", "{}"))


def problem(value: Json, check: Any = tool_list) -> Problem:
    with pytest.raises(FieldError) as caught:
        check(value, "x")
    return caught.value.problem


def test_a_tool_is_read_and_echoed_as_it_is() -> None:
    [tool] = tool_list([WEATHER], "x")
    assert (tool.name, tool.description) == ("weather", "The weather in a city.")
    assert tool.parameters == ('{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
    assert tool_json(tool) == WEATHER


def test_a_tool_needs_only_a_name() -> None:
    [tool] = tool_list([{"name": "now"}], "x")
    assert tool == Tool("now", "", NO_PARAMETERS)
    assert tool_json(tool) == {
        "type": "function", "name": "now", "description": "", "parameters": {"type": "object", "properties": {}},
    }  # fmt: skip


def test_what_is_not_known_of_a_tool_is_left_out() -> None:
    [tool] = tool_list([{**WEATHER, "strict": True}], "x")
    assert tool_json(tool) == WEATHER


def test_no_tools() -> None:
    assert tool_list([], "x") == ()


@pytest.mark.parametrize(
    ("tools", "code", "param"),
    [
        ("weather", "invalid_value", "x"),
        (["weather"], "invalid_value", "x[0]"),
        ([WEATHER, {"type": "function"}], "missing_required_parameter", "x[1].name"),
        ([{**WEATHER, "type": "web_search"}], "invalid_value", "x[0].type"),
        ([{**WEATHER, "name": ""}], "invalid_value", "x[0].name"),
        ([{**WEATHER, "name": "n" * 257}], "invalid_value", "x[0].name"),
        ([{**WEATHER, "name": "the weather"}], "invalid_value", "x[0].name"),
        ([{**WEATHER, "name": "weather\n"}], "invalid_value", "x[0].name"),
        ([{**WEATHER, "name": "wea\x00ther"}], "invalid_value", "x[0].name"),
        ([{"name": "now"}, WEATHER, WEATHER], "invalid_value", "x[2].name"),
        ([{**WEATHER, "description": 1}], "invalid_value", "x[0].description"),
        ([{**WEATHER, "parameters": "{}"}], "invalid_value", "x[0].parameters"),
        ([{**WEATHER, "parameters": {"a": "b" * 70_000}}], "invalid_value", "x[0].parameters"),
        ([WEATHER] * 129, "invalid_value", "x"),
    ],
)
def test_tools_that_are_refused(tools: Json, code: str, param: str) -> None:
    found = problem(tools)
    assert (found.code, found.param) == (code, param)


@pytest.mark.parametrize(
    ("value", "check"), [([{"type": "mcp", "server_label": "s"}], tool_list), ({"type": "mcp"}, tool_choice)]
)
def test_servers_of_tools_are_refused_with_a_way_out(value: Json, check: Any) -> None:
    found = problem(value, check)
    assert (found.code, (found.param or "").rpartition(".")[2]) == ("invalid_value", "type")
    assert "Let the client call the MCP server" in found.message


@pytest.mark.parametrize("wanted", ["auto", "none", "required"])
def test_choices_by_mode(wanted: Any) -> None:
    assert tool_choice(wanted, "x") == wanted
    assert tool_choice_json(wanted) == wanted


def test_a_choice_by_name() -> None:
    named: Json = {"type": "function", "name": "weather"}
    assert tool_choice(named, "x") == NamedTool("weather")
    assert tool_choice_json(NamedTool("weather")) == named


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        ("maybe", "invalid_value", "x"),
        (1, "invalid_value", "x"),
        ({}, "missing_required_parameter", "x.type"),
        ({"type": "tool"}, "invalid_value", "x.type"),
        ({"type": "function"}, "missing_required_parameter", "x.name"),
    ],
)
def test_choices_that_are_refused(wanted: Json, code: str, param: str) -> None:
    found = problem(wanted, tool_choice)
    assert (found.code, found.param) == (code, param)


@pytest.mark.parametrize("wanted", ["auto", "none", "required", NamedTool("time")])
def test_a_choice_among_what_is_there(wanted: ToolChoice) -> None:
    check_choice(TOOLS, wanted, "x")
    assert choice_among(TOOLS, wanted) == wanted


def test_a_tool_that_is_not_there_cannot_be_chosen() -> None:
    assert choice_among(TOOLS, NamedTool("alarm")) == "auto"
    assert choice_among((), NamedTool("time")) == "auto"
    with pytest.raises(FieldError) as caught:
        check_choice(TOOLS, NamedTool("alarm"), "x")
    assert (caught.value.problem.code, caught.value.problem.param) == ("invalid_value", "x.name")
