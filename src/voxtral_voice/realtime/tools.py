"""The client's tools on the wire: offered by the session or by one response, and which of them may be called.

Knows: functions, and every form of a choice. Does not know: sessions, responses, what a responder makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import orjson

from voxtral_voice.conversation.events import NamedTool, Tool, ToolChoice
from voxtral_voice.realtime.fields import (
    Check,
    Fields,
    Json,
    JsonObject,
    choice,
    each,
    invalid,
    json_text,
    text,
    unsupported,
)

MAX_TOOLS: Final = 128
MAX_NAME_CHARS: Final = 256
MAX_DESCRIPTION_CHARS: Final = 16_384
MAX_PARAMETERS_BYTES: Final = 65_536
"""Of one tool's JSON Schema."""
NO_PARAMETERS: Final = '{"type":"object","properties":{}}'


def tool_name(value: Json, param: str) -> str:
    name = text(MAX_NAME_CHARS, 1)(value, param)
    if not name.isprintable() or any(char.isspace() for char in name):
        raise invalid(param, "a name without white space and control characters", name)
    return name


_mode: Final[Check[Literal["auto", "none", "required"]]] = choice("auto", "none", "required")


def tool_list(value: Json, param: str) -> tuple[Tool, ...]:
    tools = tuple(each(_tool, MAX_TOOLS)(value, param))
    check_names([tool.name for tool in tools], lambda index: f"{param}[{index}].name")
    return tools


def check_names(names: list[str], param: Callable[[int], str]) -> None:
    """A call names its tool, so no two have one name. param: of the name of the tool at this place."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise invalid(param(index), "a name that no other tool has", name)
        seen.add(name)


def _tool(value: Json, param: str) -> Tool:
    fields = Fields.of(value, param)
    _refuse_mcp(fields)
    fields.optional("type", choice("function"), "function")
    return Tool(
        fields.required("name", tool_name),
        fields.optional("description", text(MAX_DESCRIPTION_CHARS), ""),
        fields.optional("parameters", json_text(MAX_PARAMETERS_BYTES), NO_PARAMETERS),
    )


def tool_choice(value: Json, param: str) -> ToolChoice:
    if isinstance(value, dict):
        fields = Fields(value, param)
        _refuse_mcp(fields)
        fields.required("type", choice("function"))
        return NamedTool(fields.required("name", tool_name))
    return _mode(value, param)


def check_choice(tools: tuple[Tool, ...], wanted: ToolChoice, param: str) -> None:
    """A tool that is named has to be there."""
    if isinstance(wanted, NamedTool) and choice_among(tools, wanted) != wanted:
        raise invalid(f"{param}.name", "the name of one of the tools", wanted.name)


def choice_among(tools: tuple[Tool, ...], wanted: ToolChoice) -> ToolChoice:
    """What a choice means that was made when there were other tools."""
    gone = isinstance(wanted, NamedTool) and all(tool.name != wanted.name for tool in tools)
    return "auto" if gone else wanted


def tool_json(tool: Tool) -> JsonObject:
    parameters: JsonObject = orjson.loads(tool.parameters)
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": parameters}


def tool_choice_json(wanted: ToolChoice) -> Json:
    return {"type": "function", "name": wanted.name} if isinstance(wanted, NamedTool) else wanted


def _refuse_mcp(fields: Fields) -> None:
    if fields.values.get("type") == "mcp":
        instead = "Let the client call the MCP server, and offer what it has as tools of type 'function'."
        raise unsupported(fields.param("type"), instead)
