"""The events of one reply, in the order that clients rely on.

Knows: what opens, carries and closes a reply. Does not know: why it begins or ends, or other replies.

    response.created, response.output_item.added, conversation.item.added, response.content_part.added
    response.output_audio_transcript.delta and response.output_audio.delta   (or response.output_text.delta)
    response.output_audio.done, response.output_audio_transcript.done        (or response.output_text.done)
    response.content_part.done, conversation.item.done, response.output_item.done, response.done

The closing is the same however the reply ends: completed, cancelled or failed, even before its first word.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.conversation.events import Item, ItemStatus, ReplyEnded, ReplyStarted, Samples
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.realtime.server_events import (
    ServerEvents,
    audio_delta_head,
    item_object,
    opened_item_object,
    part_object,
    response_object,
    trace_object,
)

TEXT_EVENTS: Final = {"audio": "response.output_audio_transcript", "text": "response.output_text"}


class ReplyEvents:
    def __init__(
        self, events: ServerEvents, started: ReplyStarted, conversation_id: str, metadata: dict[str, str] | None
    ) -> None:
        self._events = events
        self._started = started
        self._conversation_id = conversation_id
        self._metadata: Json = None if metadata is None else {**metadata}
        self._output: JsonObject = {"response_id": started.reply_id, "output_index": 0}
        self._place: JsonObject = {**self._output, "item_id": started.item_id, "content_index": 0}
        self._audio_head = audio_delta_head(self._place)

    def opening(self) -> list[bytes]:
        encode, started = self._events.encode, self._started
        item = opened_item_object(Item(started.item_id, "assistant", started.modality, None, "in_progress"))
        response = response_object(started, None, [], self._conversation_id, self._metadata)
        part = part_object(started.modality, "")
        return [
            encode("response.created", {"response": response}),
            encode("response.output_item.added", {**self._output, "item": item}),
            encode("conversation.item.added", {"previous_item_id": started.after, "item": item}),
            encode("response.content_part.added", {**self._place, "part": part}),
        ]

    def text(self, delta: str) -> bytes:
        return self._events.encode(f"{TEXT_EVENTS[self._started.modality]}.delta", {**self._place, "delta": delta})

    def audio(self, samples: Samples) -> bytes:
        return self._events.audio_delta(self._audio_head, samples)

    def closing(self, ended: ReplyEnded) -> list[bytes]:
        encode, started = self._events.encode, self._started
        status: ItemStatus = "completed" if ended.status == "completed" else "incomplete"
        item = item_object(Item(started.item_id, "assistant", started.modality, ended.text, status))
        part = part_object(started.modality, ended.text)
        return [
            *self._content_done(ended.text),
            encode("response.content_part.done", {**self._place, "part": part}),
            encode("conversation.item.done", {"previous_item_id": started.after, "item": item}),
            encode("response.output_item.done", {**self._output, "item": item}),
            encode("response.done", self._done(ended, item)),
        ]

    def _content_done(self, text: str) -> list[bytes]:
        encode = self._events.encode
        if self._started.modality == "text":
            return [encode("response.output_text.done", {**self._place, "text": text})]
        return [
            encode("response.output_audio.done", self._place),
            encode("response.output_audio_transcript.done", {**self._place, "transcript": text}),
        ]

    def _done(self, ended: ReplyEnded, item: JsonObject) -> JsonObject:
        response = response_object(self._started, ended, [item], self._conversation_id, self._metadata)
        if ended.timeline is None:
            return {"response": response}
        return {"response": response, "voxtral_voice": trace_object(ended.timeline)}
