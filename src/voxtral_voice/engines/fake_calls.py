"""Which tools the scripted responder calls, and with what: by rule, from the user's last words. Pure.

Knows: words, JSON schemas as far as tools use them. Does not know: time, any model.

1. Nothing when nothing may be called, and nothing when the last message is not the user's (a tool's output is answered
   in words), unless a call is demanded.
2. Every tool one of whose name's words is said: "what is the weather like?" calls `get_weather`. When a call is
   demanded and none is named so, the first tool; with a choice of one tool, that one.
3. With what is said behind the last "in", "for", "at", "to", "of" or "about": "in Paris" gives a string "Paris", "for 5
   minutes" a number 5. "in Paris and Rome" are two calls. An enum gives the value that is said, or its first.
4. Only the first of these calls when calls are not to be parallel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from voxtral_voice.engines.base import Message, NamedTool, Tool, Tools

NO_NAMES: Final = frozenset({"get", "set", "the", "for", "and", "tool", "call", "make", "new", "current"})
"""Words in names of tools that name nothing."""
_SUBJECT: Final = re.compile(r".*\b(?:in|for|at|to|of|about)\s+(.+)", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"\d{1,15}")
_PARTS: Final = re.compile(r"\s+and\s+|\s*,\s*", re.IGNORECASE)
_STOPS: Final = " \n.,;:!?।"


def calls_for(messages: Sequence[Message], tools: Tools) -> list[tuple[str, str]]:
    """(name, arguments as JSON text) of each call."""
    said = messages[-1].text if messages and messages[-1].role == "user" else ""
    calls = [(tool.name, arguments) for tool in _chosen(said, tools) for arguments in _arguments(tool, said)]
    return calls if tools.parallel else calls[:1]


def _chosen(said: str, tools: Tools) -> list[Tool]:
    if not tools.may_call:
        return []
    if isinstance(tools.choice, NamedTool):
        name = tools.choice.name
        return [tool for tool in tools.tools if tool.name == name]
    words = {_stem(word) for word in re.findall(r"\w+", said.lower())}
    named = [tool for tool in tools.tools if words & _words_of(tool.name)]
    return [*tools.tools[:1]] if tools.choice == "required" and not named else named


def _words_of(name: str) -> set[str]:
    """Of get_weather, getWeather or get-weather: weather."""
    words = re.findall(r"[A-Za-z][a-z]*|\d+", name)
    return {_stem(word.lower()) for word in words if len(word) > 2 and word.lower() not in NO_NAMES}


def _stem(word: str) -> str:
    """lights are light."""
    return word.rstrip("s")


def _arguments(tool: Tool, said: str) -> list[str]:
    """Of one call for each thing that was asked about."""
    schema = _mapping(orjson.loads(tool.parameters)) if tool.parameters else {}
    subjects = _subjects(said)
    found = [orjson.dumps(_object(schema, subject, said)).decode() for subject in subjects]
    return list(dict.fromkeys(found))


def _subjects(said: str) -> list[str]:
    match = _SUBJECT.fullmatch(said.strip(_STOPS))
    return [part for part in _PARTS.split(match[1] if match else said.strip(_STOPS)) if part] or [""]


def _object(schema: Mapping[str, Any], subject: str, said: str) -> dict[str, object]:
    """Its required properties; all of them when it does not say which are."""
    properties, required = _mapping(schema.get("properties")), schema.get("required")
    names = required if isinstance(required, list) else list(properties)
    return {name: _value(_mapping(properties.get(name)), subject, said) for name in names if isinstance(name, str)}


def _value(schema: Mapping[str, Any], subject: str, said: str) -> object:
    schema = next(map(_mapping, _list(schema.get("anyOf"))), schema)
    if values := _list(schema.get("enum")):
        return next((value for value in values if str(value).lower() in said.lower()), values[0])
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            return _object(schema, subject, said)
        case "integer" | "number":
            number = _NUMBER.search(said)
            return int(number[0]) if number else 1
        case "boolean":
            return True
        case "array":
            return []
        case "null":
            return None
        case _:
            return subject


def _mapping(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


def _list(content: object) -> list[Any]:
    return content if isinstance(content, list) else []
