"""Requests and frames as bytes, so that they may be wrong."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from benchmarks.audit.attack import Came, Target

PATIENCE_S: Final = 60.0
"""For an answer. An attack that holds the server up for longer has succeeded."""
KEY_PROTOCOL: Final = "openai-insecure-api-key."
REALTIME: Final = "/v1/realtime"
NO_ROOM: Final = (429, 503)
TRIES, TRY_EVERY_S = 40, 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    """0: the connection was closed without an answer."""
    head: str = ""
    body: bytes = b""
    seconds: float = field(default=0.0, compare=False)

    @property
    def code(self) -> str:
        """Of an OpenAI-style error."""
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""

    def __str__(self) -> str:
        if self.status:
            return f"HTTP {self.status} {self.code}".rstrip()
        return f"closed without an answer {self.head}".rstrip()


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def ask(
    target: Target,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Reply:
    """headers: as they are, after Host and Content-Length, unless they name these."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in pairs}
    usual = [("Host", f"{target.host}:{target.port}"), ("Content-Length", str(len(body)))]
    pairs = [pair for pair in usual if pair[0].lower() not in names and (body or pair[0] != "Content-Length")] + pairs
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return await send(target, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)


async def send(target: Target, data: bytes) -> Reply:
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE_S), connected(target) as (reader, writer):
        writer.write(data)
        with suppress(OSError):  # refused before it had sent it all: the answer is there
            await writer.drain()
        return await answer(reader, began)


async def answer(reader: asyncio.StreamReader, began: float) -> Reply:
    """The first one, until the server closes the connection or its body is whole."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        size = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
        body = await (reader.readexactly(int(size)) if size else reader.read())
    except (asyncio.IncompleteReadError, OSError):
        return Reply(0, seconds=asyncio.get_running_loop().time() - began)
    return Reply(status, head, body, asyncio.get_running_loop().time() - began)


def refused(reply: Reply, *statuses: int) -> Came:
    return Came(str(reply), reply.status in statuses)


# --- WebSocket ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def called(target: Target, path: str = REALTIME, **options: Any) -> AsyncIterator[ClientConnection]:
    """With the right key, unless headers are named."""
    address = target.url.replace("http", "ws", 1) + path
    headers = options.pop("headers", target.shown)
    settings = {"proxy": None, "compression": None, "max_size": None, "open_timeout": PATIENCE_S, **options}
    async with connect(address, additional_headers=headers, **settings) as socket:
        yield socket


async def when_free(asked: Callable[[], Awaitable[Reply]]) -> Reply:
    """Ask again while there is no room: other attacks are under way, and other users."""
    for _ in range(TRIES):
        if (reply := await asked()).status not in NO_ROOM:
            return reply
        await asyncio.sleep(TRY_EVERY_S)
    return reply


async def knock(target: Target, path: str = REALTIME, protocols: Sequence[str] = (), **options: Any) -> Reply:
    """What a WebSocket is told that is not let in; 101 for one that is."""
    names = [Subprotocol(name) for name in protocols] or None
    return await when_free(lambda: _knocked(target, path, names, options))


async def _knocked(target: Target, path: str, names: list[Subprotocol] | None, options: dict[str, Any]) -> Reply:
    try:
        async with called(target, path, subprotocols=names, **options):
            return Reply(101)
    except InvalidStatus as refusal:
        return Reply(refusal.response.status_code, body=bytes(refusal.response.body or b""))
    except (InvalidMessage, InvalidHandshake, ConnectionClosed, OSError) as error:
        return Reply(0, f"{type(error).__name__}: {error.__cause__ or error}")


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    return socket.close_code or 0


async def frames(target: Target, data: bytes) -> int:
    """Send bytes in an open session; the code that it is closed with."""
    async with called(target) as socket:
        socket.transport.write(data)
        return await close_code(socket)


def frame(first: int, data: bytes = b"", declared: int | None = None, masked: bool = True) -> bytes:
    """first: FIN, RSV and opcode. declared: the length that it says it has. Masked with zeros."""
    size = len(data) if declared is None else declared
    mask = 0x80 if masked else 0
    if size < 126:
        length = struct.pack("!B", mask | size)
    elif size < 2**16:
        length = struct.pack("!BH", mask | 126, size)
    else:
        length = struct.pack("!BQ", mask | 127, size)
    return bytes([first]) + length + (bytes(4) if masked else b"") + data


async def told(target: Target, text: str) -> str:
    """The code of the error that a session answers to a text frame; the session goes on, or "closed CODE"."""
    async with asyncio.timeout(PATIENCE_S), called(target) as socket:
        try:
            await socket.send(text)
            return await _next_error(socket)
        except ConnectionClosed:
            return f"closed {socket.close_code}"


async def _next_error(socket: ClientConnection) -> str:
    """Behind it the session still answers."""
    code = ""
    async for message in socket:
        event = json.loads(message)
        if event["type"] == "error" and not code:
            code = str(event["error"]["code"])
            await socket.send('{"type": "input_audio_buffer.clear"}')
        elif event["type"] == "input_audio_buffer.cleared":
            return code
    return f"closed {socket.close_code}"
