"""A Realtime server that follows a script: what the client and `talk` are tested against.

Knows: the wire, who is speaking (by level), when each chunk arrived. Does not know: our server; it shares no code
with it, nor with the client beyond the sample maths.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from voxtral_voice.audio.level import AUDIBLE_DBFS, rms_dbfs
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float

RATE_HZ: Final = 24_000
SILENT_CHUNKS: Final = 5
"""So many quiet chunks in a row end the speech."""


def tone(ms: float, level: float = 0.3) -> Samples:
    """440 Hz at 24 kHz."""
    return (level * np.sin(2 * np.pi * 440 * np.arange(int(RATE_HZ * ms / 1000)) / RATE_HZ)).astype(np.float32)


def silence(ms: float) -> Samples:
    return np.zeros(int(RATE_HZ * ms / 1000), np.float32)


class Call:
    """One connection. A script awaits what the caller does and sends what it likes."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.now = asyncio.get_running_loop().time
        self.received: list[dict[str, Any]] = []
        """Everything but the audio."""
        self.chunks: list[tuple[float, Samples]] = []
        """(arrival, audio)."""
        self.onsets: asyncio.Queue[float] = asyncio.Queue()
        """Arrival of the first voiced chunk of each stretch of speech."""
        self.ends: asyncio.Queue[float] = asyncio.Queue()
        """Arrival of the last voiced chunk of each stretch of speech, known SILENT_CHUNKS later."""
        self.truncates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._voiced_at: float | None = None
        self._quiet = 0
        self._items = 0

    @property
    def heard_ms(self) -> float:
        return sum(len(samples) for _, samples in self.chunks) * 1000 / RATE_HZ

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "event_id": "event_x", **fields}))

    async def send_raw(self, message: str | bytes) -> None:
        await self._socket.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def pause(self) -> None:
        """Read no more."""
        self._socket.transport.pause_reading()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._socket.transport.abort()

    async def until(self, when: float) -> None:
        await asyncio.sleep(when - self.now())

    async def greet(self) -> None:
        await self.send("session.created", session={})
        update = json.loads(await self._socket.recv())
        self.received.append(update)
        await self.send("session.updated", session=update["session"])

    async def listen(self) -> None:
        async for message in self._socket:
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.append":
                self._hear(pcm16_to_float(base64.b64decode(event["audio"])))
                continue
            self.received.append(event)
            if event["type"] == "conversation.item.truncate":
                self.truncates.put_nowait(event)

    def _hear(self, samples: Samples) -> None:
        now = self.now()
        self.chunks.append((now, samples))
        if rms_dbfs(samples) > AUDIBLE_DBFS:
            if self._voiced_at is None:
                self.onsets.put_nowait(now)
            self._voiced_at, self._quiet = now, 0
        elif self._voiced_at is not None:
            self._quiet += 1
            if self._quiet == SILENT_CHUNKS:
                self.ends.put_nowait(self._voiced_at)
                self._voiced_at = None

    async def committed(self, heard: str | None = "what is it") -> None:
        """Speech stopped, the turn is over; with its transcript, unless that is None."""
        self._items += 1
        item = f"item_u{self._items}"
        await self.send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=self.heard_ms)
        await self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        if heard is not None:
            await self.transcribed(heard)

    async def transcribed(self, heard: str) -> None:
        await self.send(
            "conversation.item.input_audio_transcription.completed", item_id=f"item_u{self._items}", transcript=heard
        )

    async def begin(self, reply: str) -> None:
        await self.send("response.created", response={"id": reply, "status": "in_progress"})

    async def audio(self, reply: str, samples: Samples) -> None:
        delta = base64.b64encode(float_to_pcm16(samples)).decode()
        await self.send("response.output_audio.delta", response_id=reply, item_id=f"item_{reply}", delta=delta)

    async def words(self, reply: str, text: str) -> None:
        await self.send("response.output_audio_transcript.delta", response_id=reply, item_id="x", delta=text)

    async def done(self, reply: str, status: str = "completed", **extra: Any) -> None:
        details = extra.pop("status_details", None)
        await self.send("response.done", response={"id": reply, "status": status, "status_details": details}, **extra)

    async def answer(self, samples: Samples, *, reply: str = "r1", piece_ms: float = 40, **extra: Any) -> None:
        """A whole reply, sent at once."""
        await self.begin(reply)
        await self.words(reply, "It is ")
        await self.words(reply, "a stub.")
        size = int(RATE_HZ * piece_ms / 1000)
        for start in range(0, len(samples), size):
            await self.audio(reply, samples[start : start + size])
        await self.done(reply, **extra)


Script = Callable[[Call], Awaitable[None]]


class StubServer:
    """url: where it listens. calls: one per connection, in order."""

    def __init__(self, script: Script, *, greets: bool) -> None:
        self._script, self._greets = script, greets
        self.url = ""
        self.calls: list[Call] = []

    async def take(self, socket: ServerConnection) -> None:
        call = Call(socket)
        self.calls.append(call)
        try:
            if self._greets:
                await call.greet()
            async with asyncio.TaskGroup() as tasks:
                script = tasks.create_task(_run(self._script, call))
                await call.listen()
                script.cancel()
        except* ConnectionClosed:
            pass


async def _run(script: Script, call: Call) -> None:
    await script(call)


@asynccontextmanager
async def stub_server(script: Script, *, greets: bool = True, **options: Any) -> AsyncIterator[StubServer]:
    stub = StubServer(script, greets=greets)
    async with serve(stub.take, "127.0.0.1", 0, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stub.url = f"ws://127.0.0.1:{port}/v1/realtime"
        yield stub


def answers(
    samples: Samples, *, delay_ms: float = 200, heard: str | None = "what is it", extra: Mapping[str, Any] | None = None
) -> Script:
    """Every stretch of speech is answered, delay_ms after its last voiced chunk came."""

    async def script(call: Call) -> None:
        number = 0
        while True:
            end = await call.ends.get()
            number += 1
            await call.until(end + delay_ms / 1000)
            await call.committed(heard)
            await call.answer(samples, reply=f"r{number}", **(extra or {}))

    return script
