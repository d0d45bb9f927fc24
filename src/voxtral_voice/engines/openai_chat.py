"""What a chat completion is asked with, in OpenAI's format. Pure.

Knows: messages, pictures, sound, tools as JSON. Does not know: HTTP, answers, which order servers insist on (`prompt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
import pybase64

from voxtral_voice.engines.base import Message, NamedTool, Picture, Samples, Tool, ToolChoice, Tools
from voxtral_voice.engines.openai_audio import wav
from voxtral_voice.engines.prompt import in_order, without_pictures

INSTRUCTIONS: Final = Message(
    "system", "You are a voice assistant. Answer in one to three short spoken sentences, without lists or markdown."
)
"""Unless the session has its own."""
NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def messages_json(messages: Sequence[Message], *, pictures: bool) -> list[dict[str, object]]:
    """pictures: False says in words that they were there."""
    head = [] if messages and messages[0].role == "system" else [INSTRUCTIONS]
    shown = (m if pictures else without_pictures(m) for m in (*head, *in_order(messages)))
    return [message_json(m) for m in shown]


def tool_fields(tools: Tools) -> dict[str, object]:
    """Of the request; none when nothing may be called. `tool_choice: "none"` is not left to the server: some do not
    know it, and call."""
    if not tools.may_call:
        return {}
    fields: dict[str, object] = {
        "tools": [_tool(tool) for tool in tools.tools],
        "parallel_tool_calls": tools.parallel,
    }
    return fields if tools.choice == "auto" else {**fields, "tool_choice": _choice(tools.choice)}


def message_json(message: Message) -> dict[str, object]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if message.calls:
        calls = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": _valid(call.arguments)},
            }
            for call in message.calls
        ]
        return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
    return {"role": message.role, "content": _content(message)}


def _content(message: Message) -> object:
    """Sound instead of its words."""
    if message.audio is not None:
        return [_sound(message.audio)]
    if not message.pictures:
        return message.text
    words = [{"type": "text", "text": message.text}] if message.text else []
    return [*map(_picture, message.pictures), *words]


def _picture(picture: Picture) -> dict[str, object]:
    detail = {} if picture.detail == "auto" else {"detail": picture.detail}
    return {"type": "image_url", "image_url": {"url": picture.url, **detail}}


def _sound(audio: Samples) -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": pybase64.b64encode_as_string(wav(audio)), "format": "wav"}}


def _valid(arguments: str) -> str:
    """Of a call in the history: servers read them back, and refuse what is no JSON object."""
    try:
        content = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        content = arguments.strip()
    if isinstance(content, dict):
        return arguments
    return orjson.dumps({"arguments": content} if content else {}).decode()


def _tool(tool: Tool) -> dict[str, object]:
    """Its schema goes out as it came in."""
    described = {"description": tool.description} if tool.description else {}
    parameters = orjson.Fragment(tool.parameters) if tool.parameters else NO_PARAMETERS
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters}}


def _choice(choice: ToolChoice) -> object:
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, NamedTool) else choice
