"""Frames that a client of no good will may send, over real sockets to a whole server in its own process.

    await storm(url, key, frames, seed)     how many were sent, and how each of the connections ended

Knows: what clients may send, right, nearly right and wrong, from the bytes of a frame to the order of events. Does not
know: what the server should say; that it goes on, that it grows by nothing and that no session breaks is looked at by
whoever calls.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fuzz.events import MAKERS

SESSIONS: Final = 8
"""At once."""
FRAMES: Final = 200
"""Of one connection, unless something in them ends it."""
PATIENCE_S: Final = 60.0
"""For an answer: longer is a hang."""
RAW: Final = 0.005
"""Share of the frames that are made by their bytes: most of these end the connection."""
FIN: Final = 0x80
MAY_END: Final = frozenset({1000, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1013})
"""Close codes that say what the client did wrong, or that it was cut off. 1011 would be a fault of the server."""


@dataclass(slots=True)
class Told:
    frames: int = 0
    connections: int = 0
    ended: Counter[int] = field(default_factory=Counter)
    """By close code."""
    answers: Counter[str] = field(default_factory=Counter)
    """Events of the server, by type."""
    hung: int = 0
    """Sessions that did not answer any more."""


def raw(rng: random.Random) -> bytes:
    """A frame by its bytes, which may be none."""
    opcode = rng.choice((0, 1, 1, 2, 3, 7, 8, 9, 9, 10, 15)) | rng.choice((FIN, FIN, FIN, 0, 0x40, 0x20))
    data = rng.randbytes(rng.choice((0, 1, 2, 125, 126, 3000)))
    declared = len(data) if rng.random() < 0.8 else rng.choice((0, 126, 2**16, 2**40, 2**63))
    if declared < 126:
        length = bytes([0x80 | declared])
    else:
        length = struct.pack("!BH", 0xFE, declared) if declared < 2**16 else struct.pack("!BQ", 0xFF, declared)
    return bytes([opcode]) + length + rng.randbytes(4) + data


async def storm(url: str, frames: int, seed: int, headers: dict[str, str] | None = None) -> Told:
    """headers: of the handshake."""
    told = Told()
    rng = random.Random(seed)

    async def caller(own: random.Random) -> None:
        while told.frames < frames:
            await _connection(url, own, told, headers or {})

    async with asyncio.TaskGroup() as group:
        for _ in range(min(SESSIONS, -(-frames // FRAMES))):
            group.create_task(caller(random.Random(rng.random())))
    return told


async def _connection(url: str, rng: random.Random, told: Told, headers: dict[str, str]) -> None:
    address = url.replace("http", "ws", 1) + rng.choice(("/v1/realtime", "/v1/realtime?intent=transcription"))
    try:
        async with connect(
            address, proxy=None, compression=None, ping_interval=None, additional_headers=headers
        ) as socket:
            told.connections += 1
            cleared = asyncio.Event()
            hearing = asyncio.ensure_future(_hear(socket, told, cleared))
            try:
                if await _send(socket, rng, told):
                    await _is_there(socket, told, cleared)
            finally:
                hearing.cancel()
                await asyncio.wait([hearing])
        told.ended[socket.close_code or 0] += 1
    except InvalidStatus:
        await asyncio.sleep(0.1)  # the server has no room, and said so
    except (ConnectionClosed, OSError):
        told.ended[1006] += 1


async def _hear(socket: ClientConnection, told: Told, cleared: asyncio.Event) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            kind = json.loads(message)["type"]
            told.answers[kind] += 1
            if kind == "input_audio_buffer.cleared":
                cleared.set()
    cleared.set()  # nothing more comes


async def _send(socket: ClientConnection, rng: random.Random, told: Told) -> bool:
    """Events, and now and then a frame by its bytes. Whether there was none of these: what comes behind half a frame is
    its other half, and nobody can be asked anything any more."""
    makers, weights = zip(*MAKERS, strict=True)
    is_whole = True
    with suppress(ConnectionClosed):
        for number in range(FRAMES):
            if rng.random() < RAW:
                socket.transport.write(raw(rng))
                is_whole = False
            else:
                made = rng.choices(makers, weights)[0](rng)
                is_text = isinstance(made, str)
                await socket.send(made.encode(errors="surrogatepass") if is_text else made, text=is_text)
            told.frames += 1
            if number % 20 == 0:
                await asyncio.sleep(0)
    return is_whole


async def _is_there(socket: ClientConnection, told: Told, cleared: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionClosed):
                await socket.send('{"type": "input_audio_buffer.clear"}')
                await cleared.wait()
    except TimeoutError:
        told.hung += 1
