"""Frames of the client -> client events, checked.

Knows: every client event of the protocol, which of them this server takes, and what a frame may not be. Does not know:
the session's state: whether an item exists, a voice is there or a reply is active is decided behind this.

What the core has an event for becomes that event; the rest becomes one of the small actions below. `parse` never
raises: what cannot be understood is a Problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import orjson
import pybase64

from voxtral_voice.conversation.events import (
    CancelReply,
    ClearAudio,
    CommitAudio,
    DeleteItem,
    ItemStatus,
    Modality,
    ReplyOptions,
    Role,
    TruncateItem,
)
from voxtral_voice.realtime.fields import (
    Check,
    FieldError,
    Fields,
    Json,
    JsonObject,
    Problem,
    boolean,
    choice,
    each,
    integer,
    invalid,
    invalid_size,
    number,
    shown,
    text,
    unsupported,
)
from voxtral_voice.realtime.session_object import (
    audio_format,
    output_modality,
    output_tokens,
    refuse_tools,
    tool_choice,
    voice_name,
)

MIB: Final = 1024 * 1024
MAX_APPEND_BYTES: Final = 15 * MIB
"""Decoded audio in one append (OpenAI Realtime API)."""
MAX_APPEND_BASE64_CHARS: Final = MAX_APPEND_BYTES // 3 * 4
MAX_ID_CHARS: Final = 512
"""Clients make up ids of their own, so the limit is not a tight one."""
MAX_CONTENT_PARTS: Final = 128
MAX_METADATA_PAIRS: Final = 16
MAX_AUDIO_END_MS: Final = 10**12


@dataclass(frozen=True, slots=True)
class AppendAudio:
    pcm: bytes
    """As the client sent it: 16-bit, 24 kHz, mono; perhaps cut in the middle of a sample."""


@dataclass(frozen=True, slots=True)
class UpdateSession:
    patch: JsonObject
    """Unchecked; `SessionObject.patched` checks it."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    item_id: str | None
    """None: to be made up by the server."""
    role: Role
    modality: Modality
    text: str
    status: ItemStatus
    after: str | None
    """As in `AddItem`."""


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    item_id: str


@dataclass(frozen=True, slots=True)
class CreateResponse:
    options: ReplyOptions
    """`voice` is the client's name for it, not looked up yet."""
    metadata: dict[str, str] | None


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
    if not isinstance(audio, str):
        audio = Fields(event).required("audio", text())  # says what is wrong
    if len(audio) > MAX_APPEND_BASE64_CHARS:
        raise invalid_size(
            "audio",
            f"at most {MAX_APPEND_BYTES // MIB} MiB of audio in one event",
            f"{len(audio) * 3 / 4 / MIB:.1f} MiB; send it in smaller pieces",
        )
    try:
        return AppendAudio(pybase64.b64decode(audio, validate=True))
    except ValueError as error:
        raise invalid_size("audio", "base64 (RFC 4648, padded, no line breaks)", "something else") from error


# --- items ------------------------------------------------------------------------------------------------------

_item_id: Final = text(MAX_ID_CHARS, 1)

_PARTS: Final[dict[Role, dict[str, tuple[Modality, str]]]] = {
    "system": {"input_text": ("text", "text")},
    "user": {"input_text": ("text", "text"), "input_audio": ("audio", "transcript")},
    "assistant": {
        "output_text": ("text", "text"),
        "output_audio": ("audio", "transcript"),
        "text": ("text", "text"),
        "audio": ("audio", "transcript"),
    },
}
"""role -> content type -> (modality, the key of its words). `text` and `audio` are the beta's names."""


def _create_item(fields: Fields) -> CreateItem:
    item = fields.required("item", Fields.of)
    kind = item.required("type", text())
    if kind != "message":
        raise unsupported("item.type", "Only items of type 'message' are.")
    role: Role = item.required("role", choice("system", "user", "assistant"))
    parts = item.required("content", each(_content_part(role), MAX_CONTENT_PARTS))
    return CreateItem(
        item_id=item.optional("id", _item_id, None),
        role=role,
        modality="audio" if any(modality == "audio" for modality, _ in parts) else "text",
        text="\n".join(words for _, words in parts),
        status=item.optional("status", choice("completed", "incomplete", "in_progress"), "completed"),
        after=fields.optional("previous_item_id", _item_id, None),
    )


def _content_part(role: Role) -> Check[tuple[Modality, str]]:
    kinds = _PARTS[role]

    def check(value: Json, param: str) -> tuple[Modality, str]:
        part = Fields.of(value, param)
        modality, key = kinds[part.required("type", choice(*kinds))]
        if key == "transcript" and part.values.get(key) is None:
            raise unsupported(part.param(key), "Audio in an item needs its transcript; the sound itself is not used.")
        return modality, part.required(key, text())

    return check


def _truncate_item(fields: Fields) -> TruncateItem:
    item_id = fields.required("item_id", _item_id)
    fields.required("content_index", integer(0, 0))
    return TruncateItem(item_id, int(fields.required("audio_end_ms", number(0, MAX_AUDIO_END_MS))))


# --- replies ----------------------------------------------------------------------------------------------------


def _create_response(fields: Fields) -> CreateResponse:
    response = fields.inner("response")
    refuse_tools(response)
    _refuse_out_of_band(response)
    output = _audio_output(response)
    response.optional("tool_choice", tool_choice, None)
    response.optional("parallel_tool_calls", boolean, None)
    return CreateResponse(
        ReplyOptions(
            instructions=response.optional("instructions", text(), None),
            voice=output.optional("voice", voice_name, None),
            modality=response.optional("output_modalities", output_modality, None),
            max_output_tokens=response.optional("max_output_tokens", output_tokens, None),
        ),
        response.optional("metadata", _metadata, None),
    )


def _refuse_out_of_band(response: Fields) -> None:
    if response.optional("conversation", choice("auto", "none"), "auto") == "none":
        raise unsupported("response.conversation", "Leave it out: every response joins the conversation.")
    if response.values.get("input") is not None:
        raise unsupported("response.input", "Leave it out: the response answers the conversation.")


def _audio_output(response: Fields) -> Fields:
    audio = response.inner("audio")
    audio.only("output")
    output = audio.inner("output")
    output.only("format", "voice")
    output.optional("format", audio_format, None)
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
    "conversation.item.delete": lambda f: DeleteItem(f.required("item_id", _item_id)),
    "conversation.item.retrieve": lambda f: RetrieveItem(f.required("item_id", _item_id)),
    "conversation.item.truncate": _truncate_item,
    "response.create": _create_response,
    "response.cancel": lambda f: CancelReply(f.optional("response_id", _item_id, None)),
    "output_audio_buffer.clear": _refuse_output_clear,
}
