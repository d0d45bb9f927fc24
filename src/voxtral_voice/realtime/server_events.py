"""Objects of the wire (items, parts, responses, errors) and the encoding of server events.

Knows: which keys each object has, which of them must be there as null, which must not. Does not know: the order of
events, or sessions.

Two quirks that clients depend on (realtime protocol, agents-js' schemas): the content of an *item* is called
`output_audio` / `output_text`, a content *part* `audio` / `text`; and a part's unused keys are absent, while an
item's `audio` and `transcript` are null when not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import orjson
import pybase64

from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.conversation.events import Item, Modality, ReplyEnded, ReplyStarted, Samples
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.realtime.session_object import pcm_format, token_limit

ErrorKind = Literal["invalid_request_error", "server_error"]


class ServerEvents:
    """ids("event") gives the event ids, each of them new."""

    def __init__(self, ids: Callable[[str], str]) -> None:
        self._ids = ids

    def encode(self, kind: str, fields: JsonObject) -> bytes:
        return orjson.dumps({"type": kind, "event_id": self._ids("event"), **fields})

    def error(self, kind: ErrorKind, error: JsonObject) -> bytes:
        return self.encode("error", {"error": {"type": kind, **error}})

    def audio_delta(self, head: bytes, samples: Samples) -> bytes:
        """`head` is from `audio_delta_head`; samples are 24 kHz. Made by hand: it is nearly all of the traffic."""
        audio = pybase64.b64encode(float_to_pcm16(samples))
        return b'%b,"event_id":%b,"delta":"%b"}' % (head, orjson.dumps(self._ids("event")), audio)


def audio_delta_head(place: JsonObject) -> bytes:
    """The part of `response.output_audio.delta` that is the same for a whole reply; not JSON by itself."""
    return orjson.dumps({"type": "response.output_audio.delta", **place})[:-1]


# --- objects ----------------------------------------------------------------------------------------------------


def item_object(item: Item) -> JsonObject:
    return _message(item, [_content(item)])


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


def _content(item: Item) -> JsonObject:
    """The sound itself is not kept: `audio` is null."""
    side = "output" if item.role == "assistant" else "input"
    if item.modality == "audio":
        return {"type": f"{side}_audio", "audio": None, "transcript": item.text}
    return {"type": f"{side}_text", "text": item.text}


def part_object(modality: Modality, text: str) -> JsonObject:
    return {"type": modality, "transcript" if modality == "audio" else "text": text}


def error_object(code: str, message: str, param: str | None, client_event_id: str | None) -> JsonObject:
    return {"code": code, "message": message, "param": param, "event_id": client_event_id}


def response_object(
    started: ReplyStarted,
    ended: ReplyEnded | None,
    output: list[Json],
    conversation_id: str,
    metadata: Json,
) -> JsonObject:
    """`ended` None: in progress."""
    return {
        "object": "realtime.response",
        "id": started.reply_id,
        "status": ended.status if ended else "in_progress",
        "status_details": _status_details(ended),
        "output": output,
        "conversation_id": conversation_id,
        "output_modalities": [started.modality],
        "max_output_tokens": token_limit(started.max_output_tokens),
        "audio": {"output": {"format": pcm_format(), "voice": started.voice}},
        "usage": _usage() if ended else None,
        "metadata": metadata,
    }


def _status_details(ended: ReplyEnded | None) -> Json:
    if ended is None or ended.status == "completed":
        return None
    error: Json = None
    if ended.status == "failed":
        error = {"type": "server_error", "code": "engine_failed", "message": ended.error}
    return {"type": ended.status, "reason": ended.reason, "error": error}


def _usage() -> JsonObject:
    """Every count is 0: the engines do not say how many tokens they used, and a guess would be taken for a fact."""
    none: JsonObject = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "input_token_details": {**none, "cached_tokens": 0, "cached_tokens_details": none},
        "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
    }


def trace_object(timeline: Timeline) -> JsonObject:
    """Our extra field on `response.done`: where the time of the turn went, in ms."""
    return {
        "trace": {
            "stages_ms": {**timeline.stages_ms()},
            "offsets_ms": {**timeline.offsets_ms()},
            "total_ms": timeline.total_ms(),
            "endpoint_ms": timeline.endpoint_ms(),
        }
    }
