"""What clients of OpenAI's API post: multipart forms, audio files, chat messages, wishes for speech.

Knows: formats. Does not know: HTTP beyond a body's bytes, engines' work.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import orjson
import soundfile

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Message, Role

_BOUNDARY: Final = re.compile(rb'multipart/form-data\s*;.*?boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_NAME: Final = re.compile(rb'^content-disposition:.*?[;\s]name="?([^";]*)"?', re.IGNORECASE | re.MULTILINE)
_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class BadRequest(Exception):  # noqa: N818 - what the client gets
    """The message is a sentence for the client."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class TranscriptionForm:
    audio: Samples
    """16 kHz."""
    language: str | None
    prompt: str
    style: Literal["json", "text", "verbose_json"]
    stream: bool


@dataclass(frozen=True, slots=True)
class ChatForm:
    messages: tuple[Message, ...]
    max_tokens: int | None
    stream: bool
    usage: bool
    """The stream's last chunk says how many tokens there were."""
    model: str


@dataclass(frozen=True, slots=True)
class SpeechForm:
    text: str
    voice: str
    speed: float
    style: Literal["pcm", "wav"]


def transcription(content_type: bytes, body: bytes) -> TranscriptionForm:
    fields = multipart(content_type, body)
    if "file" not in fields:
        raise BadRequest("The form has no field `file`.")
    style = _text(fields, "response_format") or "json"
    if style not in ("json", "text", "verbose_json"):
        raise BadRequest(f"response_format {style!r} is not known here: use json, text or verbose_json.")
    return TranscriptionForm(
        speech(fields["file"]),
        _text(fields, "language") or None,
        _text(fields, "prompt"),
        style,  # type: ignore[arg-type]  # mypy does not narrow a str by `in`
        _text(fields, "stream").lower() == "true",
    )


def chat(body: bytes) -> ChatForm:
    fields = _object(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("`messages` has to be a list with at least one message.")
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise BadRequest("`max_tokens` has to be a whole number of 1 or more.")
    options = fields.get("stream_options") or {}
    return ChatForm(
        tuple(message for raw in messages if (message := _message(raw))),
        limit,
        fields.get("stream") is True,
        isinstance(options, dict) and options.get("include_usage") is True,
        str(fields.get("model", "")),
    )


def speaking(body: bytes) -> SpeechForm:
    fields = _object(body)
    text, voice, speed = fields.get("input"), fields.get("voice", ""), fields.get("speed", 1.0)
    if not isinstance(text, str) or not text:
        raise BadRequest("`input` has to be a text.")
    if not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
        raise BadRequest("`speed` has to be a number from 0.25 to 4.")
    style = fields.get("response_format", "mp3")
    if style not in ("pcm", "wav"):
        raise BadRequest(f"response_format {style!r} is not made here: use pcm or wav.")
    if fields.get("stream_format", "audio") != "audio":
        raise BadRequest("Speech is streamed as audio here, not as events: leave stream_format out.")
    return SpeechForm(text, voice if isinstance(voice, str) else "", float(speed), style)


def multipart(content_type: bytes, body: bytes) -> dict[str, bytes]:
    """Content by field name (RFC 7578); the last of two with the same name."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("The body has to be multipart/form-data with a boundary.")
    boundary = b"--" + (found[1] or found[2])
    parts = (b"\r\n" + body).split(b"\r\n" + boundary)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise BadRequest("The form is cut off: its closing boundary is missing.")
    fields: dict[str, bytes] = {}
    for part in parts[1:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head.strip())
        if not blank or name is None:
            raise BadRequest("A part of the form has no name.")
        fields[name[1].decode(errors="replace")] = content
    return fields


def speech(file: bytes) -> Samples:
    """Any format that libsndfile reads -> mono, 16 kHz."""
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise BadRequest("`file` is no audio that can be read: send WAV, FLAC, OGG or MP3.") from error
    if not np.isfinite(samples).all():
        raise BadRequest("`file` holds samples that are not numbers.")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return resample(np.ascontiguousarray(mono), int(rate_hz), LISTEN_RATE_HZ)


def _message(raw: Any) -> Message | None:
    """None for a role that no engine here knows, such as a tool's result."""
    if not isinstance(raw, dict):
        raise BadRequest("Every message has to be an object with `role` and `content`.")
    role = _ROLES.get(str(raw.get("role")))
    return Message(role, _content(raw.get("content"))) if role else None


def _content(content: Any) -> str:
    """A text, or the texts among a list of parts."""
    if isinstance(content, str):
        return content
    parts: Sequence[Any] = content if isinstance(content, list) else ()
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("text"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise BadRequest("The body has to be a JSON object.")
    return fields


def _text(fields: Mapping[str, bytes], name: str) -> str:
    return fields.get(name, b"").decode(errors="replace").strip()
