"""Objects of the wire (items, parts, responses, errors) and the encoding of server events.

Knows: which keys each object has, which of them must be there as null, which must not. Does not know: the order of
events, or sessions.

Quirks that clients depend on (realtime protocol, agents-js' schemas): the content of an *item* is called
`output_audio` / `output_text`, a content *part* `audio` / `text`; a part's unused keys are absent, while an item's
`audio` and `transcript` are null when not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import orjson
import pybase64

from voxtral_voice.conversation.events import (
    Entry,
    Item,
    Modality,
    OutputItem,
    ReplyEnded,
    ReplyStarted,
    SpokenBy,
    Usage,
    WordTimes,
)
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.audio_formats import FormatName
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.realtime.session_object import format_json, token_limit

ErrorKind = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ServerEvents:
    """ids("event") gives the event ids, each of them new."""

    def __init__(self, ids: Callable[[str], str]) -> None:
        self._ids = ids

    def encode(self, kind: str, fields: JsonObject) -> bytes:
        return orjson.dumps({"type": kind, "event_id": self._ids("event"), **fields})

    def error(self, kind: ErrorKind, error: JsonObject) -> bytes:
        return self.encode("error", {"error": {"type": kind, **error}})

    def audio_delta(self, head: bytes, audio: bytes) -> bytes:
        """`head` is from `audio_delta_head`. Made by hand: it is nearly all of the traffic."""
        return b'%b,"event_id":%b,"delta":"%b"}' % (head, orjson.dumps(self._ids("event")), pybase64.b64encode(audio))


def audio_delta_head(place: JsonObject) -> bytes:
    """The part of `response.output_audio.delta` that is the same for a whole reply; not JSON by itself."""
    return orjson.dumps({"type": "response.output_audio.delta", **place})[:-1]


# --- objects ----------------------------------------------------------------------------------------------------


def item_object(entry: Entry, audio: str | None = None) -> JsonObject:
    """audio: its sound in base64; None: not kept, or not asked for."""
    if isinstance(entry, Item):
        return _message(entry, _content(entry, audio))
    same: JsonObject = {"id": entry.id, "object": "realtime.item", "status": entry.status}
    if isinstance(entry, OutputItem):
        result = entry.result
        return {**same, "type": "function_call_output", "call_id": result.call_id, "output": result.output}
    call = entry.call
    return {
        **same, "type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments,
    }  # fmt: skip


def opened_item_object(item: Item) -> JsonObject:
    """A reply's item before it has content."""
    return _message(item, [])


def _message(item: Item, content: list[Json]) -> JsonObject:
    return {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "status": item.status,
        "role": item.role,
        "content": content,
    }


def _content(item: Item, audio: str | None) -> list[Json]:
    side = "output" if item.role == "assistant" else "input"
    pictures: list[Json] = [
        {"type": "input_image", "image_url": picture.url, "detail": picture.detail} for picture in item.pictures
    ]
    if pictures and item.text == "":
        return pictures
    if item.modality == "audio":
        return [*pictures, {"type": f"{side}_audio", "audio": audio, "transcript": item.text}]
    return [*pictures, {"type": f"{side}_text", "text": item.text}]


def part_object(modality: Modality, text: str) -> JsonObject:
    return {"type": modality, "transcript" if modality == "audio" else "text": text}


def error_object(code: str, message: str, param: str | None, client_event_id: str | None) -> JsonObject:
    return {"code": code, "message": message, "param": param, "event_id": client_event_id}


def response_object(
    started: ReplyStarted,
    ended: ReplyEnded | None,
    output: list[Json],
    conversation_id: str | None,
    output_format: FormatName,
    metadata: Json,
) -> JsonObject:
    """`ended` None: in progress. conversation_id None: it is beside the conversation."""
    return {
        "object": "realtime.response",
        "id": started.reply_id,
        "status": ended.status if ended else "in_progress",
        "status_details": _status_details(ended),
        "output": output,
        "conversation_id": conversation_id,
        "output_modalities": [started.modality],
        "max_output_tokens": token_limit(started.max_output_tokens),
        "audio": {"output": {"format": format_json(output_format), "voice": started.voice}},
        "usage": _usage(ended.usage or NOT_COUNTED) if ended else None,
        "metadata": metadata,
    }


def _status_details(ended: ReplyEnded | None) -> Json:
    if ended is None or ended.status == "completed":
        return None
    error: Json = None
    if ended.status == "failed":
        error = {"type": "server_error", "code": "engine_failed", "message": ended.error}
    return {"type": ended.status, "reason": ended.reason, "error": error}


NOT_COUNTED: Final = Usage(0, 0)
"""Of engines that do not say how many tokens they used: a guess would be taken for a fact."""


def _usage(usage: Usage) -> JsonObject:
    """All tokens are text: the responder is shown words, and says words."""
    cached: JsonObject = {"text_tokens": usage.cached_tokens, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {
            "text_tokens": usage.input_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": usage.cached_tokens,
            "cached_tokens_details": cached,
        },
        "output_token_details": {"text_tokens": usage.output_tokens, "audio_tokens": 0},
    }


def extra_object(ended: ReplyEnded) -> JsonObject:
    """Our extra field on `response.done`: of a turn's answer where the time went, and of speech the voice and when each
    word is said. Empty when there is nothing to say."""
    extra: JsonObject = {}
    if ended.timeline is not None:
        extra["trace"] = _trace(ended.timeline)
    if ended.by is not None:
        extra["voice"] = voice_object(ended.by)
    return {**extra, **words_object(ended.words)}


def words_object(words: WordTimes) -> JsonObject:
    """{} when there are none."""
    said: list[Json] = [
        {"word": word, "start_ms": round(start_ms), "end_ms": round(end_ms)} for word, start_ms, end_ms in words
    ]
    return {"words": said} if said else {}


def _trace(timeline: Timeline) -> JsonObject:
    """In ms."""
    return {
        "stages_ms": {**timeline.stages_ms()},
        "offsets_ms": {**timeline.offsets_ms()},
        "total_ms": timeline.total_ms(),
        "endpoint_ms": timeline.endpoint_ms(),
    }


def voice_object(by: SpokenBy) -> JsonObject:
    return {"asked": by.asked, "used": by.used, "language": by.language or None, "why": by.why}
