"""A Realtime client without manners, for tests of the server: it sends what it is told, as fast as the socket takes
it, and keeps every frame that comes back.

Knows: the wire's sounds and events. Does not know: the server, nor our own client.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.realtime import order
from tests.realtime.oracle import read
from voxtral_voice.audio.pcm import Samples, float_to_pcm16

RATE_HZ: Final = 24_000
PATIENCE_S: Final = 20.0
"""For a busy machine; no test waits for it to pass."""

Event = dict[str, Any]


def tone(ms: float, hz: float = 440.0, level: float = 0.3) -> Samples:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(RATE_HZ * ms / 1000)) / RATE_HZ)).astype(np.float32)


def silence(ms: float) -> Samples:
    return np.zeros(int(RATE_HZ * ms / 1000), np.float32)


def appended(pcm: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


class Caller:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[bytes] = []
        self.events: list[Event] = []
        self.hung_up: tuple[int, str] | None = None
        """Close code and reason, as the server gave them; 1006 when it gave none."""
        self._changed = asyncio.Event()
        self._plays_to = 0.0

    # --- saying -------------------------------------------------------------------------------------------------

    async def send(self, kind: str, **fields: Any) -> None:
        await self.send_raw(json.dumps({"type": kind, **fields}))

    async def send_raw(self, frame: str | bytes) -> None:
        await self.socket.send(frame)

    async def update(self, **session: Any) -> None:
        """`session.update`, and the answer to it."""
        count = self.count("session.updated") + 1
        await self.send("session.update", session={"type": "realtime", **session})
        await self.until("session.updated", count)

    async def push_to_talk(self) -> None:
        await self.update(audio={"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}})

    async def say(self, samples: Samples, chunk_ms: float = 20) -> None:
        pcm = float_to_pcm16(samples)
        step = 2 * int(RATE_HZ * chunk_ms / 1000)
        for start in range(0, len(pcm), step):
            await self.send_raw(appended(pcm[start : start + step]))

    async def speak(self, ms: float = 480, hz: float = 440.0) -> None:
        """Something to hear, and a silence behind it."""
        await self.say(np.concatenate((tone(ms, hz), silence(320))))

    async def turn(self, ms: float = 480, hz: float = 440.0) -> Event:
        """Once the last reply was played, speak, and wait for the reply's end. Returns its `response.done`."""
        await self.played()
        count = self.count("response.done") + 1
        await self.speak(ms, hz)
        return await self.until("response.done", count)

    async def played(self) -> None:
        """Wait until all audio that came would have been played."""
        await asyncio.sleep(self._plays_to - asyncio.get_running_loop().time())

    # --- hearing ------------------------------------------------------------------------------------------------

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def count(self, kind: str) -> int:
        return len(self.all(kind))

    def said(self) -> str:
        """All text of all replies."""
        return "".join(event["delta"] for event in self.all("response.output_audio_transcript.delta"))

    def errors(self) -> list[str]:
        return [event["error"]["code"] for event in self.all("error")]

    async def until(self, kind: str, count: int = 1) -> Event:
        """The so-manieth event of this kind. AssertionError when the connection ends before it."""
        await self.until_true(lambda: self.count(kind) >= count, f"{kind} number {count}")
        return self.all(kind)[count - 1]

    async def until_hung_up(self) -> tuple[int, str]:
        await self.until_true(lambda: self.hung_up is not None, "the end of the connection")
        assert self.hung_up is not None
        return self.hung_up

    async def until_true(self, reached: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not reached():
                assert self.hung_up is None, f"{what} did not come before {self.hung_up}; {self._seen()}"
                self._changed.clear()
                try:
                    await self._changed.wait()
                except asyncio.CancelledError:
                    print(f"waited for {what}; {self._seen()}")
                    raise

    def _play(self, event: Event) -> None:
        if event["type"] == "response.output_audio.delta":
            seconds = len(base64.b64decode(event["delta"])) / 2 / RATE_HZ
            self._plays_to = max(self._plays_to, asyncio.get_running_loop().time()) + seconds

    def _seen(self) -> str:
        return f"there were {[event['type'] for event in self.events]} {self.all('error')}"

    async def listen(self) -> None:
        try:
            async for frame in self.socket:
                self.frames.append(frame.encode() if isinstance(frame, str) else frame)
                self.events.append(orjson.loads(frame))
                self._play(self.events[-1])
                self._changed.set()
        except ConnectionClosed:
            pass
        self.hung_up = (self.socket.close_code or 1006, self.socket.close_reason or "")
        self._changed.set()


@asynccontextmanager
async def calling(url: str, *, finished: bool = True, greeted: bool = True, **options: Any) -> AsyncIterator[Caller]:
    """One connection. Every frame of it is judged in the end: its shape, and the order of all of them.

    finished: every reply is over when the block is left. greeted: the block begins after `session.created`.
    """
    address = url.replace("http", "ws", 1) + "/v1/realtime"
    async with connect(address, compression=None, max_size=None, proxy=None, close_timeout=2, **options) as socket:
        caller = Caller(socket)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(caller.listen())
            try:
                if greeted:
                    await caller.until("session.created")
                yield caller
            finally:
                await socket.close()
                await asyncio.wait([listening])
    order.check(read(caller.frames, patience=True), finished=finished)


def subprotocols(*names: str) -> list[Subprotocol]:
    return [Subprotocol(name) for name in names]
