"""The events of one reply, in the order that clients rely on.

Knows: what opens, carries and closes a reply and each item of its output. Does not know: why it begins or ends, or
other replies.

    response.created
    response.output_item.added, conversation.item.added, response.content_part.added                    the message
    response.output_audio_transcript.delta, response.output_audio.delta (or response.output_text.delta)
    response.output_audio.done, response.output_audio_transcript.done (or response.output_text.done)
    response.content_part.done, conversation.item.done, response.output_item.done
    response.output_item.added, conversation.item.added, response.function_call_arguments.delta         each call
    response.function_call_arguments.done, conversation.item.done, response.output_item.done
    response.done

Items are numbered in the order in which they begin; calls may come while the message's audio is still leaving. The
closing is the same however the reply ends: completed, cut off or failed, even before its first word. A call that is cut
off has no response.function_call_arguments.done, since clients run the tool when that comes. A reply beside the
conversation has no conversation.item.*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from voxtral_voice.conversation.events import (
    CallItem,
    Entry,
    Item,
    ItemStatus,
    ReplyCallStarted,
    ReplyEnded,
    ReplyStarted,
    Samples,
    ToolCall,
    WordTimes,
)
from voxtral_voice.realtime.audio_formats import FormatName, encoder
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.realtime.server_events import (
    ServerEvents,
    audio_delta_head,
    extra_object,
    item_object,
    opened_item_object,
    part_object,
    response_object,
    words_object,
)

OUR_FIELD: Final = "voxtral_voice"
"""What other servers do not say stands in this one field of an event; clients that do not know it leave it out."""
TEXT_EVENTS: Final = {"audio": "response.output_audio_transcript", "text": "response.output_text"}


@dataclass(slots=True)
class _Output:
    """One item of the response."""

    item_id: str
    after: str | None
    place: JsonObject
    """What every event about it says."""
    done: JsonObject | None = None
    """The item as it was at its end."""


@dataclass(slots=True)
class _Call:
    output: _Output
    call: ToolCall
    """With its arguments so far."""


class ReplyEvents:
    """conversation_id: None for a reply beside the conversation."""

    def __init__(
        self,
        events: ServerEvents,
        started: ReplyStarted,
        conversation_id: str | None,
        output_format: FormatName,
        metadata: dict[str, str] | None,
    ) -> None:
        self._events = events
        self._started = started
        self._conversation_id = conversation_id
        self._format = output_format
        self._metadata: Json = None if metadata is None else {**metadata}
        self._outputs: list[_Output] = []
        self._calls: dict[str, _Call] = {}
        """By the ids of their items."""
        self._message: JsonObject = {}
        """Place of the message's only content part."""
        self._encoded: Callable[[Samples], bytes] = encoder(output_format)
        self._audio_head = b""

    @property
    def is_aside(self) -> bool:
        return self._conversation_id is None

    def opening(self) -> list[bytes]:
        created = self._events.encode("response.created", {"response": self._response(None)})
        started = self._started
        if started.item_id is None:
            return [created]
        return [created, *self.message(started.item_id, started.after)]

    def message(self, item_id: str, after: str | None) -> list[bytes]:
        """The reply's words begin, as an item of their own."""
        modality = self._started.modality
        output = self._begin(item_id, after)
        self._message = {**output.place, "content_index": 0}
        self._audio_head = audio_delta_head(self._message)
        item = opened_item_object(Item(item_id, "assistant", modality, None, "in_progress"))
        part: JsonObject = {**self._message, "part": part_object(modality, "")}
        return [*self._added(output, item), self._events.encode("response.content_part.added", part)]

    def text(self, delta: str, words: WordTimes = ()) -> bytes:
        """words: in the message's audio."""
        fields: JsonObject = {**self._message, "delta": delta}
        if words:
            fields[OUR_FIELD] = words_object(words)
        return self._events.encode(f"{TEXT_EVENTS[self._started.modality]}.delta", fields)

    def audio(self, samples: Samples) -> list[bytes]:
        audio = self._encoded(samples)
        return [self._events.audio_delta(self._audio_head, audio)] if audio else []

    def call(self, started: ReplyCallStarted) -> list[bytes]:
        output, call = self._begin(started.item_id, started.after), ToolCall(started.call_id, started.name, "")
        self._calls[started.item_id] = _Call(output, call)
        return self._added(output, item_object(CallItem(started.item_id, call, "in_progress")))

    def arguments(self, item_id: str, delta: str) -> bytes:
        call = self._calls[item_id]
        call.call = replace(call.call, arguments=call.call.arguments + delta)
        fields: JsonObject = {**call.output.place, "call_id": call.call.call_id, "delta": delta}
        return self._events.encode("response.function_call_arguments.delta", fields)

    def call_ended(self, item_id: str) -> list[bytes]:
        output, call = self._calls[item_id].output, self._calls[item_id].call
        said: JsonObject = {"call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        arguments = self._events.encode("response.function_call_arguments.done", {**output.place, **said})
        return [arguments, *self._done(output, CallItem(item_id, call))]

    def closing(self, ended: ReplyEnded) -> list[bytes]:
        frames = [frame for output in self._outputs if output.done is None for frame in self._close(output, ended)]
        fields: JsonObject = {"response": self._response(ended)}
        if extra := extra_object(ended):
            fields[OUR_FIELD] = extra
        return [*frames, self._events.encode("response.done", fields)]

    # --- items of the output ------------------------------------------------------------------------------------

    def _begin(self, item_id: str, after: str | None) -> _Output:
        place: JsonObject = {
            "response_id": self._started.reply_id, "output_index": len(self._outputs), "item_id": item_id,
        }  # fmt: skip
        output = _Output(item_id, after, place)
        self._outputs.append(output)
        return output

    def _added(self, output: _Output, item: JsonObject) -> list[bytes]:
        frames = [self._events.encode("response.output_item.added", self._in_response(output, item))]
        return [*frames, *self._in_conversation("added", output, item)]

    def _close(self, output: _Output, ended: ReplyEnded) -> list[bytes]:
        """What the reply ended in the middle of."""
        status: ItemStatus = "completed" if ended.status == "completed" else "incomplete"
        if output.item_id in self._calls:
            return self._done(output, CallItem(output.item_id, self._calls[output.item_id].call, "incomplete"))
        modality, text = self._started.modality, ended.text
        part: JsonObject = {**self._message, "part": part_object(modality, text)}
        return [
            *self._content_done(text),
            self._events.encode("response.content_part.done", part),
            *self._done(output, Item(output.item_id, "assistant", modality, text, status)),
        ]

    def _content_done(self, text: str) -> list[bytes]:
        encode = self._events.encode
        if self._started.modality == "text":
            return [encode("response.output_text.done", {**self._message, "text": text})]
        return [
            encode("response.output_audio.done", self._message),
            encode("response.output_audio_transcript.done", {**self._message, "transcript": text}),
        ]

    def _done(self, output: _Output, entry: Entry) -> list[bytes]:
        output.done = item = item_object(entry)
        told = self._in_conversation("done", output, item)
        return [*told, self._events.encode("response.output_item.done", self._in_response(output, item))]

    def _in_response(self, output: _Output, item: JsonObject) -> JsonObject:
        place = {key: output.place[key] for key in ("response_id", "output_index")}
        return {**place, "item": item}

    def _in_conversation(self, step: str, output: _Output, item: JsonObject) -> list[bytes]:
        if self.is_aside:
            return []
        fields: JsonObject = {"previous_item_id": output.after, "item": item}
        return [self._events.encode(f"conversation.item.{step}", fields)]

    def _response(self, ended: ReplyEnded | None) -> JsonObject:
        items: list[Json] = [output.done for output in self._outputs if output.done is not None]
        return response_object(self._started, ended, items, self._conversation_id, self._format, self._metadata)
