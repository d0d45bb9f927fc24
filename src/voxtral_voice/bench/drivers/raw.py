"""A plain wire for frameworks that have none of their own: binary is audio, text is JSON.

Knows: to the server, binary = PCM16 mono 16 kHz. From the server, binary = PCM16 mono 24 kHz of the reply, and
{"type": "interrupted"} (stop playing), {"type": "transcript", "text": ...} (what was heard), {"type": "bot_started"},
{"type": "bot_stopped"}. Does not know: which framework is behind it, sockets.

Nothing here has an id, so the ids are made up: a reply begins with bot_started, or with audio while there is none, and
ends with bot_stopped or an interruption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.bench.drivers.base import Line, socket_url, text_of
from voxtral_voice.bench.microphone import Message
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Observation,
    ReplyBegan,
    ReplyEnded,
    Status,
)
from voxtral_voice.errors import AudioError, TalkError

PATH: Final = "/ws"
MICROPHONE_HZ: Final = 16_000


def raw(url: str) -> Raw:
    """url: ws://host:port/ws, http://host:port or host:port. Raises TalkError."""
    return Raw(socket_url(url, PATH))


@dataclass(frozen=True, slots=True)
class Raw:
    """The driver; `raw` makes it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    microphone_hz: int = MICROPHONE_HZ

    @staticmethod
    def encode(pcm: bytes, /) -> Message:
        return pcm

    async def greet(self, line: Line) -> None:
        """There is no greeting: whoever takes the connection listens."""

    def translator(self, began: float) -> RawTranslator:
        del began
        return RawTranslator(self.url)


class RawTranslator:
    """One conversation."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._replies = self._items = 0
        self._reply: str | None = None
        """The one that has begun and not ended."""
        self.transcribes = False

    def translate(self, message: Message, at: float) -> Sequence[Observation]:
        if isinstance(message, bytes):
            return self._audio(message, at)
        try:
            event = orjson.loads(message)
            return self._told(event["type"], event, at)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise TalkError(f"{self._url} sent a text that this wire does not have: {message[:80]}") from error

    def cut(self, reply: str, played_ms: float) -> Sequence[Message]:
        del reply, played_ms
        return ()

    def recall(self, reply: str) -> Sequence[Message]:
        del reply
        return ()

    def _audio(self, message: bytes, at: float) -> Sequence[Observation]:
        try:
            samples = pcm16_to_float(message)
        except AudioError as error:
            raise TalkError(f"{self._url} sent malformed audio: {error}") from error
        if not len(samples):
            return ()
        reply, began = self._open(at)
        return (*began, AudioArrived(at, reply, samples))

    def _told(self, kind: str, event: Mapping[str, Any], at: float) -> Sequence[Observation]:
        match kind:
            case "interrupted":
                return (Flushed(at), *self._ends(at, "cancelled"))
            case "bot_started":
                return self._open(at)[1]
            case "bot_stopped":
                return self._ends(at, "completed")
            case "transcript":
                self.transcribes = True
                self._items += 1
                return (Heard(at, f"item_{self._items}", text_of(event, "text")),)
        return ()

    def _open(self, at: float) -> tuple[str, Sequence[Observation]]:
        """The reply that has begun, or now begins."""
        if self._reply is not None:
            return self._reply, ()
        self._replies += 1
        self._reply = f"reply_{self._replies}"
        return self._reply, (ReplyBegan(at, self._reply),)

    def _ends(self, at: float, status: Status) -> Sequence[Observation]:
        ended, self._reply = self._reply, None
        return () if ended is None else (ReplyEnded(at, ended, status),)
