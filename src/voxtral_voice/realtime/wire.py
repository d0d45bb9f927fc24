"""The wire of one session: client frames to core events, core notices to server frames.

Knows: the session's configuration as the client sees it, the replies that are open on the wire, the stream of the
client's audio. Does not know: the history and its sounds (they are looked up), sockets.

    opening()                 what the server says first
    read(frame)               a frame of the client -> what it says; on a thread where that takes long
    act(said, items)          that -> what to feed to the core, audio, and direct answers
    client(frame, items)      both
    notice(notice, event_id)  what the core says -> frames for the client, in order
    error(...)                an error that neither of them knows of (the session expired, the server stops)

Calls come in the order of the wire: the events of one frame are fed to the core, and its notices told, before the
next frame is read. All of them come from one thread, but for `read`: it uses only what nothing but frames of the client
changes.

`rate_limits.updated` is never sent: there are no limits to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
import pybase64

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE
from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.audio_formats import RATE_HZ, Decoder, FormatName, Sound
from voxtral_voice.realtime.client_events import (
    AppendAudio,
    ClientEvent,
    CreateItem,
    CreateResponse,
    RetrieveItem,
    UpdateSession,
    parse,
)
from voxtral_voice.realtime.fields import FieldError, JsonObject, Problem, ProblemCode
from voxtral_voice.realtime.reply_events import ReplyEvents
from voxtral_voice.realtime.server_events import ErrorKind, ServerEvents, error_object, item_object
from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.tools import check_choice, choice_among
from voxtral_voice.realtime.voices import Voices

SAMPLES_PER_MS: Final = 16
"""Of the positions in the core's events."""
SESSION_S: Final = 3600
BYTES_PER_MS: Final = RATE_HZ * BYTES_PER_SAMPLE // 1000
TOO_MANY: Final = "rate_limit_exceeded"
MAX_TAKEN: Final = 1000
"""Ids that are remembered; when full the oldest goes."""

ItemLookup = Callable[[str], ev.Entry | None]
SoundLookup = Callable[[str], Sound | None]


def no_sounds(_: str) -> None:
    """Of who keeps none."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client says before its first frame: in the URL, and in the session that its client secret stands for.
    Not `?model=`: the session has the server's own, whatever that says."""

    intent: str | None = None
    """`?intent=`: "transcription" for a session of that type, where no client secret brings its own."""
    session_patch: JsonObject | None = None
    """As in a first session.update."""
    by_parts: bool = False
    """Of what is in it the rest counts where something cannot be had; else it is all or nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one frame of the client says."""

    event: ClientEvent | Problem
    pcm: bytes = b""
    """Of the audio in it: 16-bit, 24 kHz, mono; whole samples."""
    session: SessionObject | Problem | None = None
    """What it would make of the session."""


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
    sound: bytes = b""
    """Of the item in the AddItem of `events`, as `pcm`."""
    ignored: tuple[str, ...] = ()
    """What the client named that means nothing here; for the log."""
    refused: ProblemCode | None = None
    """Why nothing else came of it; for the metrics."""


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
        opening: Opening | None = None,
    ) -> None:
        """patience: of sessions that ask for none; None = the core's default."""
        self._ids = ids
        self._events = ServerEvents(ids)
        usual = SessionObject(session_id, model, now_unix + session_s, voices, voices.default, server_patience=patience)
        self._session, self._problems = opened(usual, opening or Opening())
        self._is_new = self._session is usual
        """Nothing has happened yet, so that the session may still become one of another type."""
        self._conversation_id = ids("conv")
        self._resume: JsonObject | None = None
        """What the client is told about resuming; None: it cannot."""
        self._replies: dict[str, ReplyEvents] = {}
        """Open on the wire: the one of the conversation, and those beside it."""
        self._taken: dict[str, None] = {}
        """Ids of items that the client knows of and the history has not, oldest first: of speech that is not committed,
        and beside the conversation."""
        self._decoder = Decoder(self._session.input_format)

    @property
    def settings(self) -> ev.Settings:
        """As they stand; those to begin the core's session with, before the first frame."""
        return self._session.to_settings()

    @property
    def wants_resume(self) -> bool:
        """The client has asked that its session may be resumed."""
        return self._session.wants_resume

    def may_resume(self, token: str, seconds: int) -> None:
        """The next event that shows the session has the token, once."""
        self._resume = {"token": token, "seconds": seconds}

    def kept(self) -> JsonObject:
        """What a first `session.update` would say to make the session what it is."""
        session = self._session
        patch = {name: value for name, value in session.to_json().items() if name not in ("id", "object", "model")}
        del patch["expires_at"]
        return patch | {"voxtral_voice": session.voxtral_voice}

    def sound_of(self, frames: Sequence[bytes]) -> bytes:
        """Of frames of ours with audio: 16-bit, 24 kHz, mono."""
        decoder = Decoder(self._session.output_format)
        return b"".join(decoder.push(pybase64.b64decode(orjson.loads(frame)["delta"])) for frame in frames)

    def may_not_resume(self) -> None:
        self._resume = None

    def resumed(self, received: int, *, restored: bool = False) -> tuple[str, bytes]:
        """What the server says first over another connection, and the id of that event. received: frames of the client,
        over all connections. restored: on a server that had only a snapshot of the session."""
        event_id = self._ids("event")
        whence: JsonObject = {"restored": True} if restored else {}
        self._resume = {**(self._resume or {}), "resumed": True, "received": received, **whence}
        frame = orjson.dumps({"type": "session.created", "event_id": event_id, "session": self._session_json()})
        return event_id, frame

    def _session_json(self) -> JsonObject:
        session = self._session.to_json()
        if self._session.wants_resume:
            ours = self._session.voxtral_voice or {}
            session |= {"voxtral_voice": {**ours, "resume": False if self._resume is None else self._resume}}
            self._resume = self._resume and {"seconds": self._resume["seconds"]}
        return session

    def opening(self) -> list[bytes]:
        return [self._events.encode("session.created", {"session": self._session_json()}), *self.refused_wishes()]

    def refused_wishes(self) -> list[bytes]:
        """What of its opening cannot be had."""
        return [frame for problem in self._problems for frame in self._refused(problem).frames]

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

    def client(self, frame: str | bytes, items: ItemLookup, sounds: SoundLookup = no_sounds) -> Incoming:
        """As `act`, of a frame: text as str, binary as bytes."""
        return self.act(self.read(frame), items, sounds)

    def read(self, frame: str | bytes) -> Said:
        """Each frame is read once, in order, when the one before it was acted on."""
        event = parse(frame)
        if isinstance(event, Problem):
            return Said(event)
        match event.action:
            case AppendAudio(audio):
                return Said(event, self._decoder.push(audio))
            case CreateItem(new):
                return Said(event, Decoder(self._format_of(new.entry)).push(new.sound))
            case UpdateSession(patch):
                return Said(event, session=self._session.patched(patch, new=self._is_new))
        return Said(event)

    def act(self, said: Said, items: ItemLookup, sounds: SoundLookup = no_sounds) -> Incoming:
        """`items` finds an item of the history by its id, `sounds` what is kept of its sound."""
        event = said.event
        if isinstance(event, Problem):
            return self._refused(event)
        if isinstance(event.action, UpdateSession):
            return self._update_session(said, event.action.patch, event.event_id)
        self._is_new = False
        match event.action:
            case AppendAudio():
                return Incoming(pcm=said.pcm, client_event_id=event.event_id)
            case CreateItem() as create:
                return self._create_item(create, said.pcm, event.event_id)
            case RetrieveItem(item_id):
                return self._retrieve(items(item_id), sounds(item_id), item_id, event.event_id)
            case CreateResponse() as create_response:
                return self._create_response(create_response, event.event_id)
            case core_event:
                if isinstance(core_event, ev.CommitAudio | ev.ClearAudio):
                    self._decoder.cut()
                return Incoming(events=(core_event,), client_event_id=event.event_id)

    def _update_session(self, said: Said, patch: JsonObject, event_id: str | None) -> Incoming:
        session = said.session
        assert session is not None, "of such a frame there is one"
        if isinstance(session, Problem):
            return self._refused(replace(session, client_event_id=event_id))
        if session.input_format != self._session.input_format:
            self._decoder = Decoder(session.input_format)
        self._session, self._is_new = session, False
        configure = ev.Configure(session.to_settings())
        return Incoming(events=(configure,), client_event_id=event_id, ignored=session.ignored(patch))

    def _create_item(self, create: CreateItem, pcm: bytes, event_id: str | None) -> Incoming:
        entry = create.new.entry
        entry = entry if entry.id else replace(entry, id=self._ids("item"))
        if entry.id in self._taken:
            message = f"Error adding item: the item with id '{entry.id}' already exists."
            return self._refused(Problem("item_create_duplicate_item_id", message, "item.id", event_id))
        if isinstance(entry, ev.Item) and entry.text is None and not pcm:
            message = "Invalid value for 'item.content': the audio is shorter than one sample."
            return self._refused(Problem("invalid_value", message, "item.content", event_id))
        add = ev.AddItem(entry, create.after, len(pcm) / BYTES_PER_MS)
        return Incoming(events=(add,), client_event_id=event_id, sound=pcm)

    def _format_of(self, entry: ev.Entry) -> FormatName:
        """Of the sound of an item."""
        spoken_by_us = isinstance(entry, ev.Item) and entry.role == "assistant"
        return self._session.output_format if spoken_by_us else self._session.input_format

    def _retrieve(self, item: ev.Entry | None, sound: Sound | None, item_id: str, event_id: str | None) -> Incoming:
        if item is None:
            message = f"Error retrieving item: the item with id '{item_id}' does not exist."
            return self._refused(Problem("item_retrieve_invalid_item_id", message, "item_id", event_id))
        audio = None if sound is None else pybase64.b64encode(sound.encoded(self._format_of(item))).decode()
        frame = self._events.encode("conversation.item.retrieved", {"item": item_object(item, audio)})
        return Incoming(frames=(frame,), client_event_id=event_id)

    def _create_response(self, create: CreateResponse, event_id: str | None) -> Incoming:
        try:
            options = self._options(create)
        except FieldError as error:
            return self._refused(replace(error.problem, client_event_id=event_id))
        return Incoming(events=(ev.CreateReply(options),), client_event_id=event_id, ignored=create.ignored)

    def _options(self, create: CreateResponse) -> ev.ReplyOptions:
        """With the session in mind. Raises FieldError."""
        session, options = self._session, create.options
        if session.kind == "transcription":
            message = "A transcription session has no responses: open one of type 'realtime' for them."
            raise FieldError(Problem("invalid_value", message, "type"))
        voice = options.voice
        if voice is not None:
            voice = session.voices.resolve(voice, "response.audio.output.voice")
        tools = session.tools if options.tools is None else options.tools
        wanted = options.tool_choice
        if wanted is not None:
            check_choice(tools, wanted, "response.tool_choice")
        elif choice_among(tools, session.tool_choice) != session.tool_choice:
            wanted = "auto"
        return replace(options, voice=voice, tool_choice=wanted, request=_mark(create.metadata))

    def _refused(self, problem: Problem) -> Incoming:
        frame = self.error(problem.code, problem.message, problem.param, problem.client_event_id)
        return Incoming(frames=(frame,), client_event_id=problem.client_event_id, refused=problem.code)

    # --- from the core ------------------------------------------------------------------------------------------

    def notice(self, notice: ev.Notice, client_event_id: str | None = None) -> list[bytes]:
        """`client_event_id`: of the client event that the core answers with this notice, if it does."""
        encode = self._events.encode
        match notice:
            case ev.ReplyAudioDelta(reply_id, samples, _):
                return self._replies[reply_id].audio(samples)
            case ev.ReplyTextDelta(reply_id, delta, words):
                return [self._replies[reply_id].text(delta, words)]
            case ev.ReplyStarted():
                return self._reply_started(notice)
            case ev.ReplyMessageStarted(reply_id, item_id, after):
                self._take_aside(reply_id, item_id)
                return self._replies[reply_id].message(item_id, after)
            case ev.ReplyCallStarted(reply_id, item_id):
                self._take_aside(reply_id, item_id)
                return self._replies[reply_id].call(notice)
            case ev.ReplyCallDelta(reply_id, item_id, delta):
                return [self._replies[reply_id].arguments(item_id, delta)]
            case ev.ReplyCallEnded(reply_id, item_id):
                return self._replies[reply_id].call_ended(item_id)
            case ev.ReplyEnded(reply_id):
                return self._replies.pop(reply_id).closing(notice)
            case ev.TranscriptDelta() | ev.TranscriptDone() | ev.TranscriptLost():
                return self._transcript(notice)
            case ev.SpeechStarted(item_id, sample):
                self._take(item_id)
                fields: JsonObject = {"audio_start_ms": sample // SAMPLES_PER_MS, "item_id": item_id}
                return [encode("input_audio_buffer.speech_started", fields)]
            case ev.SpeechStopped(item_id, sample):
                fields = {"audio_end_ms": sample // SAMPLES_PER_MS, "item_id": item_id}
                return [encode("input_audio_buffer.speech_stopped", fields)]
            case ev.AudioCommitted(item, after):
                self._taken.pop(item.id, None)
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
                return [encode("session.updated", {"session": self._session_json()})]
            case ev.IdleTimeout(item_id, start, end):
                fields = {"audio_start_ms": start // SAMPLES_PER_MS, "audio_end_ms": end // SAMPLES_PER_MS}
                return [encode("input_audio_buffer.timeout_triggered", {**fields, "item_id": item_id})]
            case ev.FloorChanged() | ev.Speculated():
                return self._our_event(notice)
            case _:
                kind: ErrorKind = "rate_limit_error" if notice.code == TOO_MANY else "invalid_request_error"
                return [self.error(notice.code, notice.message, notice.param, client_event_id, kind)]

    def _our_event(self, notice: ev.FloorChanged | ev.Speculated) -> list[bytes]:
        """Told only to a client that asked for our events."""
        if not self._session.wants_our_events:
            return []
        if isinstance(notice, ev.FloorChanged):
            return [self._events.encode("voxtral_voice.floor", {"state": notice.state})]
        return [self._events.encode("voxtral_voice.speculation", {"outcome": notice.outcome, "text": notice.text})]

    def _item_added(self, item: ev.Entry, after: str | None) -> list[bytes]:
        fields: JsonObject = {"previous_item_id": after, "item": item_object(item)}
        return [
            self._events.encode("conversation.item.added", fields),
            self._events.encode("conversation.item.done", fields),
        ]

    def _reply_started(self, started: ev.ReplyStarted) -> list[bytes]:
        metadata = None if started.request is None else orjson.loads(started.request)
        conversation_id = None if started.aside else self._conversation_id
        name = started.audio_format or self._session.output_format
        reply = ReplyEvents(self._events, started, conversation_id, name, metadata)
        self._replies[started.reply_id] = reply
        if started.item_id is not None:
            self._take_aside(started.reply_id, started.item_id)
        return reply.opening()

    def _take_aside(self, reply_id: str, item_id: str) -> None:
        if self._replies[reply_id].is_aside:
            self._take(item_id)

    def _take(self, item_id: str) -> None:
        self._taken[item_id] = None
        if len(self._taken) > MAX_TAKEN:
            del self._taken[next(iter(self._taken))]

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


def opened(usual: SessionObject, opening: Opening) -> tuple[SessionObject, tuple[Problem, ...]]:
    """The session that a client finds, of the one that it would find usually; and what is wrong with its wishes."""
    if opening.session_patch is None:
        return usual.of_kind("transcription") if opening.intent == "transcription" else usual, ()
    patched = usual.patched(opening.session_patch, new=True)
    if not isinstance(patched, Problem):
        return patched, ()
    less = without(opening.session_patch, names_in(patched.param)) if opening.by_parts else None
    if less is None:
        return usual, (patched,)
    session, others = opened(usual, replace(opening, session_patch=less))
    return session, (patched, *others)


def names_in(param: str | None) -> list[str]:
    """Of "session.tools[0].name": tools, 0, name."""
    return (param or "").replace("[", ".").replace("]", "").split(".")[1:]


def without(patch: JsonObject, names: Sequence[str]) -> JsonObject | None:
    """The same without the field that these names lead to; of a list, without the list. None: it is not there."""
    if not names or names[0] not in patch:
        return None
    inner = patch[names[0]]
    less = without(inner, names[1:]) if isinstance(inner, dict) else None
    rest = {name: value for name, value in patch.items() if name != names[0]}
    return rest if less is None else {**rest, names[0]: less}


def _mark(metadata: dict[str, str] | None) -> str | None:
    """What the wire has to know when this response begins."""
    return None if metadata is None else orjson.dumps(metadata).decode()
