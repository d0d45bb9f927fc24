"""Items that a client makes: messages, calls of tools and their outputs, checked.

Knows: every kind of item and of content, under the names of GA and of the beta. Does not know: the history, the format
of audio, what a responder makes of an item.

Pictures come with the item, as data: URLs; nothing is ever fetched for a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import pybase64

from voxtral_voice.conversation.events import (
    CallItem,
    Entry,
    Item,
    ItemReference,
    ItemStatus,
    Modality,
    OutputItem,
    Picture,
    Role,
    Shown,
    ToolCall,
    ToolOutput,
)
from voxtral_voice.realtime.fields import (
    Check,
    Fields,
    Json,
    audio_bytes,
    choice,
    each,
    invalid_size,
    text,
    unsupported,
)
from voxtral_voice.realtime.tools import tool_name

MAX_ID_CHARS: Final = 512
"""Clients make up ids of their own, so the limit is not a tight one."""
MAX_CONTENT_PARTS: Final = 128
MAX_PICTURE_CHARS: Final = 4 * 1024 * 1024
"""Of all pictures of one item (3 MiB of image): it is told back twice, and clients read messages of at most 8 MiB."""
PICTURE: Final = re.compile(r"data:image/(png|jpeg|jpg|webp|gif);base64,")

item_id: Final = text(MAX_ID_CHARS, 1)


@dataclass(frozen=True, slots=True)
class NewItem:
    entry: Entry
    """Its id is "" when the client gave none."""
    sound: bytes = b""
    """That came with it, in the format of the session's input (of an assistant's message: output). Of a user's message
    whose text is None, what the words have to be made of."""


def new_item(value: Json, param: str) -> NewItem:
    fields = Fields.of(value, param)
    kind = fields.required("type", text())
    if kind.startswith("mcp_"):
        raise unsupported(fields.param("type"), "The client runs its tools: offer them as functions.")
    return _KINDS[choice(*_KINDS)(kind, fields.param("type"))](fields)


def response_input(value: Json, param: str) -> tuple[Shown | ItemReference, ...]:
    """One entry of a response's `input`: an item of its own, or a reference to one of the conversation."""
    fields = Fields.of(value, param)
    if fields.values.get("type") == "item_reference":
        return (ItemReference(fields.required("id", item_id)),)
    entry = new_item(value, param).entry
    if isinstance(entry, CallItem):
        return (entry.call,)
    if isinstance(entry, OutputItem):
        return (entry.result,)
    if entry.text is None:
        raise unsupported(fields.param("content"), "Audio in the input of a response needs its transcript.")
    return (*entry.pictures, (entry.role, entry.text))


# --- tools ------------------------------------------------------------------------------------------------------


def _call(fields: Fields) -> NewItem:
    call = ToolCall(
        fields.required("call_id", item_id), fields.required("name", tool_name), fields.required("arguments", text())
    )
    return NewItem(CallItem(_id(fields), call, _status(fields)))


def _output(fields: Fields) -> NewItem:
    result = ToolOutput(fields.required("call_id", item_id), fields.required("output", text()))
    return NewItem(OutputItem(_id(fields), result, _status(fields)))


def _id(fields: Fields) -> str:
    return fields.optional("id", item_id, "")


def _status(fields: Fields) -> ItemStatus:
    """Nothing more will come of it, so it is not in progress."""
    status: ItemStatus = fields.optional("status", choice("completed", "incomplete", "in_progress"), "completed")
    return "incomplete" if status == "incomplete" else "completed"


# --- messages ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Words:
    """A part of a message that is said or written."""

    modality: Modality
    text: str | None
    """None: to be made of the sound."""
    sound: bytes = b""


_Part = _Words | Picture


def _message(fields: Fields) -> NewItem:
    role: Role = fields.required("role", choice("system", "user", "assistant"))
    parts = fields.required("content", each(_content(role), MAX_CONTENT_PARTS))
    pictures = tuple(part for part in parts if isinstance(part, Picture))
    _check_size(pictures, fields.param("content"))
    words = [part for part in parts if isinstance(part, _Words)]
    if len(words) > 1 and any(part.text is None for part in words):
        raise unsupported(fields.param("content"), "Audio without a transcript has to be the only words of its item.")
    said = None if any(part.text is None for part in words) else "\n".join(part.text or "" for part in words)
    modality: Modality = "audio" if any(part.modality == "audio" for part in words) else "text"
    item = Item(_id(fields), role, modality, said, _status(fields), pictures)
    return NewItem(item, b"".join(part.sound for part in words))


def _content(role: Role) -> Check[_Part]:
    kinds = _PARTS[role]

    def check(value: Json, param: str) -> _Part:
        part = Fields.of(value, param)
        return kinds[part.required("type", choice(*kinds))](part)

    return check


def _written(part: Fields) -> _Part:
    return _Words("text", part.required("text", text()))


def _heard(part: Fields) -> _Part:
    """A user's words; without them their sound has to be there."""
    sound = part.optional("audio", audio_bytes, b"")
    transcript: str | None = part.optional("transcript", text(), None)
    if transcript is None and not sound:
        part.required("transcript", text())
    return _Words("audio", transcript, sound)


def _said(part: Fields) -> _Part:
    return _Words("audio", part.required("transcript", text()), part.optional("audio", audio_bytes, b""))


def picture_url(most_chars: int) -> Check[str]:
    """A data: URL with a picture in it; what the picture shows is not looked at."""

    def check(value: Json, param: str) -> str:
        url = text(most_chars)(value, param)
        if (head := PICTURE.match(url)) is None:
            instead = (
                "Send the picture itself, as data:image/png;base64,... (or jpeg, webp, gif); no address is fetched."
            )
            raise unsupported(param, instead)
        try:
            pybase64.b64decode(url[head.end() :], validate=True)
        except ValueError as error:
            raise invalid_size(param, "base64 (RFC 4648, padded, no line breaks)", "something else") from error
        return url

    return check


def _picture(part: Fields) -> _Part:
    url = part.required("image_url", picture_url(MAX_PICTURE_CHARS))
    detail: Literal["auto", "low", "high"] = part.optional("detail", choice("auto", "low", "high"), "auto")
    return Picture(url, detail)


def _check_size(pictures: tuple[Picture, ...], param: str) -> None:
    chars = sum(len(picture.url) for picture in pictures)
    if chars > MAX_PICTURE_CHARS:
        raise invalid_size(param, f"pictures of at most {MAX_PICTURE_CHARS} characters together", f"{chars}")


_PARTS: Final[dict[Role, dict[str, Callable[[Fields], _Part]]]] = {
    "system": {"input_text": _written},
    "user": {"input_text": _written, "input_audio": _heard, "input_image": _picture},
    "assistant": {
        "output_text": _written,
        "output_audio": _said,
        "text": _written,
        "audio": _said,
        "input_text": _written,
    },
}
"""role -> content type -> how it is read. `text` and `audio` are the beta's names; pipecat sends `input_text` for words
of the assistant, too, and an error would end it."""

_KINDS: Final[dict[str, Callable[[Fields], NewItem]]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _output,
}
