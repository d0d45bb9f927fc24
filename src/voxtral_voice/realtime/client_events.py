"""Frames of the client -> client events, checked.

Knows: every client event of the protocol, which of them this server takes, and what a frame may not be. Does not know:
the session's state: whether an item exists, a voice is there or a reply is active is decided behind this.

What the core has an event for becomes that event; the rest becomes one of the small actions below. `parse` never
raises: what cannot be understood is a Problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import orjson

from voxtral_voice.conversation.events import (
    UNLIMITED,
    CancelReply,
    ClearAudio,
    CommitAudio,
    DeleteItem,
    ItemReference,
    ReplyOptions,
    Shown,
    TruncateItem,
)
from voxtral_voice.realtime.fields import (
    FieldError,
    Fields,
    Json,
    JsonObject,
    Problem,
    audio_bytes,
    boolean,
    choice,
    each,
    integer,
    invalid,
    invalid_size,
    number,
    shown,
    text,
)
from voxtral_voice.realtime.items import MAX_ID_CHARS, NewItem, item_id, new_item, response_input
from voxtral_voice.realtime.session_object import (
    audio_format,
    output_modality,
    output_tokens,
    reasoning,
    refuse_prompt,
    voice_name,
)
from voxtral_voice.realtime.tools import tool_choice, tool_list

MAX_METADATA_PAIRS: Final = 16
MAX_INPUT_ITEMS: Final = 1024
MAX_AUDIO_END_MS: Final = 10**12
RESPONSE_KEYS: Final = (
    "output_modalities", "instructions", "audio", "tools", "tool_choice", "parallel_tool_calls", "reasoning",
    "max_output_tokens", "conversation", "metadata", "prompt", "input",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AppendAudio:
    audio: bytes
    """As the client sent it, in the session's format; perhaps cut in the middle of a sample."""


@dataclass(frozen=True, slots=True)
class UpdateSession:
    patch: JsonObject
    """Unchecked; `SessionObject.patched` checks it."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    new: NewItem
    after: str | None
    """As in `AddItem`."""


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    item_id: str


@dataclass(frozen=True, slots=True)
class CreateResponse:
    options: ReplyOptions = field(default_factory=ReplyOptions)
    """`voice` is the client's name for it, not looked up yet; nor is the tool that a choice names."""
    metadata: dict[str, str] | None = None
    ignored: tuple[str, ...] = ()
    """Keys that mean nothing here."""


CoreEvent = CommitAudio | ClearAudio | DeleteItem | TruncateItem | CancelReply
Action = AppendAudio | UpdateSession | CreateItem | RetrieveItem | CreateResponse | CoreEvent


@dataclass(frozen=True, slots=True)
class ClientEvent:
    action: Action
    event_id: str | None = field(default=None)
    """The client's name for this event, to be given back in an error about it."""


def parse(frame: str | bytes) -> ClientEvent | Problem:
    """A WebSocket frame (text: str, binary: bytes) -> what the client wants."""
    if isinstance(frame, bytes):
        return Problem("invalid_event", "Binary frames are not taken: send one JSON object per text frame.")
    try:
        event: Json = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return Problem("invalid_json", f"The frame is not valid JSON: {error.msg}.")
    if not isinstance(event, dict):
        return Problem("invalid_event", f"An event must be a JSON object, but this one is {shown(event)}.")
    event_id = event.get("event_id")
    if event_id is not None and not (isinstance(event_id, str) and len(event_id) <= MAX_ID_CHARS):
        return Problem(
            "invalid_value",
            f"Invalid value for 'event_id': expected a string of at most {MAX_ID_CHARS} characters.",
            "event_id",
        )
    try:
        return ClientEvent(_action(event), event_id)
    except FieldError as error:
        problem = error.problem
        return Problem(problem.code, problem.message, problem.param, event_id)


def _action(event: JsonObject) -> Action:
    kind = event.get("type")
    if kind == "input_audio_buffer.append":
        return _append_audio(event)
    fields = Fields(event)
    kind = fields.required("type", text())
    action = _ACTIONS.get(kind)
    if action is None:
        raise invalid("type", f"one of input_audio_buffer.append, {', '.join(_ACTIONS)}", kind)
    return action(fields)


def _append_audio(event: JsonObject) -> AppendAudio:
    """By far the most frequent event: the shortest way."""
    audio = event.get("audio")
    if isinstance(audio, str):
        return AppendAudio(audio_bytes(audio, "audio"))
    return AppendAudio(Fields(event).required("audio", audio_bytes))  # says what is wrong


# --- items ------------------------------------------------------------------------------------------------------


def _create_item(fields: Fields) -> CreateItem:
    return CreateItem(fields.required("item", new_item), fields.optional("previous_item_id", item_id, None))


def _truncate_item(fields: Fields) -> TruncateItem:
    cut = fields.required("item_id", item_id)
    fields.required("content_index", integer(0, 0))
    return TruncateItem(cut, int(fields.required("audio_end_ms", number(0, MAX_AUDIO_END_MS))))


# --- replies ----------------------------------------------------------------------------------------------------


def _create_response(fields: Fields) -> CreateResponse:
    response = fields.inner("response")
    refuse_prompt(response)
    response.optional("reasoning", reasoning, None)
    output = _audio_output(response)
    return CreateResponse(
        ReplyOptions(
            instructions=response.optional("instructions", text(), None),
            voice=output.optional("voice", voice_name, None),
            modality=response.optional("output_modalities", output_modality, None),
            max_output_tokens=response.optional("max_output_tokens", _most_tokens, None),
            tools=response.optional("tools", tool_list, None),
            tool_choice=response.optional("tool_choice", tool_choice, None),
            parallel_tool_calls=response.optional("parallel_tool_calls", boolean, None),
            aside=response.optional("conversation", choice("auto", "none"), "auto") == "none",
            input=response.optional("input", _input, None),
            audio_format=output.optional("format", audio_format, None),
        ),
        response.optional("metadata", _metadata, None),
        response.unknown(*RESPONSE_KEYS),
    )


def _most_tokens(value: Json, param: str) -> int:
    most = output_tokens(value, param)
    return UNLIMITED if most is None else most


def _input(value: Json, param: str) -> tuple[Shown | ItemReference, ...]:
    return tuple(chain.from_iterable(each(response_input, MAX_INPUT_ITEMS)(value, param)))


def _audio_output(response: Fields) -> Fields:
    audio = response.inner("audio")
    audio.only("output")
    output = audio.inner("output")
    output.only("format", "voice")
    return output


def _metadata(value: Json, param: str) -> dict[str, str]:
    values = Fields.of(value, param).values
    if len(values) > MAX_METADATA_PAIRS or any(len(key) > 64 for key in values):
        raise invalid_size(param, f"at most {MAX_METADATA_PAIRS} keys of at most 64 characters", "more")
    return {key: text(512)(entry, f"{param}.{key}") for key, entry in values.items()}


def _refuse_output_clear(_: Fields) -> Action:
    raise FieldError(
        Problem(
            "invalid_value",
            "output_audio_buffer.clear works over WebRTC only: over a WebSocket the client stops its own playback, and "
            "sends response.cancel and conversation.item.truncate.",
            "type",
        )
    )


_ACTIONS: Final[dict[str, Callable[[Fields], Action]]] = {
    "session.update": lambda f: UpdateSession(f.required("session", Fields.of).values),
    "input_audio_buffer.commit": lambda _: CommitAudio(),
    "input_audio_buffer.clear": lambda _: ClearAudio(),
    "conversation.item.create": _create_item,
    "conversation.item.delete": lambda f: DeleteItem(f.required("item_id", item_id)),
    "conversation.item.retrieve": lambda f: RetrieveItem(f.required("item_id", item_id)),
    "conversation.item.truncate": _truncate_item,
    "response.create": _create_response,
    "response.cancel": lambda f: CancelReply(f.optional("response_id", item_id, None)),
    "output_audio_buffer.clear": _refuse_output_clear,
}
