"""A caller made of software: speaks to a voice server at the pace of a microphone, listens, and keeps what happened.

Knows: the socket, the microphone's schedule, the loudspeaker, this process's clock. Does not know: wires (a driver
translates), figures (`score` makes them of the record).

The microphone sends 20 ms at a time on an absolute schedule and never stops, room tone before and after the words.
Sample k is spoken at began + k / rate, and its chunk leaves when the chunk's last sample has been spoken, as with a
real microphone: never before, and by how much after is recorded for every chunk.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench.clip import OWN_ECHO, Clip
from voxtral_voice.bench.drivers.base import Driver, Translator
from voxtral_voice.bench.microphone import CHUNK_MS, Message, Microphone, encoded
from voxtral_voice.bench.player import Played, Player
from voxtral_voice.bench.record import (
    ANSWER_TIMEOUT_S,
    AudioArrived,
    Flushed,
    Heard,
    Lost,
    Observation,
    Purpose,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    Said,
    SessionRecord,
    Silenced,
    Status,
    TurnCommitted,
)
from voxtral_voice.bench.room import Room, room
from voxtral_voice.errors import TalkError

CONNECT_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
TRANSCRIPT_TIMEOUT_S: Final = 3.0
"""How long after a reply's end the transcript of the question may still come."""
RECALL_TIMEOUT_S: Final = 1.0
"""How long a server may take to say what was heard of an interrupted reply."""
REPLY_TIMEOUT_S: Final = 120.0
"""After the end of what was said; a reply that goes on for longer is not listened to any more."""
AFTER_TAP_S: Final = 2.0
"""A reply that a tap stopped, or that a tap was taken for, has been stopped or begun by then."""
LARGEST_MESSAGE_BYTES: Final = 32 * 2**20
MOST_MESSAGES: Final = (10_000, 200)
MOST_BYTES: Final = (128 * 2**20, 2**20)
"""What a server may send: so much, and so much more in every second. Minutes of audio at once stay far below."""
CHUNK_S: Final = CHUNK_MS / 1000

_now: Final = time.monotonic  # a loop's own clock may stand still for milliseconds (uvloop's does)


@asynccontextmanager
async def call(
    driver: Driver, *, offset_s: float = 0.0, answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> AsyncIterator[Caller]:
    """One conversation: it streams from here on until the block is left.

    offset_s: when its chunks leave, 0 <= offset_s < 0.02, inside a grid of 20 ms that all callers of a machine share.
    Raises TalkError when the server cannot be reached, refuses, or is of another kind.
    """
    line = _Line(await _open(driver), driver.url)
    try:
        await driver.greet(line)
        caller = Caller(line, driver, offset_s, answer_timeout_s)
        async with asyncio.TaskGroup() as tasks:
            streams = [tasks.create_task(caller._guarded(work)) for work in (caller._stream, caller._listen)]
            try:
                yield caller
            finally:
                for stream in streams:
                    stream.cancel()
    except BaseExceptionGroup as group:  # of one: what the block raised, or what broke a stream
        raise group.exceptions[0] from None
    finally:
        await line.close()


def prepare(driver: Driver, clips: Iterable[Clip]) -> None:
    """Writes them for the wire now, and not while callers speak."""
    for clip in clips:
        encoded(clip, driver.microphone_hz, driver.encode)


@dataclass(slots=True)
class _Reply:
    id: str
    status: Status | None = None


@dataclass(slots=True)
class _Utterance:
    said: Said
    items: list[str] = field(default_factory=list)
    """What the server made of it; more than one if it was cut in the middle."""
    replies: list[_Reply] = field(default_factory=list)


class Caller:
    """`call` makes it.

    `say` may be called while another `say` still waits for its reply to end: that is a barge-in, or a tap. All methods
    that wait or send raise TalkError once the connection is lost.
    """

    def __init__(self, line: _Line, driver: Driver, offset_s: float, answer_timeout_s: float) -> None:
        self._line, self._driver = line, driver
        self.answer_timeout_s = answer_timeout_s
        self._microphone = Microphone(driver.microphone_hz, driver.encode)
        self._player = Player()
        self._began = math.ceil(_now() / CHUNK_S) * CHUNK_S + offset_s
        self._translator: Translator = driver.translator(self._began)
        self._utterances: list[_Utterance] = []
        self._replies: dict[str, _Reply] = {}
        self._transcribed: set[str] = set()
        self._remembered: set[str] = set()
        self._cut: list[str] = []
        """Replies that the server broke off while they were played, since the last thing said began."""
        self._room: Room | None = None
        """Between loudspeaker and microphone; None: they are apart."""
        self._answering: _Utterance | None = None
        self._failure: TalkError | None = None
        self._changed = asyncio.Event()
        self._seen: list[Observation] = []
        self._lateness_ms = array("d")

    async def say(self, clip: Clip, purpose: Purpose = "turn") -> Said:
        """Speak, and wait until the reply has been played, was cut, or is overdue: then it is not played any more.

        A tap, or a soak, asks for no reply: it waits until the one that it was said over, and any that it was taken
        for, is over.
        """
        self._cut.clear()
        utterance = self._speak(clip, purpose)
        await self._pass(utterance.said.end)
        if not utterance.said.wants_answer:
            await self._pass(utterance.said.end + AFTER_TAP_S)
            await self._quiet(utterance)
            return utterance.said
        in_time = await self._until(lambda: self._settled(utterance), lambda: self._overdue_at(utterance))
        for reply in utterance.replies[-1:]:
            await self._played_out(reply, utterance.said.end + REPLY_TIMEOUT_S if in_time else _now())
        await self._is_transcribed(utterance)
        if purpose == "barge_in":
            await self._recall()
        return utterance.said

    async def hear_itself(self, clip: Clip, level_db: float) -> Said:
        """Speak, and then be silent, while the microphone takes up every reply through a room, `level_db` fainter than
        it is played; until what was to come of that has come.

        The echo is one more thing said, from its first sound on, if there is any.
        """
        utterance, self._room = self._speak(clip, "turn"), room(level_db)
        await self._pass(utterance.said.end)
        await self._until(lambda: bool(utterance.replies) and self._silent(), lambda: self._overdue_at(utterance))
        for reply in list(self._replies.values())[-1:]:
            await self._played_out(reply, utterance.said.end + REPLY_TIMEOUT_S)
        await self._pass(_now() + AFTER_TAP_S)
        echo = self._echo_of(utterance, self._room)
        self._room = None
        self._utterances += echo
        await self._quiet(utterance)
        await self._is_transcribed(utterance)
        return utterance.said

    async def idle(self, seconds: float) -> None:
        """Say nothing, and go on listening."""
        await self._pass(_now() + seconds)

    async def until_sound(self) -> None:
        """Wait until the first audible window of a reply has been played, now or next.

        Raises TalkError if there is none for as long as an answer may take, from now or from the end of what was last
        said.
        """
        asked_at = _now()

        def ends_at() -> float:
            return max([asked_at, *(each.said.end for each in self._utterances[-1:])]) + self.answer_timeout_s

        def heard() -> bool:
            return self._sound_at(asked_at) <= _now()

        await self._until(heard, lambda: min(self._sound_at(asked_at), ends_at()))
        if not heard():
            raise TalkError(f"{self._driver.url} gave no audible answer within {self.answer_timeout_s:g} s.")

    @property
    def utterances(self) -> int:
        """How many clips were said so far."""
        return len(self._utterances)

    def record(self) -> SessionRecord:
        """Everything so far."""
        said = tuple(utterance.said for utterance in self._utterances)
        return SessionRecord(said, tuple(self._seen), tuple(self._lateness_ms), self._began, _now())

    # --- streams

    async def _guarded(self, stream: Callable[[], Coroutine[None, None, None]]) -> None:
        """A stream that breaks is recorded, and told to whoever waits."""
        try:
            await stream()
        except TalkError as error:
            if self._failure is None:
                self._failure = error
                self._seen.append(Lost(_now(), str(error)))
        self._changed.set()

    async def _stream(self) -> None:
        microphone, lateness_ms, number = self._microphone, self._lateness_ms, 0
        async with self._line.writing() as still_writing:
            while True:
                number += 1
                due = self._began + number * CHUNK_S
                await _sleep_until(due)
                lateness_ms.append((_now() - due) * 1000)
                await self._line.socket.send(microphone.next_chunk(self._taken_up(due - CHUNK_S)))
                still_writing()

    def _taken_up(self, begin: float) -> Samples | None:
        """What the microphone hears of the loudspeaker in the chunk that began then."""
        if self._room is None:
            return None
        return self._room.heard(self._player, begin, self._microphone.chunk_samples, self._microphone.rate_hz)

    async def _listen(self) -> None:
        for at, message in self._line.received:
            await self._take_all(message, at)
        while True:
            message = await self._line.next()
            await self._take_all(message, _now())

    async def _take_all(self, message: Message, at: float) -> None:
        for observation in self._translator.translate(message, at):
            self._seen.append(observation)
            await self._take(observation)
        self._changed.set()

    async def _take(self, observation: Observation) -> None:
        match observation:
            case AudioArrived(at, reply, samples):
                self._player.arrived(at, reply, samples)
            case Flushed(at):
                await self._fall_silent(at)
            case TurnCommitted(at, item, speech_end):
                self._answering = self._owner(item, at if speech_end is None else speech_end)
            case Heard(at, item, _, True):
                self._transcribed.add(item)
                self._owner(item, at)
            case Remembered(_, reply):
                self._remembered.add(reply)
            case ReplyBegan(at, reply):
                self._reply_begins(reply, at)
            case ReplyEnded(_, reply, status):
                self._replies[reply].status = status

    async def _fall_silent(self, at: float) -> None:
        if (cut := self._player.flushed(at)) is not None:
            self._cut.append(cut.reply)
            for message in self._translator.cut(cut.reply, cut.played_ms(at)):
                await self._line.send(message)

    # --- which reply answers what

    def _owner(self, item: str, end: float) -> _Utterance | None:
        """The utterance that an item of the user belongs to: the last one with an onset before the item's end."""
        owner = next((each for each in self._utterances if item in each.items), None)
        if owner is None and (owner := self._said_before(end)) is not None:
            owner.items.append(item)
        return owner

    def _said_before(self, end: float) -> _Utterance | None:
        return next((each for each in reversed(self._utterances) if each.said.onset < end), None)

    def _reply_begins(self, reply_id: str, at: float) -> None:
        """It answers the turn that was committed last, or what was said last when that one has been answered."""
        reply = self._replies[reply_id] = _Reply(reply_id)
        utterance = self._answering or self._said_before(at)
        self._answering = None
        if utterance is not None:
            utterance.replies.append(reply)

    def _settled(self, utterance: _Utterance) -> bool:
        """The last reply has come to its end, and it is the answer: after one that this very utterance interrupted,
        or that was over before the utterance was, another has to follow."""
        if not utterance.replies or self._open(reply := utterance.replies[-1]):
            return False
        played = self._player.replies.get(reply.id)
        interrupted = reply.status == "cancelled" or (played is not None and played.cut_at is not None)
        early = played is not None and played.ends_at <= utterance.said.end
        return not (interrupted or early) or utterance is not self._utterances[-1]

    def _open(self, reply: _Reply) -> bool:
        played = self._player.replies.get(reply.id)
        return reply.status is None and (played is None or played.cut_at is None)

    def _silent(self) -> bool:
        return not any(self._open(reply) for reply in self._replies.values())

    def _overdue_at(self, utterance: _Utterance) -> float:
        reply = utterance.replies[-1] if utterance.replies else None
        played = self._player.replies.get(reply.id) if reply else None
        loud_until = min(played.loud_until, played.ends_at) if played else -math.inf
        end = utterance.said.end
        return min(max(end, loud_until) + self.answer_timeout_s, end + REPLY_TIMEOUT_S)

    # --- parts of a step

    async def _quiet(self, utterance: _Utterance) -> None:
        """No reply is under way any more, or it is overdue."""
        await self._until(self._silent, lambda: self._overdue_at(utterance))
        for reply in list(self._replies.values())[-1:]:
            await self._played_out(reply, utterance.said.end + REPLY_TIMEOUT_S)

    async def _is_transcribed(self, utterance: _Utterance) -> None:
        if self._translator.transcribes:
            due_at = _now() + TRANSCRIPT_TIMEOUT_S
            await self._until(lambda: self._transcribed.issuperset(utterance.items), lambda: due_at)

    async def _recall(self) -> None:
        """What does the server think was heard of the replies that were just cut?"""
        asked = {reply: messages for reply in self._cut if (messages := self._translator.recall(reply))}
        for messages in asked.values():
            for message in messages:
                await self._line.send(message)
        due_at = _now() + RECALL_TIMEOUT_S
        await self._until(lambda: self._remembered.issuperset(asked), lambda: due_at)

    def _echo_of(self, utterance: _Utterance, heard_in: Room) -> list[_Utterance]:
        """One, or none when nothing was heard."""
        since = [each for each in self._player.replies.values() if each.first_at > utterance.said.onset]
        sounds = [at for each in since if (at := each.sound_at) is not None]
        if not sounds:
            return []
        onset = min(sounds) + heard_in.direct_s
        end = max(onset, min(_now(), max(each.ends_at for each in since) + heard_in.longest_s))
        name = f"{heard_in.level_db:g} dB"
        condition, language = f"{OWN_ECHO} {name}", utterance.said.language
        return [_Utterance(Said(f"own-echo/{name}", "tap", "echo", "", language, condition, onset, onset, end))]

    # --- waiting

    def _speak(self, clip: Clip, purpose: Purpose) -> _Utterance:
        begin = self._began + self._microphone.say(clip) / self._microphone.rate_hz
        utterance = _Utterance(Said.of(clip, purpose, begin, self.answer_timeout_s))
        self._utterances.append(utterance)
        return utterance

    def _sound_at(self, since: float) -> float:
        """When the first reply that was not over by then is, was or will be heard; inf while that is not known."""
        sounds = (each.sound_at for each in self._player.replies.values() if each.ends_at > since)
        return min((at for at in sounds if at is not None), default=math.inf)

    async def _played_out(self, reply: _Reply, gives_up_at: float) -> None:
        """Or given up: it would not end, or it goes on for too long."""
        if (played := self._player.replies.get(reply.id)) is None:
            return
        playing: Played = played
        await self._until(lambda: playing.cut_at is not None, lambda: min(playing.ends_at, gives_up_at))
        if playing.ends_at > (now := _now()):
            self._player.flushed(now)
            self._seen.append(Silenced(now))

    async def _pass(self, end: float) -> None:
        await self._until(lambda: False, lambda: end)

    async def _until(self, reached: Callable[[], bool], gives_up_at: Callable[[], float]) -> bool:
        """Look again at whatever comes, until `reached` or the time that `gives_up_at` says then."""
        while not reached():
            if self._failure is not None:
                raise self._failure
            remaining_s = gives_up_at() - _now()
            if remaining_s <= 0:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(remaining_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True


async def _sleep_until(due: float) -> None:
    """Never returns early. In whole milliseconds, to which loops round."""
    while (remaining_s := due - _now()) > 0:  # noqa: ASYNC110 - a clock is waited for
        await asyncio.sleep(math.ceil(remaining_s * 1000) / 1000)


# --- the connection ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Allowance:
    """Of a server, for all that it sends: without one, it could fill this machine's memory."""

    began: float
    messages: int = 0
    size: int = 0
    """In bytes, or characters of text."""

    def covers(self, size: int, now: float) -> bool:
        self.messages += 1
        self.size += size
        since_s = now - self.began
        within = ((self.messages, MOST_MESSAGES), (self.size, MOST_BYTES))
        return all(used <= at_once + each_second * since_s for used, (at_once, each_second) in within)

    def __str__(self) -> str:
        return f"{self.messages} messages of {self.size / 2**20:.1f} MiB"


class _Line:
    """A socket whose troubles are TalkErrors."""

    def __init__(self, socket: ClientConnection, url: str) -> None:
        self.socket = socket
        self.url = url
        self._allowance = _Allowance(_now())
        self.received: list[tuple[float, Message]] = []
        """(arrival, message) of what came in the greeting."""

    async def send(self, message: Message) -> None:
        async with self.writing():
            await self.socket.send(message)

    async def receive(self, timeout_s: float) -> Message | None:
        try:
            async with asyncio.timeout(timeout_s):
                message = await self.next()
        except TimeoutError:
            return None
        self.received.append((_now(), message))
        return message

    async def next(self) -> Message:
        try:
            message = await self.socket.recv()
        except ConnectionClosed as error:
            raise self._lost(error) from error
        if not self._allowance.covers(len(message), _now()):
            raise TalkError(f"{self.url} floods its client: {self._allowance} came; look at what it sends.")
        return message

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Callable[[], None]]:
        """The block may take SEND_TIMEOUT_S, and again so long (to a second) whenever it calls what it is given."""
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S) as patience:

                def still_writing() -> None:
                    ends_at = now() + SEND_TIMEOUT_S
                    if ends_at - (patience.when() or 0) >= 1:
                        patience.reschedule(ends_at)

                yield still_writing
        except TimeoutError as error:
            raise TalkError(f"{self.url} stopped reading: a message waited for {SEND_TIMEOUT_S:g} s.") from error
        except ConnectionClosed as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """Politely, or after a while without."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.socket.close()
        except TimeoutError:  # a peer that does not read lets no closing frame through either
            self.socket.transport.abort()

    def _lost(self, error: ConnectionClosed) -> TalkError:
        return TalkError(f"{self.url} closed the connection: {error}.")


async def _open(driver: Driver) -> ClientConnection:
    url = driver.url
    local = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
    try:
        return await connect(
            url,
            additional_headers=driver.headers,
            compression=None,
            max_size=LARGEST_MESSAGE_BYTES,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            proxy=None if local else True,
        )
    except ssl.SSLCertVerificationError as error:
        told = f"the certificate is not trusted ({error.verify_message})"
        raise TalkError(f"TLS with {url} failed: {told}; SSL_CERT_FILE names a file with those to trust.") from error
    except InvalidStatus as error:
        raise TalkError(_refusal(url, error.response.status_code, "Authorization" in driver.headers)) from error
    except TimeoutError as error:
        raise TalkError(f"{url} did not answer within {CONNECT_TIMEOUT_S:g} s.") from error
    except (InvalidHandshake, InvalidURI, ValueError) as error:  # ValueError: it redirects to what is no address
        raise TalkError(f"{url} is not a WebSocket server: {error}.") from error
    except OSError as error:
        raise TalkError(_unreachable(url, error)) from error


def _unreachable(url: str, error: OSError) -> str:
    """A server that hangs up on a greeting of TLS may just have none."""
    if isinstance(error, ssl.SSLError | ConnectionResetError) and url.startswith("wss:"):
        reason = getattr(error, "reason", None) or "the connection was reset"
        return f"TLS with {url} failed: {reason}; a server without TLS is at ws://host:port."
    return f"No server can be reached at {url}; start one with voxtral-voice serve."


def _refusal(url: str, status: int, has_key: bool) -> str:
    if status == HTTPStatus.FORBIDDEN:
        return f"{url} refused the connection: HTTP 403; look at the path{' and the key' if has_key else ''}."
    if status != HTTPStatus.UNAUTHORIZED:
        return f"{url} refused the connection: HTTP {status}."
    if has_key:
        return f"{url} refused the key: HTTP {status}; give the right one with --api-key."
    return f"{url} asks for a key: HTTP {status}; give it with --api-key."
