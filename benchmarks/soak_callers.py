"""Who calls during the soak: clients that speak, type, use tools, interrupt, listen, send nonsense, and vanish.

Knows: how a client behaves, and when it has waited too long. Does not know: the server; what is wrong with its answers
(`tests.realtime.client` judges every event).

Each has a word and a voice of its own. The word goes into all that it tells the server, so that it comes back in
everything that is made for it; a word of anybody else in what it is told, or another's voice, is a `Leak`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.soak_server import LOWEST_HZ, SECRET, STEP_HZ, tone_hz
from tests.realtime.client import Client
from tests.realtime.replies import Event
from tests.realtime.steps import FORMATS, TOOL, client_event, spoil
from voxtral_voice.audio.g711 import float_to_g711, g711_to_float
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.realtime.resume import AFTER_HEADER, TOKEN_HEADER

CHUNK_S: Final = 0.04
"""Of the microphone."""
ANSWER_S: Final = 20.0
"""So long a client waits for what it has asked for."""
REST_S: Final = 40.0
"""So long after the client's last word something may be under way: an engine that hangs fails before."""
GONE_S: Final = 65.0
"""So long after a client has fallen silent for good the server may still believe in it: a ping every 20 s, 20 s for its
answer, and 20 s more where something else came meanwhile."""
CUT_EVERY_S: Final = 6.0
MOST_AWAY_S: Final = 3.0
SMALL_BUFFER: Final = 4096
"""Of a client's socket that does not read: what it leaves unread waits at the server."""
VOICES: Final = (
    "af_heart", "af_alloy", "af_aoede", "af_bella", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck",
    "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis",
)  # fmt: skip
"""All of one language, so that each says every text."""


def new_secret(rng: random.Random) -> str:
    return "sesame" + "".join(rng.choices("abcdefghijklmnop", k=8))


def _chunk(kind: str, level: float) -> bytes:
    rate_hz = 24_000 if kind == "audio/pcm" else 8_000
    count = round(rate_hz * CHUNK_S)
    wave = np.clip(level * np.random.default_rng(2).standard_normal(count), -1, 1).astype(np.float32)
    if kind == "audio/pcm":
        return float_to_pcm16(wave)
    return float_to_g711(wave, "mu" if kind == "audio/pcmu" else "a")


FFT: Final = 8192
"""3 Hz a step."""
TONE, TONE_WIDTH_HZ = 0.97, 60.0
"""So much of a tone's power is so near to it, also in 40 ms."""
KINDS: Final = ("audio/pcm", "audio/pcmu", "audio/pcma")
CHUNKS: Final = {
    (kind, loud): base64.b64encode(_chunk(kind, 0.3 if loud else 0.0003)).decode()
    for kind in KINDS
    for loud in (True, False)
}


class Violation(Exception):  # noqa: N818 - said of a rule
    """Something that may not be; what came before it is in the message."""


class Leak(Violation):
    """Something of one session in another."""


class Caller(Client):
    """One connection. Made by `calling`. voice: None = it is not listened for."""

    def __init__(
        self, socket: ClientConnection, rng: random.Random, counts: Counter[str], secret: str, voice: str | None
    ) -> None:
        super().__init__()
        self.rng = rng
        self.counts = counts
        self.secret = secret
        self.voice = voice
        self.last: list[str] = []
        """What was sent and told last, for who has to find a fault."""
        self.is_over = False
        self.seen: Counter[str] = Counter()
        """Kinds of events."""
        self.token = ""
        """To resume with; "" = the client has not asked for one."""
        self.address = ""
        self.travels = self.stays = False
        """Its connection will be cut, and it will come back."""
        self._sent: list[str | bytes] = []
        """All frames of one that travels."""
        self._last_id = ""
        """Of the newest event."""
        self._away = False
        """What is said waits until the client is back."""
        self._socket = socket
        self._listening: asyncio.Task[None] | None = None
        self._mute = False
        self._speaks_to = 0.0
        self._changed = asyncio.Event()
        self.broken: Violation | None = None

    # --- saying -------------------------------------------------------------------------------------------------

    async def ask(self, kind: str, **fields: Any) -> str:
        """Returns the name of the event."""
        name = self.name()
        await self.send(json.dumps({"type": kind, "event_id": name, **fields}))
        return name

    async def send(self, frame: str | bytes) -> None:
        self.sends(frame)
        self._note(f"client {frame[:300]!r}" if "append" not in str(frame[:60]) else "client append")
        self.counts["sent"] += 1
        if self.travels:
            self._sent.append(frame)
        if not self._away:
            await self._give(frame)

    async def _give(self, frame: str | bytes) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            if not self.travels:
                raise
            # it is sent again when the client is back

    async def update(self, **session: Any) -> None:
        count = self.seen["session.updated"] + 1
        await self.ask("session.update", session={"type": self.session_object["type"], **session})
        await self.until(lambda: self.seen["session.updated"] >= count, "session.updated")

    async def settle_in(self, detection: dict[str, Any] | None, instructions: str = "") -> None:
        """The word is told, and the voice chosen. The rest of the session is as it was made."""
        inputs: dict[str, Any] = {"transcription": self.listening}
        if detection is not None:
            inputs["turn_detection"] = detection
        if self.session_object["type"] == "transcription":
            await self.update(audio={"input": inputs})
            return
        voice = {} if self.voice is None else {"output": {"voice": self.voice}}
        await self.update(instructions=f"{instructions} {self.secret}".strip(), audio={"input": inputs, **voice})

    @property
    def listening(self) -> dict[str, str]:
        return {"model": "whisper-1", "prompt": self.secret}

    async def append(self, audio: str) -> None:
        await self.ask("input_audio_buffer.append", audio=audio)

    def speak(self, seconds: float) -> None:
        """From now on; the microphone does the rest."""
        self._speaks_to = asyncio.get_running_loop().time() + seconds

    async def say(self, seconds: float) -> None:
        self.speak(seconds)
        await asyncio.sleep(seconds)

    async def microphone(self) -> None:
        """Never stops, unless there is nobody to hear it."""
        now = asyncio.get_running_loop().time
        began = now()
        for number in itertools.takewhile(lambda _: not self._mute, itertools.count(1)):
            kind = self.session_object["audio"]["input"]["format"]["type"]
            try:
                await self.append(CHUNKS[kind, now() < self._speaks_to])
            except ConnectionClosed:
                return  # the listener knows
            await asyncio.sleep(max(0.0, began + number * CHUNK_S - now()))

    # --- the connection -----------------------------------------------------------------------------------------

    def listen_to(self, group: asyncio.TaskGroup) -> None:
        self._listening = group.create_task(self.listen())

    async def hang_up(self) -> None:
        await self._socket.close()
        if self._listening is not None:
            await asyncio.wait([self._listening])

    async def opt_in(self) -> None:
        """From now on the session may be resumed."""
        await self.update(voxtral_voice={"resume": True})
        self.counts["sessions that may be resumed"] += 1

    async def travel(self, group: asyncio.TaskGroup) -> None:
        """Until it is stopped, which is while the client is there."""
        while not self.stays:
            await asyncio.sleep(self.rng.uniform(0.2, 2.0) * CUT_EVERY_S)
            if not (self.stays or self.is_over):
                await self._cut_and_come_back(group)

    async def stay(self) -> None:
        """No journey from now on."""
        self.stays = True
        while self._away:
            self._changed.clear()
            await self._changed.wait()

    async def _cut_and_come_back(self, group: asyncio.TaskGroup) -> None:
        """The connection is lost, whatever is under way; some time later the client has another."""
        assert self._listening is not None
        self._away = True
        self.reset()
        await asyncio.wait([self._listening])
        await asyncio.sleep(self.rng.uniform(0.0, MOST_AWAY_S))
        headers = {TOKEN_HEADER: self.token, AFTER_HEADER: self._last_id}
        try:
            self._socket = await dial(self.address, additional_headers=headers)
        except InvalidStatus as refused:
            raise Violation(f"a session was not resumed: {refused.response.status_code}") from None
        greeting = json.loads(await self._socket.recv())
        resume = greeting["session"]["voxtral_voice"]["resume"]
        if not resume["resumed"]:
            raise Violation(f"a session was not resumed: {greeting}")
        self._note(f"resumed: {resume['received']} of {len(self._sent)} frames had come")
        self.token = resume["token"]
        self.listen_to(group)
        place = resume["received"]
        while place < len(self._sent):
            await self._give(self._sent[place])
            place += 1
        self._away = False
        self._changed.set()
        self.counts["resumed"] += 1

    def fall_silent(self) -> None:
        """The microphone is off."""
        self._mute = True

    def stop_reading(self) -> None:
        self._socket.transport.pause_reading()

    def read_on(self) -> None:
        self._socket.transport.resume_reading()

    def reset(self) -> None:
        """The connection ends without a word, and what was under way is lost (TCP RST)."""
        line = self._socket.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.transport.abort()

    # --- hearing ------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        try:
            async for frame in self._socket:
                self._hear(frame.encode() if isinstance(frame, str) else frame)
        except ConnectionClosed:
            pass
        self.is_over = not self._away
        self._changed.set()

    def _hear(self, frame: bytes) -> None:
        try:
            self._look_for_others(frame)
            event = self.takes(frame)
            self._listen_for_others(event)
        except Exception as error:
            last = "\n  ".join(self.last)
            kind = Leak if isinstance(error, Leak) else Violation
            self.broken = self.broken or kind(f"{error}\n  at {frame[:2000]!r}\n  after\n  {last}")
            raise self.broken from error
        self.notice(event)
        if event["type"] != "response.output_audio.delta":
            self._note(f"server {frame[:300]!r}")
        self.seen[event["type"]] += 1
        self._last_id = event["event_id"]
        if event["type"] == "session.updated":
            self._may_resume(event["session"])
        self._count(event)
        self._changed.set()

    def _may_resume(self, session: Event) -> None:
        """The token is shown once."""
        resume = (session.get("voxtral_voice") or {}).get("resume") or {}
        self.token = resume.get("token", self.token)

    def notice(self, event: Event) -> None:
        """For who measures."""

    def _look_for_others(self, frame: bytes) -> None:
        for word in SECRET.findall(frame.decode()):
            self.counts["own words"] += 1
            if word != self.secret:
                raise Leak(f"the word {word} of another session was told to {self.secret}")

    def _listen_for_others(self, event: Event) -> None:
        if event["type"] != "response.output_audio.delta" or self.voice is None:
            return
        response = self.order.replies.open[event["response_id"]].created
        heard_hz = loudest_hz(event["delta"], response["audio"]["output"]["format"]["type"])
        if heard_hz is None or heard_hz < LOWEST_HZ - STEP_HZ:
            return
        self.counts["own sounds"] += 1
        if abs(heard_hz - tone_hz(self.voice)) > STEP_HZ / 2:
            raise Leak(f"the voice of {self.secret} has {tone_hz(self.voice)} Hz, and it heard {heard_hz:.0f} Hz")

    def _count(self, event: Event) -> None:
        self.counts["told"] += 1
        self.counts[f"told {event['type']}"] += 1
        if event["type"] == "response.done":
            response = event["response"]
            reason = (response["status_details"] or {}).get("reason")
            self.counts[f"response {response['status']}{f' {reason}' if reason else ''}"] += 1
            self.counts["responses beside the conversation"] += response["conversation_id"] is None
        elif event["type"] == "error":
            self.counts[f"error {event['error']['code']}"] += 1

    def _note(self, line: str) -> None:
        self.last.append(line)
        del self.last[:-40]

    async def until(self, reached: Callable[[], bool], what: str, seconds: float = ANSWER_S) -> None:
        """Violation when it does not come."""
        try:
            async with asyncio.timeout(seconds):
                await self._reached(reached)
        except TimeoutError:
            last = "\n  ".join(self.last)
            raise Violation(f"{what} did not come within {seconds:g} s, after\n  {last}") from None

    async def perhaps(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Whether it came."""
        try:
            async with asyncio.timeout(seconds):
                await self._reached(reached)
        except TimeoutError:
            return False
        return True

    async def _reached(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self.is_over:
                raise Violation(f"the server has hung up: {self._socket.close_code} {self._socket.close_reason}")
            self._changed.clear()
            await self._changed.wait()

    # --- the end ------------------------------------------------------------------------------------------------

    async def rest(self) -> None:
        """Nothing may be under way any more."""
        await self.update(audio={"input": {"turn_detection": None}})
        try:
            await self.until(self._is_quiet, "the end of all that was asked", REST_S)
        except Violation as error:
            raise Violation(f"{self._unfinished()}\n{error}") from error

    def _is_quiet(self) -> bool:
        return self._unfinished() is None

    def _unfinished(self) -> str | None:
        try:
            self.order.finish()
        except AssertionError as error:
            return str(error)
        return None


def loudest_hz(audio: str, kind: str) -> float | None:
    """Of a piece of audio as it was sent; None when there is less than 25 ms of sound in it, or it is no tone: the
    server's apology for a speaker that failed is in a voice of its own."""
    samples, rate_hz = _decoded(base64.b64decode(audio), kind)
    if np.count_nonzero(np.abs(samples) > 0.01) < 0.025 * rate_hz:
        return None
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), FFT)))
    peak, width = int(np.argmax(power)), round(TONE_WIDTH_HZ * FFT / rate_hz)
    if power[max(0, peak - width) : peak + width + 1].sum() < TONE * power.sum():
        return None
    return float(peak) * rate_hz / FFT


def _decoded(audio: bytes, kind: str) -> tuple[Samples, int]:
    if kind == "audio/pcm":
        return pcm16_to_float(audio), 24_000
    return g711_to_float(audio, "mu" if kind == "audio/pcmu" else "a"), 8_000


# --- coming and going --------------------------------------------------------------------------------------------


@asynccontextmanager
async def calling(
    url: str,
    rng: random.Random,
    counts: Counter[str],
    secret: str,
    *,
    voice: str | None = None,
    intent: str = "",
    kind: type[Caller] = Caller,
    small: bool = False,
    travels: bool = False,
) -> AsyncIterator[Caller]:
    """A session, and its client's end; the client closes with the block unless it has vanished in it. small: what is
    not read waits at the server. travels: its connection is cut now and then."""
    address = url.replace("http", "ws", 1) + "/v1/realtime" + (f"?intent={intent}" if intent else "?model=soak")
    options: dict[str, Any] = {"sock": _small_socket(url)} if small else {}
    line = await dial(address, **options)
    caller = kind(line, rng, counts, secret, voice)
    caller.address, caller.travels = address, travels
    async with asyncio.TaskGroup() as group:
        caller.listen_to(group)
        beside: list[asyncio.Task[None]] = []
        try:
            await caller.until(lambda: caller.order.session is not None, "session.created")
            if kind is Caller:
                beside.append(group.create_task(caller.microphone()))
            if travels:
                await caller.opt_in()
                beside.append(group.create_task(caller.travel(group)))
            yield caller
        finally:
            for task in beside:
                task.cancel()
            if beside:
                await asyncio.wait(beside)
            await caller.hang_up()


async def dial(address: str, **options: Any) -> ClientConnection:
    return await connect(
        address, compression=None, max_size=None, proxy=None, close_timeout=5, ping_interval=None, **options
    )


def _small_socket(url: str) -> socket.socket:
    """Connected; it takes little that is not read."""
    parts = urlsplit(url)
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    line.connect((parts.hostname, parts.port))  # this machine's own: at once
    line.setblocking(False)
    return line


# --- what they do ------------------------------------------------------------------------------------------------


def _words(caller: Caller, text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": f"{text} {caller.secret}"}]
    return {"type": "message", "role": "user", "content": content}


async def _respond(caller: Caller, **response: Any) -> dict[str, str]:
    """Ask for a response, marked; returns the mark."""
    mark = {"mark": caller.name()}
    await caller.ask("response.create", response={"metadata": mark, **response})
    return mark


async def _done(caller: Caller, mark: dict[str, str]) -> None:
    """The response with this mark is done, or was refused."""
    ended = lambda: _ended(caller, mark)  # noqa: E731
    await caller.until(ended, f"the response {mark}")


def _ended(caller: Caller, mark: dict[str, str]) -> bool:
    """Done, or refused."""
    if any(event["response"]["metadata"] == mark for event in caller.all("response.done")):
        return True
    if any(response.created["metadata"] == mark for response in caller.order.replies.open.values()):
        return False
    assert caller.order.answers is not None
    return not caller.order.answers.waits_for_response(mark)


async def voice(caller: Caller) -> None:
    """Turns, each answered; some answers are interrupted, and the client says how much of them it played."""
    rng = caller.rng
    detection = rng.choice(
        (
            {"type": "server_vad", "silence_duration_ms": 400},
            {"type": "semantic_vad", "eagerness": "high"},
            {"type": "semantic_vad", "patience": 0.0},
        )
    )
    formats = {"format": rng.choice(FORMATS)}
    inputs = {**formats, "turn_detection": detection, "transcription": caller.listening}
    await caller.update(audio={"input": inputs, "output": formats})
    for _ in range(rng.randrange(2, 4)):
        count = caller.seen["response.created"]
        await caller.say(rng.uniform(0.5, 1.5))
        if not await caller.perhaps(lambda count=count: caller.seen["response.created"] > count, 10.0):  # type: ignore[misc]
            caller.counts["turns without a response"] += 1
            continue
        caller.counts["turns"] += 1
        if rng.random() < 0.5:
            await _interrupt(caller)
        else:
            await caller.perhaps(lambda: not caller.order.replies.open, 10.0)
            await asyncio.sleep(rng.uniform(0.0, 1.5))


async def _interrupt(caller: Caller) -> None:
    """As soon as something of it is heard."""
    count = caller.seen["input_audio_buffer.speech_started"]
    await caller.perhaps(lambda: bool(caller.order.replies.sounds), 5.0)
    await asyncio.sleep(caller.rng.uniform(0.1, 0.5))
    await caller.say(1.6)
    began = lambda: caller.seen["input_audio_buffer.speech_started"] > count  # noqa: E731
    if await caller.perhaps(began, 3.0) and caller.order.replies.sounds:
        item_id = next(reversed(caller.order.replies.sounds))
        ms = caller.rng.randrange(0, 2000)
        await caller.ask("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms)
        await caller.ask("conversation.item.retrieve", item_id=item_id)
    await caller.perhaps(lambda: not caller.order.replies.open, 10.0)


async def push_to_talk(caller: Caller) -> None:
    rng = caller.rng
    await caller.update(audio={"input": {"turn_detection": None, "transcription": caller.listening}})
    for _ in range(rng.randrange(1, 4)):
        await caller.ask("input_audio_buffer.clear")
        await caller.say(rng.uniform(0.4, 1.2))
        await caller.ask("input_audio_buffer.commit")
        mark = await _respond(caller)
        if rng.random() < 0.4:
            await asyncio.sleep(rng.uniform(0.0, 0.8))
            await caller.ask("response.cancel")
            for item_id in list(caller.order.replies.sounds)[-1:]:
                await caller.ask("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
        await _done(caller, mark)


async def text(caller: Caller) -> None:
    for number in range(caller.rng.randrange(1, 4)):
        await caller.ask("conversation.item.create", item=_words(caller, f"Tell me about number {number}."))
        mark = await _respond(caller, output_modalities=[caller.rng.choice(("text", "audio"))])
        await _done(caller, mark)


async def tools(caller: Caller) -> None:
    """A call, its output before the response is done, and the answer."""
    await caller.update(tools=[TOOL], audio={"input": {"turn_detection": None}})
    for _ in range(caller.rng.randrange(1, 3)):
        calls = len(caller.call_ids)
        await caller.ask("conversation.item.create", item=_words(caller, "What is the weather in Paris?"))
        first = await _respond(caller)
        if await caller.perhaps(lambda calls=calls: len(caller.call_ids) > calls, 5.0):  # type: ignore[misc]
            call_id = caller.call_ids[-1]
            called = lambda: caller.seen["response.function_call_arguments.done"] > 0  # noqa: E731
            await caller.perhaps(called, 5.0)
            output = {"type": "function_call_output", "call_id": call_id, "output": "sunny"}
            await caller.ask("conversation.item.create", item=output)
            second = await _respond(caller)
            await _done(caller, second)
            caller.counts["tool rounds"] += 1
        await _done(caller, first)
    await caller.update(tools=[])


async def beside(caller: Caller) -> None:
    """Several responses out of the conversation, beside one of it."""
    kinds = ["text", "audio", "text", "text"]
    marks = [
        await _respond(caller, conversation="none", input=[_words(caller, f"Number {i}.")], output_modalities=[kind])
        for i, kind in enumerate(kinds)
    ]
    if caller.rng.random() < 0.5:
        await caller.ask("response.cancel", response_id=caller.rng.choice([*caller.order.replies.open, "nobody"]))
    marks.append(await _respond(caller, input=[_words(caller, "And you?")]))
    for mark in marks:
        await _done(caller, mark)


async def history(caller: Caller) -> None:
    """Seeded, looked at, thinned out."""
    rng = caller.rng
    for number in range(6):
        after = rng.choice((None, "root", *caller.order.items[-3:]))
        item = {**_words(caller, f"Number {number}."), "id": f"own_{caller.name()}"}
        await caller.ask("conversation.item.create", item=item, previous_item_id=after)
    await caller.until(lambda: not caller.order.answers or not caller.order.answers.waiting, "the items")
    for item_id in rng.sample(caller.order.items, min(4, len(caller.order.items))):
        await caller.ask(rng.choice(("conversation.item.retrieve", "conversation.item.delete")), item_id=item_id)


async def nonsense(caller: Caller) -> None:
    """What no client means to send; and rightly formed things at the wrong time."""
    rng, caller.voice = caller.rng, None
    for _ in range(30):
        event = client_event(caller, rng)
        await caller.send(json.dumps(spoil(event, rng) if rng.random() < 0.6 else event))
        await asyncio.sleep(rng.uniform(0.0, 0.1))


async def listen_only(caller: Caller) -> None:
    """A session that transcribes."""
    await caller.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}})
    for _ in range(caller.rng.randrange(1, 3)):
        count = caller.seen["input_audio_buffer.committed"]
        await caller.say(caller.rng.uniform(0.5, 1.5))
        await caller.perhaps(lambda count=count: caller.seen["input_audio_buffer.committed"] > count, 10.0)  # type: ignore[misc]


Part = Callable[[Caller], Awaitable[None]]
PARTS: Final[tuple[Part, ...]] = (voice, push_to_talk, text, tools, beside, history, nonsense)


# --- how they end ------------------------------------------------------------------------------------------------


async def _in_the_middle(caller: Caller) -> None:
    """Of an answer; in a session that transcribes, of what is said."""
    if caller.session_object["type"] == "transcription":
        await caller.say(0.5)
        return
    mark = await _respond(caller, conversation="none", input=[_words(caller, "Go on.")])
    await caller.perhaps(lambda: any(each.created["metadata"] == mark for each in _open(caller)), 5.0)
    await asyncio.sleep(caller.rng.uniform(0.0, 0.5))


def _open(caller: Caller) -> list[Any]:
    return list(caller.order.replies.open.values())


async def rest(caller: Caller) -> None:
    """All that was asked for is waited for."""
    await caller.rest()


async def leave(caller: Caller) -> None:
    """Close, whatever is under way."""
    await _in_the_middle(caller)


async def vanish(caller: Caller) -> None:
    """A reset; nobody closes."""
    await _in_the_middle(caller)
    caller.fall_silent()
    caller.reset()


async def fall_off(caller: Caller) -> None:
    """Half-open: nothing comes from the client any more, nor does it read, and its connection stands. The server has to
    notice."""
    await _in_the_middle(caller)
    caller.fall_silent()
    caller.stop_reading()
    await asyncio.sleep(GONE_S)
    caller.read_on()
    await caller.until(lambda: caller.is_over, f"the end of a session whose client was gone for {GONE_S:g} s", 10.0)


async def stop_reading(caller: Caller) -> None:
    """The client asks for more and more, and reads nothing. It is cut off, or all of it has waited for it."""
    await _in_the_middle(caller)
    caller.stop_reading()
    with contextlib.suppress(ConnectionClosed):
        for number in range(20):
            for item_id in caller.order.items[-3:] if number % 10 == 0 else ():
                await caller.ask("conversation.item.retrieve", item_id=item_id)
            await asyncio.sleep(0.5)
    caller.fall_silent()
    caller.read_on()
    cut = await caller.perhaps(lambda: caller.is_over, 10.0)
    caller.counts["slow readers cut off" if cut else "slow readers served"] += 1


End = Callable[[Caller], Awaitable[None]]
ENDS: Final[dict[End, float]] = {rest: 0.6, leave: 0.15, vanish: 0.15, fall_off: 0.04, stop_reading: 0.06}
"""How often each is."""


async def call(
    url: str, rng: random.Random, counts: Counter[str], place: int, number: int, left_s: float = 0.0
) -> None:
    """One session: a few of the parts, and an end. left_s: of the soak. Raises Violation."""
    listens = number % 8 == 7
    intent, voice = ("transcription", None) if listens else ("", VOICES[1 + place % (len(VOICES) - 1)])
    parts = [listen_only] if listens else [PARTS[(number + i) % len(PARTS)] for i in range(rng.randrange(2, 4))]
    ends = {end: share for end, share in ENDS.items() if end is not fall_off or left_s > GONE_S}
    (end,) = rng.choices([*ends], [*ends.values()])
    comes: dict[str, Any] = {"intent": intent, "voice": voice, "small": end is stop_reading}
    comes["travels"] = number % 2 == 0 and nonsense not in parts  # in which a client could ask not to be resumed
    async with calling(url, rng, counts, new_secret(rng), **comes) as caller:
        counts["sessions"] += 1
        await caller.settle_in(None)
        for part in parts:
            await part(caller)
            counts[f"part {part.__name__}"] += 1
        await caller.stay()
        counts[f"end {end.__name__}"] += 1
        await end(caller)


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
