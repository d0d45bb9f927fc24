"""A caller with the stock `openai` SDK: a microphone that never stops, and everything that the server sent.

Knows: the SDK, a microphone's pace, when the loudspeaker has played what came. Does not know: our server or our client;
it shares no code with them beyond the sample maths.
"""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
import orjson
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from tests.realtime import oracle, order
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float

RATE_HZ: Final = 24_000
CHUNK_SAMPLES: Final = 480
ROOM_TONE: Final = 0.0003
"""RMS; digital silence comes from no microphone."""
PATIENCE_S: Final = 45.0
"""For one event, on a machine that has other things to do."""


class Reply:
    """One response, as its events said."""

    def __init__(self, response_id: str) -> None:
        self.id = response_id
        self.item_id = ""
        self.text = ""
        """What the transcript's deltas said."""
        self.pieces: list[tuple[float, Samples]] = []
        """(arrival, audio)."""
        self.plays_until = -math.inf
        self.done: Any = None
        """The `response.done` event's response."""
        self.done_at = math.inf

    @property
    def audio(self) -> Samples:
        """24 kHz."""
        return np.concatenate([np.zeros(0, np.float32), *(samples for _, samples in self.pieces)])

    @property
    def audio_ms(self) -> float:
        return len(self.audio) * 1000 / RATE_HZ

    def played_ms(self, at: float) -> float:
        """How much of it had come out of the loudspeaker by then."""
        free, played = -math.inf, 0.0
        for arrival, samples in self.pieces:
            begin = max(arrival, free)
            free = begin + len(samples) / RATE_HZ
            played += max(0.0, min(at, free) - begin)
        return played * 1000


class Caller:
    """One session. Made by `calling`."""

    def __init__(self, realtime: AsyncRealtimeConnection) -> None:
        self.realtime = realtime
        self.frames: list[bytes] = []
        """As they came."""
        self.events: list[Any] = []
        """The same, as the SDK's types."""
        self.replies: list[Reply] = []
        self._now = time.monotonic
        self._waiting: Samples = np.zeros(0, np.float32)
        self._changed = asyncio.Event()

    # --- speaking

    async def say(self, samples: Samples) -> None:
        """samples: 24 kHz. Returns when they have been spoken."""
        self._waiting = np.concatenate([self._waiting, samples])
        await self._until(lambda: not len(self._waiting), "the words were spoken", PATIENCE_S + len(samples) / RATE_HZ)

    async def ask(self, samples: Samples) -> Reply:
        """Speak, and return the next reply when its last sound has been played."""
        count = len(self.replies)
        await self.say(samples)
        return await self.reply(count)

    async def write(self, text: str, role: str = "user") -> None:
        """Add a message to the conversation, and wait until it is there."""
        kind = "output_text" if role == "assistant" else "input_text"
        item: Any = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        since = len(self.events)
        await self.realtime.conversation.item.create(item=item)
        await self.event("conversation.item.done", since)

    async def answer(self) -> Reply:
        """Ask for a response, and return it when its last sound has been played."""
        count = len(self.replies)
        await self.realtime.response.create()
        return await self.reply(count)

    async def repeated(self, text: str) -> None:
        """Ask for a response that says this very text, and return when it has begun.

        The server answers "Repeat that." with what the assistant said last; what that was we put there.
        """
        await self.write(text, "assistant")
        await self.write("Repeat that.")
        await self.realtime.response.create()

    # --- listening

    async def reply(self, index: int) -> Reply:
        """The reply of this number, when it has been played."""
        await self._until(lambda: len(self.replies) > index, "a response began")
        reply = self.replies[index]
        await self._until(lambda: reply.done is not None, f"{reply.id} was done", PATIENCE_S + 30)
        await asyncio.sleep(max(0.0, reply.plays_until - self._now()))
        return reply

    async def audio(self, index: int, played_ms: float = 0.0) -> Reply:
        """The reply of this number, when so much of it has been played."""
        await self._until(lambda: len(self.replies) > index and bool(self.replies[index].pieces), "audio came")
        reply = self.replies[index]
        await asyncio.sleep(max(0.0, reply.pieces[0][0] + played_ms / 1000 - self._now()))
        return reply

    async def event(self, kind: str, since: int = 0) -> Any:
        """The first event of this type from number `since` on, when it is there."""
        found: list[Any] = []

        def there() -> bool:
            found[:] = (event for event in self.events[since:] if event.type == kind)
            return bool(found)

        await self._until(there, f"{kind} came")
        return found[0]

    async def retrieve(self, item_id: str) -> Any:
        since = len(self.events)
        await self.realtime.conversation.item.retrieve(item_id=item_id)
        return (await self.event("conversation.item.retrieved", since)).item

    async def transcript(self, index: int) -> str:
        """Of the user's turn of this number, when it is there."""
        kind = "conversation.item.input_audio_transcription.completed"
        await self._until(lambda: sum(event.type == kind for event in self.events) > index, f"transcript {index} came")
        text: str = [event for event in self.events if event.type == kind][index].transcript
        return text

    def words_received(self) -> str:
        """All that the server sent, audio left out."""
        events = map(orjson.loads, self.frames)
        return "\n".join(str(e) for e in events if e["type"] != "response.output_audio.delta").lower()

    def judge(self) -> None:
        """Every frame is what the SDK's types say, and they came in the order that clients rely on."""
        order.check(oracle.read(self.frames))

    # --- the streams

    async def stream(self) -> None:
        """20 ms at a time, at the pace of speech, for ever."""
        noise = np.random.default_rng(0).normal(0, ROOM_TONE, CHUNK_SAMPLES).astype(np.float32)
        begin, sent = self._now(), 0
        while True:
            sent += 1
            await asyncio.sleep(begin + sent * CHUNK_SAMPLES / RATE_HZ - self._now())
            words, self._waiting = self._waiting[:CHUNK_SAMPLES], self._waiting[CHUNK_SAMPLES:]
            if len(words) and not len(self._waiting):
                self._changed.set()
            chunk = noise + np.pad(words, (0, CHUNK_SAMPLES - len(words)))
            await self.realtime.input_audio_buffer.append(audio=base64.b64encode(float_to_pcm16(chunk)).decode())

    async def listen(self) -> None:
        while True:
            frame = await self.realtime.recv_bytes()
            event = self.realtime.parse_event(frame)
            self._take(event, self._now())
            self.frames.append(frame)
            self.events.append(event)
            self._changed.set()

    def _take(self, event: Any, now: float) -> None:
        if event.type == "response.created":
            self.replies.append(Reply(event.response.id))
        elif event.type == "response.output_item.added":
            self._reply(event.response_id).item_id = event.item.id
        elif event.type == "response.output_audio_transcript.delta":
            self._reply(event.response_id).text += event.delta
        elif event.type == "response.output_audio.delta":
            reply = self._reply(event.response_id)
            samples = pcm16_to_float(base64.b64decode(event.delta))
            reply.pieces.append((now, samples))
            reply.plays_until = max(now, reply.plays_until) + len(samples) / RATE_HZ
        elif event.type == "response.done":
            reply = self._reply(event.response.id)
            reply.done, reply.done_at = event.response, now

    def _reply(self, response_id: str) -> Reply:
        return next(reply for reply in self.replies if reply.id == response_id)

    async def _until(self, reached: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(patience_s):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            kinds = [event.type for event in self.events if event.type != "response.output_audio.delta"]
            raise AssertionError(f"{patience_s:g} s went by before {what}; the last events: {kinds[-12:]}") from None


@asynccontextmanager
async def calling(url: str, **session: Any) -> AsyncIterator[Caller]:
    """A session with the server at `url` (http://host:port) that gets transcripts of what is said.

    session: more of what `session.update` says.
    """
    listens = {"transcription": {"model": "whisper-1", "language": "en"}}
    wanted: Any = {"type": "realtime", **session, "audio": {"input": listens, **session.get("audio", {})}}
    try:
        async with (
            AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client,
            client.realtime.connect(model="voxtral-voice") as realtime,
            asyncio.TaskGroup() as group,
        ):
            caller = Caller(realtime)
            streams = [group.create_task(caller.listen())]
            try:
                await caller.event("session.created")
                await realtime.session.update(session=wanted)
                await caller.event("session.updated")
                streams.append(group.create_task(caller.stream()))
                yield caller
            finally:
                for stream in streams:
                    stream.cancel()
    except BaseExceptionGroup as group_of_one:
        raise group_of_one.exceptions[0] from None
