"""OpenAI Realtime (GA) over a WebSocket, as any server may speak it.

Knows: the events that a voice client needs, in the names of today and of the beta. Does not know: our server (its
trace is passed on as it came), sockets. Generous: what a server leaves out is done without.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pybase64

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.bench.drivers.base import Line, socket_url, text_of
from voxtral_voice.bench.microphone import Message
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Observation,
    Refused,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    Status,
    TextArrived,
    TurnCommitted,
)
from voxtral_voice.errors import AudioError, TalkError

PATH: Final = "/v1/realtime"
RATE_HZ: Final = 24_000
CREATED_TIMEOUT_S: Final = 10.0
UPDATED_TIMEOUT_S: Final = 3.0
"""A server that has not objected by then has taken the settings, though it does not say so."""
_FORMAT: Final = {"type": "audio/pcm", "rate": RATE_HZ}
SESSION: Final[Mapping[str, Any]] = {
    "type": "realtime",
    "audio": {
        "input": {"format": _FORMAT, "transcription": {"model": "whisper-1"}},
        "output": {"format": _FORMAT},
    },
}
"""What is asked for on connecting: transcripts of what is said, and the rate. The rest stays as the server has it."""

RECALL: Final = "bench_recall"
"""Id of the events that ask what was heard, so that a refusal of them is known."""
NAMES_SHOWN: Final = 5
NAME_CHARS: Final = 40
"""Of a word that a server made up, in an error."""

Event = dict[str, Any]


def realtime_url(url: str) -> str:
    """ws://host/v1/realtime, http://host or host:port -> the address of the socket. Raises TalkError."""
    return socket_url(url, PATH)


def realtime(
    url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    session: Mapping[str, Any] = SESSION,
    turn_detection: Mapping[str, Any] | None = None,
) -> Realtime:
    """url: any form that `realtime_url` takes. model: `?model=`. session: what `session.update` sends.
    turn_detection: takes the place of the one in `session`. Raises TalkError."""
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    return Realtime(_with_model(realtime_url(url), model), headers, _with_turn_detection(session, turn_detection))


@dataclass(frozen=True, slots=True)
class Realtime:
    """The driver; `realtime` makes it."""

    url: str
    headers: Mapping[str, str]
    session: Mapping[str, Any]
    microphone_hz: int = RATE_HZ

    @staticmethod
    def encode(pcm: bytes, /) -> Message:
        return f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode_as_string(pcm)}"}}'

    async def greet(self, line: Line) -> None:
        others = await self._await(line, "session.created", CREATED_TIMEOUT_S)
        if others is not None:
            sent = f", but {_listed(others)}" if others else ""
            raise TalkError(f"{self.url} did not send session.created within {CREATED_TIMEOUT_S:g} s{sent}.")
        await line.send(orjson.dumps({"type": "session.update", "session": self.session}).decode())
        await self._await(line, "session.updated", UPDATED_TIMEOUT_S)

    async def _await(self, line: Line, kind: str, timeout_s: float) -> list[str] | None:
        """None when it came; otherwise what came instead. Raises TalkError when the server objects."""
        ends_at, others = time.monotonic() + timeout_s, list[str]()
        while (message := await line.receive(ends_at - time.monotonic())) is not None:
            event = _parse(message, self.url)
            if event["type"] == "error":
                raise TalkError(f"{self.url} refused the session: {_error_message(event)}")
            if event["type"] == kind:
                return None
            others.append(event["type"])
        return others

    def translator(self, began: float) -> RealtimeTranslator:
        return RealtimeTranslator(self.url, began)


class RealtimeTranslator:
    """One conversation."""

    def __init__(self, url: str, began: float) -> None:
        self._url, self._began = url, began
        self._items: dict[str, str] = {}
        """Reply -> the item that it speaks."""
        self._replies: set[str] = set()
        self._speech_ends: dict[str, float] = {}
        self.transcribes = False

    def translate(self, message: Message, at: float) -> Sequence[Observation]:
        event = _parse(message, self._url)
        read = _READ.get(event["type"])
        if read is None:
            return ()
        try:
            return tuple(read(self, event, at))
        except (KeyError, TypeError, ValueError, AttributeError, AudioError) as error:
            raise TalkError(f"{self._url} sent a malformed {event['type']}: {error!r}.") from error

    def cut(self, reply: str, played_ms: float) -> Sequence[Message]:
        if (item := self._items.get(reply)) is None:
            return ()
        truncate = {"type": "conversation.item.truncate", "item_id": item, "content_index": 0}
        return (orjson.dumps(truncate | {"audio_end_ms": int(played_ms)}).decode(),)

    def recall(self, reply: str) -> Sequence[Message]:
        if (item := self._items.get(reply)) is None:
            return ()
        asked = {"type": "conversation.item.retrieve", "event_id": RECALL, "item_id": item}
        return (orjson.dumps(asked).decode(),)

    # --- one method per kind of event

    def _session(self, event: Event, at: float) -> Iterable[Observation]:
        del at
        listens = ((event.get("session") or {}).get("audio") or {}).get("input") or {}
        self.transcribes = listens.get("transcription") is not None
        return ()

    def _started(self, event: Event, at: float) -> Iterable[Observation]:
        del event
        return (Flushed(at),)

    def _stopped(self, event: Event, at: float) -> Iterable[Observation]:
        del at
        if (end_ms := event.get("audio_end_ms")) is not None:
            if not _is_number(end_ms):
                raise TypeError("audio_end_ms is no number")
            self._speech_ends[text_of(event, "item_id")] = self._began + end_ms / 1000
        return ()

    def _committed(self, event: Event, at: float) -> Iterable[Observation]:
        item = text_of(event, "item_id")
        return (TurnCommitted(at, item, self._speech_ends.pop(item, None)),)

    def _transcribed(self, event: Event, at: float) -> Iterable[Observation]:
        self.transcribes = True
        return (Heard(at, text_of(event, "item_id"), text_of(event, "transcript")),)

    def _not_transcribed(self, event: Event, at: float) -> Iterable[Observation]:
        return (Heard(at, text_of(event, "item_id"), None),)

    def _created(self, event: Event, at: float) -> Iterable[Observation]:
        return self._begins(text_of(event["response"], "id"), at)

    def _audio(self, event: Event, at: float) -> Iterable[Observation]:
        reply = text_of(event, "response_id")
        if event.get("item_id") is not None:
            self._items[reply] = text_of(event, "item_id")
        samples = pcm16_to_float(pybase64.b64decode(event["delta"], validate=True))
        return (*self._begins(reply, at), *([AudioArrived(at, reply, samples)] if len(samples) else ()))

    def _text(self, event: Event, at: float) -> Iterable[Observation]:
        reply = text_of(event, "response_id")
        return (*self._begins(reply, at), TextArrived(at, reply, text_of(event, "delta")))

    def _done(self, event: Event, at: float) -> Iterable[Observation]:
        response = event["response"]
        reply, told = text_of(response, "id"), text_of(response, "status")
        status, error = _status(told), _why((response.get("status_details") or {}).get("error"))
        if status != told:
            error = f"The server ended it as {told[:NAME_CHARS]!r}, which is no status."
        return (*self._begins(reply, at), ReplyEnded(at, reply, status, error, _trace(event)))

    def _retrieved(self, event: Event, at: float) -> Iterable[Observation]:
        item = event["item"]
        texts = [part.get("transcript") or part.get("text") or "" for part in item.get("content") or ()]
        replies = [reply for reply, spoken in self._items.items() if spoken == item["id"]]
        return [Remembered(at, reply, " ".join(texts)) for reply in replies]

    def _error(self, event: Event, at: float) -> Iterable[Observation]:
        about = event.get("error")
        if isinstance(about, dict) and about.get("event_id") == RECALL:
            return ()  # it does not have what only we ask for
        return (Refused(at, _error_message(event)),)

    def _begins(self, reply: str, at: float) -> Sequence[Observation]:
        """Once per reply, whatever of it comes first."""
        if reply in self._replies:
            return ()
        self._replies.add(reply)
        return (ReplyBegan(at, reply),)


_READ: Final[Mapping[str, Callable[[RealtimeTranslator, Event, float], Iterable[Observation]]]] = {
    "session.created": RealtimeTranslator._session,
    "session.updated": RealtimeTranslator._session,
    "input_audio_buffer.speech_started": RealtimeTranslator._started,
    "input_audio_buffer.speech_stopped": RealtimeTranslator._stopped,
    "input_audio_buffer.committed": RealtimeTranslator._committed,
    "conversation.item.input_audio_transcription.completed": RealtimeTranslator._transcribed,
    "conversation.item.input_audio_transcription.failed": RealtimeTranslator._not_transcribed,
    "response.created": RealtimeTranslator._created,
    "response.output_audio.delta": RealtimeTranslator._audio,
    "response.audio.delta": RealtimeTranslator._audio,
    "response.output_audio_transcript.delta": RealtimeTranslator._text,
    "response.audio_transcript.delta": RealtimeTranslator._text,
    "response.done": RealtimeTranslator._done,
    "conversation.item.retrieved": RealtimeTranslator._retrieved,
    "error": RealtimeTranslator._error,
}
"""`response.audio...`: the names of the beta."""


def _parse(message: Message, url: str) -> Event:
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise TalkError(f"{url} is not a Realtime server: it sent something that is not JSON.") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise TalkError(f"{url} is not a Realtime server: it sent JSON that is not an event.")
    return event


def _error_message(event: Event) -> str:
    return _why(event.get("error")) or "no reason given"


def _why(error: object) -> str | None:
    message = error.get("message") if isinstance(error, dict) else None
    return str(message) if message else None


def _status(told: str) -> Status:
    """A word that is no status is no success."""
    return next((status for status in get_args(Status) if status == told), "failed")


def _trace(event: Event) -> Mapping[str, Any] | None:
    ours = event.get("voxtral_voice")
    trace = ours.get("trace") if isinstance(ours, dict) else None
    return trace if isinstance(trace, dict) else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(names: Iterable[str]) -> str:
    """Each once, and not all of many."""
    once = list(dict.fromkeys(name[:NAME_CHARS] for name in names))
    more = f" and {len(once) - NAMES_SHOWN} other kinds" if len(once) > NAMES_SHOWN else ""
    return ", ".join(once[:NAMES_SHOWN]) + more


def _with_model(url: str, model: str | None) -> str:
    parts = urlsplit(url)
    if model is None:
        return url
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "model"]
    return parts._replace(query=urlencode([*query, ("model", model)])).geturl()


def _with_turn_detection(session: Mapping[str, Any], turn_detection: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if turn_detection is None:
        return session
    audio = session.get("audio") or {}
    listens = {**(audio.get("input") or {}), "turn_detection": dict(turn_detection)}
    return {**session, "audio": {**audio, "input": listens}}
