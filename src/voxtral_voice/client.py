"""A caller made of software: speaks to a Realtime server at the pace of a microphone, listens, and takes the time.

Knows: the OpenAI Realtime WebSocket, a microphone's schedule, a loudspeaker's queue, this process's clock.
Does not know: our server's insides (its trace is passed on as it came), files, how figures are put together.

How a turn is timed: the microphone sends 20 ms of PCM16 at 24 kHz on an absolute schedule and never stops, room tone
before and after the words. Sample k is spoken at t0 + k / 24 000 s, and its chunk leaves when the chunk's last sample
has been spoken, as with a real microphone. V2V runs from the moment the last voiced sample was spoken to the moment
the simulated loudspeaker (no jitter buffer; play_at = max(arrival, end of the queue)) plays the first audible one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import numpy as np
import orjson
import pybase64
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from voxtral_voice.audio.level import first_audible_sample, last_audible_sample
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.audio.playout import PlayoutLedger
from voxtral_voice.audio.resample import resample
from voxtral_voice.errors import AudioError, TalkError

WIRE_RATE_HZ: Final = 24_000
CHUNK_SAMPLES: Final = 480
"""20 ms."""
ROOM_TONE_DBFS: Final = -70.0
"""Level of the noise that a quiet room's microphone gives; digital silence does not exist there."""
CONNECT_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 15.0
"""A turn that is silent for so long has no answer."""
TRANSCRIPT_TIMEOUT_S: Final = 3.0
"""How long after a reply's end the transcript of the question may still come."""
LARGEST_MESSAGE_BYTES: Final = 32 * 2**20
EVENTS_KEPT: Final = 10_000
LATENESS_KEPT: Final = 100_000
"""33 minutes of chunks."""
REPLIES_KEPT: Final = 8
SESSION: Final[Mapping[str, Any]] = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}
"""What the client asks for on connecting: transcripts of what is said. The rest stays as the server has it."""

Event = dict[str, Any]
Status = Literal["completed", "cancelled", "failed", "incomplete", "no_answer", "unfinished"]
"""As in `response.done`; no_answer: no reply in time; unfinished: a reply began, went silent and never ended."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one thing said. Times are milliseconds on the client's clock; None = it did not happen."""

    status: Status
    heard: str | None
    """The server's transcript of what was said; None when it sent none."""
    said: str
    """The reply's transcript."""
    audio: Samples
    """The reply as it arrived, 24 kHz, also what was cut off."""
    v2v_ms: float | None
    """Last voiced sample spoken -> first audible sample played. Negative: the reply cut in."""
    wire_ms: float | None
    """Last voiced sample spoken -> first audio message arrived."""
    leading_silence_ms: float | None
    """Audio of the reply before its first audible sample; part of v2v_ms."""
    played_ms: float
    underruns: int
    longest_gap_ms: float
    stop_ms: float | None
    """Onset of this speech -> the older reply was silent; None when there was nothing to interrupt."""
    cut_ins: int
    """Replies that were begun before the last voiced sample had been spoken."""
    trace: Mapping[str, Any] | None
    """The server's own timeline of the turn, as it came with `response.done`."""
    error: str | None
    """Why the reply failed, in the server's words."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the client's own chunks left; a measurement with a p99 above 10 ms is void."""

    p50_ms: float
    p99_ms: float


def realtime_url(url: str) -> str:
    """ws://host/v1/realtime, http://host or host:port -> the address of the socket. Raises TalkError."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}.get(parts.scheme)
    if scheme is None or not _host_and_port(parts):
        raise TalkError(f"{url} is not the address of a server; write http://host:port or ws://host:port/v1/realtime.")
    path = parts.path if parts.path.strip("/") else "/v1/realtime"
    return parts._replace(scheme=scheme, path=path, fragment="").geturl()


def _host_and_port(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        return False


# --- the microphone ---------------------------------------------------------------------------------------------


class Microphone:
    """A stream of chunks without an end: what was said, over room tone. Positions count samples at 24 kHz."""

    def __init__(self) -> None:
        self._waiting: Samples = np.zeros(0, np.float32)
        self.position = 0
        """The first sample of the next chunk."""

    def say(self, samples: Samples) -> int:
        """Goes out from the next chunk on, behind what is still to be said. Returns the position of its beginning."""
        begin = self.position + len(self._waiting)
        self._waiting = np.concatenate((self._waiting, samples))
        return begin

    def next_chunk(self) -> bytes:
        """The next 20 ms, base64 of PCM16."""
        tone, encoded = _room_tone()[self.position // CHUNK_SAMPLES % len(_room_tone())]
        self.position += CHUNK_SAMPLES
        if not len(self._waiting):
            return encoded
        chunk = tone.copy()
        words, self._waiting = self._waiting[:CHUNK_SAMPLES], self._waiting[CHUNK_SAMPLES:]
        chunk[: len(words)] += words
        return _encode(chunk)


@lru_cache(maxsize=1)
def _room_tone() -> tuple[tuple[Samples, bytes], ...]:
    """One second of it, as chunks, each with its encoding; the same for every client."""
    noise = np.random.default_rng(0).standard_normal((WIRE_RATE_HZ // CHUNK_SAMPLES, CHUNK_SAMPLES))
    chunks = (noise * 10 ** (ROOM_TONE_DBFS / 20)).astype(np.float32)
    return tuple((chunk, _encode(chunk)) for chunk in chunks)


def _encode(samples: Samples) -> bytes:
    encoded: bytes = pybase64.b64encode(float_to_pcm16(samples))
    return encoded


# --- the loudspeaker --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reply:
    """One response as it comes in. Times are seconds of `time.monotonic`."""

    id: str
    created_at: float
    utterance: Utterance | None
    item_id: str = ""
    said: str = ""
    pieces: list[tuple[float, Samples]] = field(default_factory=list)
    """(when it is played, audio), in order."""
    ledger: PlayoutLedger = field(default_factory=PlayoutLedger)
    first_at: float | None = None
    last_at: float = -math.inf
    sound_at: float | None = None
    """When the first audible sample is played, if it is not cut before."""
    leading_silence_ms: float | None = None
    cut_at: float | None = None
    done: Event | None = None
    """The `response.done` event."""

    @property
    def audio(self) -> Samples:
        return np.concatenate([np.zeros(0, np.float32), *(samples for _, samples in self.pieces)])

    @property
    def status(self) -> Status:
        if self.done is not None:
            status: Status = self.done["response"]["status"]
            return status
        return "unfinished" if self.pieces else "no_answer"

    def played_ms(self, now: float) -> float:
        return self.ledger.heard_ms(now if self.cut_at is None else self.cut_at)


@dataclass(slots=True)
class Utterance:
    """One thing said. Positions count samples at 24 kHz from the microphone's first one."""

    begin: int
    onset: int
    speech_end: int
    items: list[str] = field(default_factory=list)
    """Ids of the user's items that the server made of it; more than one if it was cut in the middle."""
    replies: list[Reply] = field(default_factory=list)
    stopped_at: float | None = None
    """When it silenced an older reply."""


class Loudspeaker:
    """Plays what comes, at once and in order."""

    def __init__(self) -> None:
        self._reply: Reply | None = None

    def play(self, reply: Reply, samples: Samples, now: float) -> None:
        if reply is not self._reply:
            free_at = self._reply.ledger.ends_at() if self._reply and self._reply.cut_at is None else -math.inf
            self._reply, reply.ledger, reply.first_at = reply, PlayoutLedger(free_at), now
        plays_at = reply.ledger.sent(now, len(samples) * 1000 / WIRE_RATE_HZ)
        reply.pieces.append((plays_at, samples))
        if reply.sound_at is None:
            _find_sound(reply)

    def playing(self, now: float) -> Reply | None:
        """The reply whose audio is in the queue."""
        reply = self._reply
        return reply if reply and reply.cut_at is None and reply.ledger.ends_at() > now else None

    def flush(self, now: float) -> Reply | None:
        """Falls silent. Returns the reply that was cut by it."""
        if reply := self.playing(now):
            reply.cut_at = now
        return reply


def _find_sound(reply: Reply) -> None:
    index = first_audible_sample(reply.audio, WIRE_RATE_HZ)
    if index is None:
        return
    reply.leading_silence_ms = index * 1000 / WIRE_RATE_HZ
    for plays_at, samples in reply.pieces:
        if index < len(samples):
            reply.sound_at = plays_at + index / WIRE_RATE_HZ
            return
        index -= len(samples)


# --- the client -------------------------------------------------------------------------------------------------


class RealtimeClient:
    """One conversation. `connect` makes it; it streams from then on until the block is left.

    `say` may be called while another `say` still waits for its reply to end: that is a barge-in. All methods raise
    TalkError once the connection is lost.
    """

    def __init__(self, socket: ClientConnection, url: str) -> None:
        self._socket = socket
        self._url = url
        self._now = time.monotonic  # a loop's own clock may stand still for milliseconds (uvloop's does)
        self._microphone = Microphone()
        self._loudspeaker = Loudspeaker()
        self._started_at = self._now()
        self._utterances: deque[Utterance] = deque(maxlen=REPLIES_KEPT)  # bound: the oldest goes
        self._replies: dict[str, Reply] = {}
        self._transcripts: dict[str, str | None] = {}
        self._answering: Utterance | None = None
        self._transcribes = False
        self._failure: TalkError | None = None
        self._changed = asyncio.Event()
        self._lateness_ms: deque[float] = deque(maxlen=LATENESS_KEPT)  # bound: the oldest goes
        self.events: deque[tuple[float, Event]] = deque(maxlen=EVENTS_KEPT)  # bound: the oldest goes
        """(arrival, event) of everything the server sent; the audio itself is left out."""
        self.late_audio_ms = 0.0
        """Audio that came for a reply after that reply had been cut or was done. 0 with a correct server."""

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, *, session: Mapping[str, Any] = SESSION) -> AsyncIterator[RealtimeClient]:
        """url: any form that `realtime_url` takes. session: what `session.update` sends. Raises TalkError."""
        socket = await _open(realtime_url(url))
        try:
            client = cls(socket, url)
            await client._greet(session)
            async with asyncio.TaskGroup() as tasks:
                streams = [tasks.create_task(client._guarded(work)) for work in (client._stream, client._listen)]
                try:
                    yield client
                finally:
                    for stream in streams:
                        stream.cancel()
        except BaseExceptionGroup as group:  # of one: what the block raised, or what broke a stream
            raise group.exceptions[0] from None
        finally:
            await _close(socket)

    async def say(
        self,
        samples: Samples,
        rate_hz: int,
        *,
        speech_end_s: float | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Turn:
        """Speak, and wait until the reply has been played, was cut, or is overdue.

        speech_end_s: where in `samples` the last voiced sample is; None = the last audible one.
        """
        utterance = self._speak(samples, rate_hz, speech_end_s)
        speech_end_at = self._spoken_at(utterance.speech_end)

        def gives_up_at() -> float:
            reply = utterance.replies[-1] if utterance.replies else None
            busy_until = max(reply.last_at, reply.ledger.ends_at()) if reply else -math.inf
            return max(speech_end_at, busy_until) + answer_timeout_s

        await self._until(lambda: False, lambda: speech_end_at)
        await self._until(lambda: self._settled(utterance), gives_up_at)
        if utterance.replies:
            last = utterance.replies[-1]
            await self._until(lambda: last.cut_at is not None, last.ledger.ends_at)
        if self._transcribes:
            transcript_due_at = self._now() + TRANSCRIPT_TIMEOUT_S
            await self._until(lambda: self._transcribed(utterance), lambda: transcript_due_at)
        return self._turn(utterance)

    async def idle(self, seconds: float) -> None:
        """Say nothing, and go on listening."""
        end = self._now() + seconds
        await self._until(lambda: False, lambda: end)

    async def until_sound(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Wait until the first audible sample of a reply has been played, now or next. Raises TalkError if none is."""
        end = self._now() + timeout_s

        def heard() -> bool:
            return self._sound_at() <= self._now()

        await self._until(heard, lambda: min(self._sound_at(), end))
        if not heard():
            raise TalkError(f"{self._url} gave no audible answer within {timeout_s:g} s.")

    async def send(self, event: Mapping[str, Any]) -> None:
        """Any event besides audio, e.g. `response.cancel`."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send(orjson.dumps(event), text=True)
        except (ConnectionClosed, TimeoutError) as error:
            raise self._lost(error) from error

    def lateness(self) -> Lateness:
        """Of the chunks sent so far, at least one."""
        p50, p99 = np.percentile(self._lateness_ms, (50, 99))
        return Lateness(round(float(p50), 2), round(float(p99), 2))

    # --- streams

    async def _greet(self, session: Mapping[str, Any]) -> None:
        await self._expect("session.created")
        await self.send({"type": "session.update", "session": session})
        updated = await self._expect("session.updated")
        listens = updated.get("session", {}).get("audio", {}).get("input", {})
        self._transcribes = listens.get("transcription") is not None
        self._started_at = self._now()

    async def _expect(self, kind: str) -> Event:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                event = self._parse(await self._socket.recv())
        except TimeoutError as error:
            raise TalkError(f"{self._url} did not send {kind} within {CONNECT_TIMEOUT_S:g} s.") from error
        except ConnectionClosed as error:
            raise self._lost(error) from error
        if event["type"] == "error":
            raise TalkError(f"{self._url} refused the session: {_error_message(event)}")
        if event["type"] != kind:
            raise TalkError(f"{self._url} is not a Realtime server: it sent {event['type']} instead of {kind}.")
        return event

    async def _guarded(self, stream: Callable[[], Coroutine[None, None, None]]) -> None:
        """A stream that breaks is told to whoever waits."""
        try:
            await stream()
        except (ConnectionClosed, TimeoutError) as error:
            self._failure = self._failure or self._lost(error)
        except TalkError as error:
            self._failure = self._failure or error
        self._changed.set()

    async def _stream(self) -> None:
        while True:
            due = self._spoken_at(self._microphone.position + CHUNK_SAMPLES)
            await asyncio.sleep(due - self._now())
            self._lateness_ms.append((self._now() - due) * 1000)
            message = b'{"type":"input_audio_buffer.append","audio":"%b"}' % self._microphone.next_chunk()
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send(message, text=True)

    async def _listen(self) -> None:
        while True:
            message = await self._socket.recv()
            now = self._now()
            event = self._parse(message)
            try:
                await self._take(event, now)
            except (KeyError, TypeError, ValueError, AudioError) as error:
                raise TalkError(f"{self._url} sent a malformed {event['type']}: {error!r}.") from error
            self.events.append((now, event))
            self._changed.set()

    def _parse(self, message: str | bytes) -> Event:
        try:
            event = orjson.loads(message)
        except orjson.JSONDecodeError as error:
            raise TalkError(f"{self._url} is not a Realtime server: it sent something that is not JSON.") from error
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise TalkError(f"{self._url} is not a Realtime server: it sent JSON that is not an event.")
        return event

    def _lost(self, error: Exception) -> TalkError:
        if isinstance(error, TimeoutError):
            return TalkError(f"{self._url} stopped reading: a message waited for {SEND_TIMEOUT_S:g} s.")
        return TalkError(f"{self._url} closed the connection: {error}.")

    # --- what the server sends

    async def _take(self, event: Event, now: float) -> None:
        match event["type"]:
            case "input_audio_buffer.speech_started":
                await self._silence(now)
            case "input_audio_buffer.speech_stopped":
                self._item_of(event, event["audio_end_ms"])
            case "input_audio_buffer.committed":
                self._answering = self._item_of(event, math.inf)
            case "conversation.item.input_audio_transcription.completed":
                self._transcripts[event["item_id"]] = event["transcript"]
            case "conversation.item.input_audio_transcription.failed":
                self._transcripts[event["item_id"]] = None
            case "response.created":
                self._reply_begins(event["response"]["id"], now)
            case "response.output_audio_transcript.delta":
                self._replies[event["response_id"]].said += event["delta"]
            case "response.output_audio.delta":
                self._audio_came(event, now)
            case "response.done":
                self._replies[event["response"]["id"]].done = event

    async def _silence(self, now: float) -> None:
        """Speech started: stop playing, and tell the server how much was heard."""
        cut = self._loudspeaker.flush(now)
        if cut is None:
            return
        latest = self._utterance_before(math.inf)
        if latest is not None and latest is not cut.utterance:
            latest.stopped_at = now
        played_ms = int(cut.played_ms(now))
        await self.send(
            {
                "type": "conversation.item.truncate",
                "item_id": cut.item_id,
                "content_index": 0,
                "audio_end_ms": played_ms,
            }
        )

    def _item_of(self, event: Event, end_ms: float) -> Utterance | None:
        """The utterance that an item of the user belongs to: the last one begun before the item's end."""
        item_id: str = event["item_id"]
        for utterance in self._utterances:
            if item_id in utterance.items:
                return utterance
        if found := self._utterance_before(end_ms):
            found.items.append(item_id)
        return found

    def _utterance_before(self, end_ms: float) -> Utterance | None:
        end = min(self._microphone.position, end_ms * WIRE_RATE_HZ / 1000)
        return next((u for u in reversed(self._utterances) if u.begin < end), None)

    def _reply_begins(self, reply_id: str, now: float) -> None:
        utterance = self._answering or self._utterance_before(math.inf)
        reply = Reply(reply_id, now, utterance)
        self._replies[reply_id] = reply
        while len(self._replies) > REPLIES_KEPT:
            del self._replies[next(iter(self._replies))]
        if utterance is not None:
            utterance.replies.append(reply)

    def _audio_came(self, event: Event, now: float) -> None:
        """The audio leaves the event, so that kept events stay small."""
        samples = pcm16_to_float(pybase64.b64decode(event.pop("delta"), validate=True))
        reply = self._replies[event["response_id"]]
        if reply.cut_at is not None or reply.done is not None:
            self.late_audio_ms += len(samples) * 1000 / WIRE_RATE_HZ
            return
        reply.item_id, reply.last_at = event["item_id"], now
        self._loudspeaker.play(reply, samples, now)

    # --- turns

    def _speak(self, samples: Samples, rate_hz: int, speech_end_s: float | None) -> Utterance:
        words = resample(samples, rate_hz, WIRE_RATE_HZ)
        onset = first_audible_sample(words, WIRE_RATE_HZ) or 0
        end = last_audible_sample(words, WIRE_RATE_HZ) or len(words)
        if speech_end_s is not None:
            end = round(speech_end_s * WIRE_RATE_HZ)
        begin = self._microphone.say(words)
        utterance = Utterance(begin, begin + onset, begin + end)
        self._utterances.append(utterance)
        return utterance

    def _spoken_at(self, position: int) -> float:
        """When the microphone hears this sample, by schedule."""
        return self._started_at + position / WIRE_RATE_HZ

    def _settled(self, utterance: Utterance) -> bool:
        """The last reply has come to its end, and it is the answer: after one that this very utterance interrupted,
        or that was over before the utterance was, another has to follow."""
        reply = utterance.replies[-1] if utterance.replies else None
        if reply is None or reply.done is None:
            return False
        interrupted = reply.status == "cancelled" or reply.cut_at is not None
        early = bool(reply.pieces) and reply.ledger.ends_at() <= self._spoken_at(utterance.speech_end)
        return not (interrupted or early) or utterance is not self._utterances[-1]

    def _transcribed(self, utterance: Utterance) -> bool:
        return all(item in self._transcripts for item in utterance.items)

    def _sound_at(self) -> float:
        """When the reply in the queue is, was or will be heard; inf while that is not known."""
        reply = self._loudspeaker.playing(self._now())
        return reply.sound_at if reply is not None and reply.sound_at is not None else math.inf

    async def _until(self, reached: Callable[[], bool], gives_up_at: Callable[[], float]) -> bool:
        """Look again at whatever comes, until `reached` or the time that `gives_up_at` says then."""
        while not reached():
            if self._failure is not None:
                raise self._failure
            remaining_s = gives_up_at() - self._now()
            if remaining_s <= 0:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(remaining_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    def _turn(self, utterance: Utterance) -> Turn:
        end_at, onset_at = self._spoken_at(utterance.speech_end), self._spoken_at(utterance.onset)
        reply = utterance.replies[-1] if utterance.replies else Reply("", end_at, utterance)
        was_heard = reply.sound_at is not None and (reply.cut_at is None or reply.sound_at < reply.cut_at)
        heard = [text for item in utterance.items if (text := self._transcripts.get(item)) is not None]
        return Turn(
            status=reply.status,
            heard=" ".join(heard) if heard else None,
            said=reply.said,
            audio=reply.audio,
            v2v_ms=_ms_between(end_at, reply.sound_at) if was_heard else None,
            wire_ms=_ms_between(end_at, reply.first_at),
            leading_silence_ms=reply.leading_silence_ms,
            played_ms=reply.played_ms(self._now()),
            underruns=reply.ledger.underruns,
            longest_gap_ms=reply.ledger.longest_gap_ms,
            stop_ms=_ms_between(onset_at, utterance.stopped_at),
            cut_ins=sum(each.created_at < end_at for each in utterance.replies),
            trace=((reply.done or {}).get("voxtral_voice") or {}).get("trace"),
            error=_failure_message(reply.done),
        )


async def _open(address: str) -> ClientConnection:
    local = urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")
    try:
        return await connect(
            address,
            compression=None,
            max_size=LARGEST_MESSAGE_BYTES,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            proxy=None if local else True,
        )
    except InvalidStatus as error:
        raise TalkError(f"{address} refused the connection: HTTP {error.response.status_code}.") from error
    except TimeoutError as error:
        raise TalkError(f"{address} did not answer within {CONNECT_TIMEOUT_S:g} s.") from error
    except (InvalidHandshake, InvalidURI) as error:
        raise TalkError(f"{address} is not a Realtime server: {error}.") from error
    except OSError as error:
        raise TalkError(f"No server can be reached at {address}; start one with voxtral-voice serve.") from error


async def _close(socket: ClientConnection) -> None:
    """Politely, or after a while without."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close()
    except TimeoutError:  # a peer that does not read lets no closing frame through either
        socket.transport.abort()


def _ms_between(start: float, end: float | None) -> float | None:
    return None if end is None else round((end - start) * 1000, 1)


def _error_message(event: Event) -> str:
    return str(event.get("error", {}).get("message", "no reason given"))


def _failure_message(done: Event | None) -> str | None:
    """Of a `response.done` that failed."""
    details = (done or {}).get("response", {}).get("status_details") or {}
    error = details.get("error")
    return str(error.get("message")) if error else None
