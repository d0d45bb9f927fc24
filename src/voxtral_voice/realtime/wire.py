"""The wire of one session: client frames to core events, core notices to server frames.

Knows: the session's configuration as the client sees it, the replies that are open on the wire, half a sample that
waits for its other half. Does not know: the history (it is looked up in the core's), audio beyond its bytes, sockets.

    opening()                 what the server says first
    client(frame, items)      a frame of the client -> what to feed to the core, audio, and direct answers
    notice(notice, event_id)  what the core says -> frames for the client, in order
    error(...)                an error that neither of them knows of (the session expired, the server stops)

Calls come in the order of the wire: the events of one frame are fed to the core, and its notices told, before the
next frame is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import orjson

from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.client_events import (
    AppendAudio,
    ClientEvent,
    CreateItem,
    CreateResponse,
    RetrieveItem,
    UpdateSession,
    parse,
)
from voxtral_voice.realtime.fields import FieldError, JsonObject, Problem
from voxtral_voice.realtime.reply_events import ReplyEvents
from voxtral_voice.realtime.server_events import ErrorKind, ServerEvents, error_object, item_object
from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.voices import Voices

SAMPLES_PER_MS: Final = 16
"""Of the positions in the core's events."""
BYTES_PER_SAMPLE: Final = 2
SESSION_S: Final = 3600

ItemLookup = Callable[[str], ev.Item | None]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one frame of the client comes to."""

    events: tuple[ev.Event, ...] = ()
    """For the core, in order."""
    pcm: bytes = b""
    """Whole samples for the input buffer: 16-bit little-endian mono, 24 kHz."""
    frames: tuple[bytes, ...] = ()
    """Answers that need no core."""
    client_event_id: str | None = None
    """To be given to `notice` with what the core says to `events`."""


class Wire:
    """ids(kind) gives new ids for "event", "item" and "conv"; now_unix is in seconds."""

    def __init__(
        self,
        session_id: str,
        ids: Callable[[str], str],
        voices: Voices,
        model: str,
        now_unix: int,
        session_s: int = SESSION_S,
        patience: float | None = None,
    ) -> None:
        """patience: of sessions that ask for none; None = the core's default."""
        self._ids = ids
        self._events = ServerEvents(ids)
        self._session = SessionObject(
            session_id, model, now_unix + session_s, voices, voices.default, server_patience=patience
        )
        self._conversation_id = ids("conv")
        self._replies: dict[str, ReplyEvents] = {}
        """Open on the wire; the core has one at a time."""
        self._half_sample = b""

    @property
    def settings(self) -> ev.Settings:
        """As they stand; those to begin the core's session with, before the first frame."""
        return self._session.to_settings()

    def opening(self) -> list[bytes]:
        return [self._events.encode("session.created", {"session": self._session.to_json()})]

    def error(
        self,
        code: str,
        message: str,
        param: str | None = None,
        client_event_id: str | None = None,
        kind: ErrorKind = "invalid_request_error",
    ) -> bytes:
        return self._events.error(kind, error_object(code, message, param, client_event_id))

    # --- from the client ----------------------------------------------------------------------------------------

    def client(self, frame: str | bytes, items: ItemLookup) -> Incoming:
        """`frame`: a text frame as str, a binary one as bytes. `items` finds an item of the history by its id."""
        event = parse(frame)
        if isinstance(event, Problem):
            return self._refused(event)
        match event.action:
            case AppendAudio(pcm):
                return Incoming(pcm=self._whole_samples(pcm), client_event_id=event.event_id)
            case UpdateSession(patch):
                return self._update_session(patch, event.event_id)
            case CreateItem() as create:
                return _for_core(event, ev.AddItem(self._item(create), create.after))
            case RetrieveItem(item_id):
                return self._retrieve(items(item_id), item_id, event.event_id)
            case CreateResponse() as create_response:
                return self._create_response(create_response, event)
            case core_event:
                if isinstance(core_event, ev.CommitAudio | ev.ClearAudio):
                    self._half_sample = b""  # the next append begins a new stream
                return _for_core(event, core_event)

    def _whole_samples(self, pcm: bytes) -> bytes:
        pcm = self._half_sample + pcm if self._half_sample else pcm
        whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
        self._half_sample = pcm[whole:]
        return pcm[:whole]

    def _update_session(self, patch: JsonObject, event_id: str | None) -> Incoming:
        session = self._session.patched(patch)
        if isinstance(session, Problem):
            return self._refused(replace(session, client_event_id=event_id))
        self._session = session
        return Incoming(events=(ev.Configure(session.to_settings()),), client_event_id=event_id)

    def _item(self, create: CreateItem) -> ev.Item:
        return ev.Item(create.item_id or self._ids("item"), create.role, create.modality, create.text, create.status)

    def _retrieve(self, item: ev.Item | None, item_id: str, event_id: str | None) -> Incoming:
        if item is None:
            message = f"Error retrieving item: the item with id '{item_id}' does not exist."
            return self._refused(Problem("item_retrieve_invalid_item_id", message, "item_id", event_id))
        frame = self._events.encode("conversation.item.retrieved", {"item": item_object(item)})
        return Incoming(frames=(frame,), client_event_id=event_id)

    def _create_response(self, create: CreateResponse, event: ClientEvent) -> Incoming:
        voice = create.options.voice
        if voice is not None:
            try:
                voice = self._session.voices.resolve(voice, "response.audio.output.voice")
            except FieldError as error:
                return self._refused(replace(error.problem, client_event_id=event.event_id))
        request = None if create.metadata is None else orjson.dumps(create.metadata).decode()
        return _for_core(event, ev.CreateReply(replace(create.options, voice=voice, request=request)))

    def _refused(self, problem: Problem) -> Incoming:
        frame = self.error(problem.code, problem.message, problem.param, problem.client_event_id)
        return Incoming(frames=(frame,), client_event_id=problem.client_event_id)

    # --- from the core ------------------------------------------------------------------------------------------

    def notice(self, notice: ev.Notice, client_event_id: str | None = None) -> list[bytes]:
        """`client_event_id`: of the client event that the core answers with this notice, if it does."""
        encode = self._events.encode
        match notice:
            case ev.ReplyAudioDelta(reply_id, samples, _):
                return [self._replies[reply_id].audio(samples)]
            case ev.ReplyTextDelta(reply_id, delta):
                return [self._replies[reply_id].text(delta)]
            case ev.ReplyStarted():
                return self._reply_started(notice)
            case ev.ReplyEnded(reply_id):
                return self._replies.pop(reply_id).closing(notice)
            case ev.TranscriptDelta() | ev.TranscriptDone() | ev.TranscriptLost():
                return self._transcript(notice)
            case ev.SpeechStarted(item_id, sample):
                fields: JsonObject = {"audio_start_ms": sample // SAMPLES_PER_MS, "item_id": item_id}
                return [encode("input_audio_buffer.speech_started", fields)]
            case ev.SpeechStopped(item_id, sample):
                fields = {"audio_end_ms": sample // SAMPLES_PER_MS, "item_id": item_id}
                return [encode("input_audio_buffer.speech_stopped", fields)]
            case ev.AudioCommitted(item, after):
                fields = {"previous_item_id": after, "item_id": item.id}
                return [encode("input_audio_buffer.committed", fields), *self._item_added(item, after)]
            case ev.AudioCleared():
                return [encode("input_audio_buffer.cleared", {})]
            case ev.ItemAdded(item, after):
                return self._item_added(item, after)
            case ev.ItemDeleted(item_id):
                return [encode("conversation.item.deleted", {"item_id": item_id})]
            case ev.ItemTruncated(item_id, end_ms):
                fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": end_ms}
                return [encode("conversation.item.truncated", fields)]
            case ev.Configured():
                return [encode("session.updated", {"session": self._session.to_json()})]
            case ev.IdleTimeout(item_id, start, end):
                fields = {"audio_start_ms": start // SAMPLES_PER_MS, "audio_end_ms": end // SAMPLES_PER_MS}
                return [encode("input_audio_buffer.timeout_triggered", {**fields, "item_id": item_id})]
            case ev.FloorChanged() | ev.Speculated():
                return self._our_event(notice)
            case _:
                return [self.error(notice.code, notice.message, notice.param, client_event_id)]

    def _our_event(self, notice: ev.FloorChanged | ev.Speculated) -> list[bytes]:
        """Told only to a client that asked for our events."""
        if not self._session.wants_our_events:
            return []
        if isinstance(notice, ev.FloorChanged):
            return [self._events.encode("voxtral_voice.floor", {"state": notice.state})]
        return [self._events.encode("voxtral_voice.speculation", {"outcome": notice.outcome, "text": notice.text})]

    def _item_added(self, item: ev.Item, after: str | None) -> list[bytes]:
        fields: JsonObject = {"previous_item_id": after, "item": item_object(item)}
        return [
            self._events.encode("conversation.item.added", fields),
            self._events.encode("conversation.item.done", fields),
        ]

    def _reply_started(self, started: ev.ReplyStarted) -> list[bytes]:
        metadata = None if started.request is None else orjson.loads(started.request)
        reply = ReplyEvents(self._events, started, self._conversation_id, metadata)
        self._replies[started.reply_id] = reply
        return reply.opening()

    def _transcript(self, notice: ev.TranscriptDelta | ev.TranscriptDone | ev.TranscriptLost) -> list[bytes]:
        """Told only to a client that asked for transcription."""
        if self._session.transcription is None:
            return []
        place: JsonObject = {"item_id": notice.item_id, "content_index": 0}
        match notice:
            case ev.TranscriptDelta(_, delta):
                kind, fields = "delta", {**place, "delta": delta, "logprobs": None}
            case ev.TranscriptDone(_, text, seconds):
                usage: JsonObject = {"type": "duration", "seconds": seconds}
                kind, fields = "completed", {**place, "transcript": text, "usage": usage, "logprobs": None}
            case lost:
                # no "param": agents-js' schema knows no null there
                error: JsonObject = {"type": "server_error", "code": "transcriber_failed", "message": lost.message}
                kind, fields = "failed", {**place, "error": error}
        return [self._events.encode(f"conversation.item.input_audio_transcription.{kind}", fields)]


def _for_core(event: ClientEvent, core_event: ev.Event) -> Incoming:
    return Incoming(events=(core_event,), client_event_id=event.event_id)
