"""What `/v1/chat/completions` is asked for: messages, tools, limits.

Knows: the request's fields, in all the forms that clients send. Does not know: how it is answered.

Sampling (`temperature`, `top_p`, `seed`, ...) is the responder's own: those fields are not looked at. What would change
the answer's form or number and cannot be had is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from voxtral_voice.engines.base import Call, NamedTool, Picture, Role, Tool, ToolChoice, Tools
from voxtral_voice.realtime.fields import (
    Check,
    FieldError,
    Fields,
    Json,
    Problem,
    audio_bytes,
    boolean,
    choice,
    each,
    integer,
    invalid,
    invalid_size,
    json_text,
    text,
)
from voxtral_voice.realtime.items import picture_url
from voxtral_voice.realtime.tools import (
    MAX_DESCRIPTION_CHARS,
    MAX_PARAMETERS_BYTES,
    MAX_TOOLS,
    NO_PARAMETERS,
    check_names,
    tool_name,
)
from voxtral_voice.server.rest.bodies import refused

MOST_MESSAGES: Final = 2000
MOST_PARTS: Final = 200
MOST_RECORDINGS: Final = 16
"""In all messages of a request: a client sends its history again and again."""
MOST_TOKENS: Final = 1_000_000
MOST_STOPS: Final = 4
MOST_TEXT_CHARS: Final = 4_000_000
"""Of one message: more than any context holds."""
MOST_URL_CHARS: Final = 16 * 1024 * 1024

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """Speech among the content of a message."""

    data: bytes
    param: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message whose recordings are not written down yet."""

    role: Role
    parts: tuple[str | Recording, ...]
    pictures: tuple[Picture, ...] = ()
    calls: tuple[Call, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    model: str
    messages: tuple[Said, ...]
    tools: Tools
    max_tokens: int | None
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    """The stream's last chunk says how many tokens there were."""


def read_chat(fields: Fields) -> Chat:
    """Raises FieldError."""
    _refuse_what_cannot_be_had(fields)
    messages = fields.required("messages", each(_message, MOST_MESSAGES))
    if not messages:
        raise invalid_size("messages", "at least one message", "none")
    if sum(isinstance(part, Recording) for said in messages for part in said.parts) > MOST_RECORDINGS:
        raise refused("messages", f"there are more than {MOST_RECORDINGS} recordings in them; send the older as text.")
    limit: Check[int | None] = integer(1, MOST_TOKENS)
    most = fields.optional("max_completion_tokens", limit, fields.optional("max_tokens", limit, None))
    return Chat(
        fields.required("model", text()),
        tuple(messages),
        _tools(fields),
        most,
        fields.optional("stop", _stops, ()),
        fields.optional("stream", boolean, False),
        fields.inner("stream_options").optional("include_usage", boolean, False),
    )


def _refuse_what_cannot_be_had(fields: Fields) -> None:
    if fields.optional("n", integer(1, 128), 1) > 1:
        raise refused("n", "one answer at a time is given; ask several times.")
    if fields.optional("logprobs", boolean, False):
        raise refused("logprobs", "the responder does not tell its probabilities; leave it out.")
    form = fields.inner("response_format")
    if form.optional("type", text(), "text") != "text":
        raise refused("response_format", "only text is given; ask for JSON in the messages, or offer a tool.")
    if "audio" in fields.optional("modalities", each(text(), 10), ["text"]):
        raise refused("modalities", "only text is answered here; have it spoken with /v1/audio/speech.")
    for old in ("functions", "function_call"):
        if fields.values.get(old):
            raise refused(old, "use 'tools' and 'tool_choice'.")


def _stops(value: Json, param: str) -> tuple[str, ...]:
    one = text(1000, 1)
    return (one(value, param),) if isinstance(value, str) else tuple(each(one, MOST_STOPS)(value, param))


# --- messages ---------------------------------------------------------------------------------------------------


def _message(value: Json, param: str) -> Said:
    fields = Fields.of(value, param)
    role = ROLES[fields.required("role", choice(*ROLES))]
    calls: list[Call] = []
    if role == "assistant":
        calls = fields.optional("tool_calls", each(_call, MAX_TOOLS), calls)
    empty: list[str | Recording | Picture] = []
    content = fields.optional("content", _content(role), empty)
    if not content and not calls and fields.values.get("content") is None:
        raise FieldError(
            Problem("missing_required_parameter", f"Missing required parameter: '{param}.content'.", f"{param}.content")
        )
    return Said(
        role,
        tuple(part for part in content if not isinstance(part, Picture)),
        tuple(part for part in content if isinstance(part, Picture)),
        tuple(calls),
        fields.required("tool_call_id", text(512, 1)) if role == "tool" else None,
    )


def _content(role: Role) -> Check[list[str | Recording | Picture]]:
    """A text, or a list of parts."""

    def check(value: Json, param: str) -> list[str | Recording | Picture]:
        if isinstance(value, str):
            return [text(MOST_TEXT_CHARS)(value, param)]
        if not isinstance(value, list):
            raise invalid(param, "a string or an array", value)
        return each(_user_part if role == "user" else _text_part, MOST_PARTS)(value, param)

    return check


def _text_part(value: Json, param: str) -> str | Recording | Picture:
    fields = Fields.of(value, param)
    kind: Literal["text", "refusal"] = fields.required("type", choice("text", "refusal"))
    return fields.required(kind, text(MOST_TEXT_CHARS))


def _user_part(value: Json, param: str) -> str | Recording | Picture:
    fields = Fields.of(value, param)
    match fields.required("type", choice("text", "input_audio", "image_url")):
        case "input_audio":
            sound = fields.required("input_audio", Fields.of)
            sound.required("format", text(20))  # its first bytes say more
            return Recording(sound.required("data", audio_bytes), f"{param}.input_audio.data")
        case "image_url":
            return _picture(fields.required("image_url", Fields.of))
        case _:
            return fields.required("text", text(MOST_TEXT_CHARS))


def _picture(fields: Fields) -> Picture:
    detail: Check[Literal["auto", "low", "high"]] = choice("auto", "low", "high")
    return Picture(fields.required("url", picture_url(MOST_URL_CHARS)), fields.optional("detail", detail, "auto"))


def _call(value: Json, param: str) -> Call:
    fields = Fields.of(value, param)
    fields.optional("type", choice("function"), "function")
    function = fields.required("function", Fields.of)
    return Call(
        fields.required("id", text(512, 1)),
        function.required("name", tool_name),
        function.required("arguments", text()),
    )


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(fields: Fields) -> Tools:
    nothing: list[Tool] = []
    tools = tuple(fields.optional("tools", each(_tool, MAX_TOOLS), nothing))
    check_names([tool.name for tool in tools], lambda index: f"tools[{index}].function.name")
    auto: ToolChoice = "auto"
    wanted = fields.optional("tool_choice", _tool_choice, auto)
    if isinstance(wanted, NamedTool) and wanted.name not in {tool.name for tool in tools}:
        raise invalid("tool_choice.function.name", "the name of one of the tools", wanted.name)
    if wanted == "required" and not tools:
        message = (
            "Invalid value for 'tool_choice': 'required' needs at least one tool, but 'tools' is missing or empty."
        )
        raise FieldError(Problem("invalid_value", message, "tool_choice"))
    return Tools(tools, wanted, fields.optional("parallel_tool_calls", boolean, True))


def _tool(value: Json, param: str) -> Tool:
    fields = Fields.of(value, param)
    fields.required("type", choice("function"))
    function = fields.required("function", Fields.of)
    return Tool(
        function.required("name", tool_name),
        function.optional("description", text(MAX_DESCRIPTION_CHARS), ""),
        function.optional("parameters", json_text(MAX_PARAMETERS_BYTES), NO_PARAMETERS),
    )


def _tool_choice(value: Json, param: str) -> ToolChoice:
    if isinstance(value, dict):
        fields = Fields(value, param)
        fields.required("type", choice("function"))
        return NamedTool(fields.required("function", Fields.of).required("name", tool_name))
    mode: Check[Literal["auto", "none", "required"]] = choice("auto", "none", "required")
    return mode(value, param)
