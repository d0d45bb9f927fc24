"""Who calls during the soak: clients that speak, type, use tools, interrupt, listen, and send nonsense.

Knows: how a client behaves, and when it has waited too long. Does not know: the server; what is wrong with its answers
(`tests.realtime.client` judges every event).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.realtime.client import Client
from tests.realtime.replies import Event
from tests.realtime.steps import FORMATS, TOOL, client_event, spoil
from voxtral_voice.audio.g711 import float_to_g711
from voxtral_voice.audio.pcm import float_to_pcm16

CHUNK_S: Final = 0.04
"""Of the microphone."""
ANSWER_S: Final = 20.0
"""So long a client waits for what it has asked for."""
REST_S: Final = 40.0
"""So long after the client's last word something may be under way: an engine that hangs fails before."""
LISTENING: Final = {"transcription": {"model": "whisper-1"}}


def _chunk(kind: str, level: float) -> bytes:
    rate_hz = 24_000 if kind == "audio/pcm" else 8_000
    count = round(rate_hz * CHUNK_S)
    wave = np.clip(level * np.random.default_rng(2).standard_normal(count), -1, 1).astype(np.float32)
    if kind == "audio/pcm":
        return float_to_pcm16(wave)
    return float_to_g711(wave, "mu" if kind == "audio/pcmu" else "a")


KINDS: Final = ("audio/pcm", "audio/pcmu", "audio/pcma")
CHUNKS: Final = {
    (kind, loud): base64.b64encode(_chunk(kind, 0.3 if loud else 0.0003)).decode()
    for kind in KINDS
    for loud in (True, False)
}


class Violation(Exception):  # noqa: N818 - said of a rule
    """Something that may not be; what came before it is in the message."""


class Caller(Client):
    """One connection. Made by `calling`."""

    def __init__(self, socket: ClientConnection, rng: random.Random, counts: Counter[str]) -> None:
        super().__init__()
        self.rng = rng
        self.counts = counts
        self.last: list[str] = []
        """What was sent and told last, for who has to find a fault."""
        self.is_over = False
        self.seen: Counter[str] = Counter()
        """Kinds of events."""
        self._socket = socket
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
        await self._socket.send(frame)

    async def update(self, **session: Any) -> None:
        count = self.seen["session.updated"] + 1
        await self.ask("session.update", session={"type": self.session_object["type"], **session})
        await self.until(lambda: self.seen["session.updated"] >= count, "session.updated")

    def speak(self, seconds: float) -> None:
        """From now on; the microphone does the rest."""
        self._speaks_to = asyncio.get_running_loop().time() + seconds

    async def say(self, seconds: float) -> None:
        self.speak(seconds)
        await asyncio.sleep(seconds)

    async def microphone(self) -> None:
        """Never stops."""
        now = asyncio.get_running_loop().time
        began = now()
        for number in itertools.count(1):
            kind = self.session_object["audio"]["input"]["format"]["type"]
            await self.ask("input_audio_buffer.append", audio=CHUNKS[kind, now() < self._speaks_to])
            await asyncio.sleep(max(0.0, began + number * CHUNK_S - now()))

    # --- hearing ------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        try:
            async for frame in self._socket:
                self._hear(frame.encode() if isinstance(frame, str) else frame)
        except ConnectionClosed:
            pass
        self.is_over = True
        self._changed.set()

    def _hear(self, frame: bytes) -> None:
        try:
            event = self.takes(frame)
        except Exception as error:
            last = "\n  ".join(self.last)
            self.broken = self.broken or Violation(f"{error}\n  at {frame[:2000]!r}\n  after\n  {last}")
            raise self.broken from error
        if event["type"] != "response.output_audio.delta":
            self._note(f"server {frame[:300]!r}")
        self.seen[event["type"]] += 1
        self._count(event)
        self._changed.set()

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


@asynccontextmanager
async def calling(url: str, rng: random.Random, counts: Counter[str], intent: str = "") -> AsyncIterator[Caller]:
    address = url.replace("http", "ws", 1) + "/v1/realtime" + (f"?intent={intent}" if intent else "?model=soak")
    async with connect(address, compression=None, max_size=None, proxy=None, close_timeout=5) as socket:
        caller = Caller(socket, rng, counts)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(caller.listen())
            await caller.until(lambda: caller.order.session is not None, "session.created")
            microphone = group.create_task(caller.microphone())
            try:
                yield caller
            finally:
                microphone.cancel()
                await asyncio.wait([microphone])
                await socket.close()
                await asyncio.wait([listening])


# --- what they do ------------------------------------------------------------------------------------------------


def _words(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


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
    await caller.update(audio={"input": {**formats, "turn_detection": detection, **LISTENING}, "output": formats})
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
    await caller.update(audio={"input": {"turn_detection": None, **LISTENING}})
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
        await caller.ask("conversation.item.create", item=_words(f"Tell me about number {number}."))
        mark = await _respond(caller, output_modalities=[caller.rng.choice(("text", "audio"))])
        await _done(caller, mark)


async def tools(caller: Caller) -> None:
    """A call, its output before the response is done, and the answer."""
    await caller.update(tools=[TOOL], audio={"input": {"turn_detection": None}})
    for _ in range(caller.rng.randrange(1, 3)):
        calls = len(caller.call_ids)
        await caller.ask("conversation.item.create", item=_words("What is the weather in Paris?"))
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
        await _respond(caller, conversation="none", input=[_words(f"Number {i}.")], output_modalities=[kind])
        for i, kind in enumerate(kinds)
    ]
    if caller.rng.random() < 0.5:
        await caller.ask("response.cancel", response_id=caller.rng.choice([*caller.order.replies.open, "nobody"]))
    marks.append(await _respond(caller, input=[_words("And you?")]))
    for mark in marks:
        await _done(caller, mark)


async def history(caller: Caller) -> None:
    """Seeded, looked at, thinned out."""
    rng = caller.rng
    for number in range(6):
        after = rng.choice((None, "root", *caller.order.items[-3:]))
        item = {**_words(f"Number {number}."), "id": f"own_{caller.name()}"}
        await caller.ask("conversation.item.create", item=item, previous_item_id=after)
    await caller.until(lambda: not caller.order.answers or not caller.order.answers.waiting, "the items")
    for item_id in rng.sample(caller.order.items, min(4, len(caller.order.items))):
        await caller.ask(rng.choice(("conversation.item.retrieve", "conversation.item.delete")), item_id=item_id)


async def nonsense(caller: Caller) -> None:
    """What no client means to send; and rightly formed things at the wrong time."""
    rng = caller.rng
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


async def call(url: str, rng: random.Random, counts: Counter[str], number: int) -> None:
    """One session: a few of the parts, and the end, or none. Raises Violation."""
    listens = number % 8 == 7
    async with calling(url, rng, counts, "transcription" if listens else "") as caller:
        counts["sessions"] += 1
        parts = [listen_only] if listens else [PARTS[(number + i) % len(PARTS)] for i in range(rng.randrange(2, 4))]
        for part in parts:
            await part(caller)
            counts[f"part {part.__name__}"] += 1
        if rng.random() < 0.2:
            counts["sessions left in the middle"] += 1
        else:
            await caller.rest()
