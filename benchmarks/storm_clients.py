"""Who takes part in a storm: callers that talk, strangers that get no place, and clients that come and drop off.

Knows: sockets, paces, what a client can do to a server without manners. Does not know: the server, figures.

The callers and each group of strangers are processes of their own, so that none of them slows another:

    python -m benchmarks.storm_clients strangers URL PER_S SECONDS KIND      one JSON object: what they were told
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from voxtral_voice.audio.pcm import float_to_pcm16

RATE_HZ: Final = 24_000
CHUNK_MS: Final = 20
SAYS_MS: Final = 600
TURN_S: Final = 2.4
"""From the begin of one turn to that of the next: what the fakes say takes less."""
ANSWER_S: Final = 10.0
TALKS_S: Final = 15.0
"""So long a stranger waits for the server's answer."""
CLOSE: Final = b"\x88"
"""The head of the frame that ends a WebSocket; no byte of an HTTP answer."""
LINGER: Final = struct.pack("ii", 1, 0)
"""A socket that is closed so is reset."""

KINDS: Final = ("script", "page", "wrong_key")


def _chunk(level: float) -> str:
    time_s = np.arange(RATE_HZ * CHUNK_MS // 1000) / RATE_HZ
    pcm = float_to_pcm16((level * np.sin(2 * np.pi * 400 * time_s)).astype(np.float32))
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


LOUD: Final = _chunk(0.3)
QUIET: Final = _chunk(0.0)


def handshake(url: str, kind: str = "script") -> bytes:
    more = {"script": "", "page": f"Origin: {url}\r\n", "wrong_key": "Authorization: Bearer vv_nobodys\r\n"}[kind]
    head = (
        f"GET /v1/realtime HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
    return head.encode()


# --- who talks ---------------------------------------------------------------------------------------------------


class Caller:
    """Says something every TURN_S, from a moment of its own, at a microphone's pace."""

    def __init__(self, socket: ClientConnection, rng: random.Random) -> None:
        self._socket, self._rng = socket, rng
        self.waits: list[tuple[float, float]] = []
        """Of each turn: when its last sound was sent, on the clock of `time.monotonic`, and after how many seconds the
        first sound of the answer came; ANSWER_S for none."""
        self._said_at: float | None = None

    async def talk(self, seconds: float) -> None:
        """Whole turns only."""
        listening = asyncio.ensure_future(self._listen())
        began = time.monotonic() + self._rng.uniform(0, TURN_S)
        for turn in range(int(seconds / TURN_S)):
            await self._turn(began + turn * TURN_S)
        listening.cancel()
        await asyncio.wait([listening])

    async def _turn(self, at: float) -> None:
        for number in range(int(TURN_S * 1000 / CHUNK_MS)):
            await asyncio.sleep(at + number * CHUNK_MS / 1000 - time.monotonic())
            await self._socket.send(LOUD if number < SAYS_MS // CHUNK_MS else QUIET)
            if number == SAYS_MS // CHUNK_MS - 1:
                self._said_at = time.monotonic()
        if self._said_at is not None:
            self.waits.append((self._said_at, ANSWER_S))
            self._said_at = None

    async def _listen(self) -> None:
        async for frame in self._socket:
            if self._said_at is not None and '"response.output_audio.delta"' in str(frame[:80]):
                self.waits.append((self._said_at, time.monotonic() - self._said_at))
                self._said_at = None


async def callers(url: str, sessions: int, seconds: float, key: str, over: asyncio.Event) -> list[tuple[float, float]]:
    """What they waited, all of them together. They keep their places until it is over."""
    rng, address = random.Random(1), url.replace("http", "ws", 1) + "/v1/realtime"
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    more = {"compression": None, "proxy": None, "additional_headers": shown}
    sockets = [await connect(address, **more) for _ in range(sessions)]  # type: ignore[arg-type]
    talking = [Caller(socket, random.Random(rng.random())) for socket in sockets]
    try:
        await asyncio.gather(*(caller.talk(seconds) for caller in talking))
        await over.wait()
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))
    return [wait for caller in talking for wait in caller.waits]


# --- who gets no place -------------------------------------------------------------------------------------------


async def strangers(url: str, per_s: float, seconds: float, kind: str) -> dict[str, Any]:
    """One every 1 / per_s, whatever became of those before."""
    told: Counter[str] = Counter()
    began, count = time.monotonic(), round(per_s * seconds)
    late_s = 0.0
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = began + number / per_s
            if (wait_s := due - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            late_s = max(late_s, time.monotonic() - due)
            group.create_task(_stranger(url, handshake(url, kind), told))
    took_s = time.monotonic() - began
    return {"told": dict(told), "seconds": round(took_s, 2), "late_s": round(late_s, 3)}


async def _stranger(url: str, head: bytes, told: Counter[str]) -> None:
    where = urlsplit(url)
    try:
        async with asyncio.timeout(TALKS_S):
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(head)
            told[(await reader.readline()).decode().split(" ")[1]] += 1
            while CLOSE not in (data := await reader.read(4096)) and data:
                pass
            writer.close()
    except (OSError, TimeoutError, IndexError) as error:
        told[type(error).__name__] += 1


# --- who drops off -----------------------------------------------------------------------------------------------


async def drop(url: str, number: int) -> None:
    """One client comes, and goes in a way of its own."""
    await DROPS[number % len(DROPS)](url)


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(url)
    return await asyncio.open_connection(where.hostname, where.port)


async def _says_goodbye(url: str) -> None:
    async with connect(url.replace("http", "ws", 1) + "/v1/realtime", compression=None, proxy=None) as socket:
        await socket.recv()


async def _vanishes_in_the_middle_of_a_turn(url: str) -> None:
    socket = await connect(url.replace("http", "ws", 1) + "/v1/realtime", compression=None, proxy=None)
    for _ in range(10):
        await socket.send(LOUD)
    socket.transport.abort()
    await socket.wait_closed()


async def _vanishes_in_the_middle_of_an_answer(url: str) -> None:
    socket = await connect(url.replace("http", "ws", 1) + "/v1/realtime", compression=None, proxy=None)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    for _ in range(4):
        await socket.recv()
    socket.transport.abort()
    await socket.wait_closed()


async def _sends_no_head(url: str) -> None:
    _, writer = await _connected(url)
    writer.close()


async def _sends_half_a_head_and_is_reset(url: str) -> None:
    _, writer = await _connected(url)
    writer.write(handshake(url)[:40])
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    writer.transport.abort()


async def _goes_before_it_is_answered(url: str) -> None:
    _, writer = await _connected(url)
    writer.write(handshake(url))
    writer.close()


async def _says_no_goodbye(url: str) -> None:
    reader, writer = await _connected(url)
    writer.write(handshake(url))
    await reader.readline()
    writer.write_eof()
    writer.close()


DROPS: Final = (
    _says_goodbye,
    _vanishes_in_the_middle_of_a_turn,
    _vanishes_in_the_middle_of_an_answer,
    _sends_no_head,
    _sends_half_a_head_and_is_reset,
    _goes_before_it_is_answered,
    _says_no_goodbye,
)


def main() -> None:
    url, per_s, seconds, kind = sys.argv[2:]
    print(json.dumps(uvloop.run(strangers(url, float(per_s), float(seconds), kind))))


if __name__ == "__main__":
    main()
