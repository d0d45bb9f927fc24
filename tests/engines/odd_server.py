"""A server made by hand, byte by byte, for all that a real one should not do.

Knows: sockets, enough of HTTP to read a request. Does not know: what is tested with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import orjson

PATIENCE_S: Final = 10.0
"""For a busy machine; no test waits for it to pass."""
MODELS: Final = {"object": "list", "data": [{"id": "only"}]}


@dataclass(frozen=True)
class Request:
    line: str
    """ "POST /v1/chat/completions"."""
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        content: dict[str, object] = orjson.loads(self.body)
        return content


Respond = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class OddServer:
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    """But for those for the models."""
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A client closed its connection."""


@asynccontextmanager
async def odd_server(respond: Respond, models: Respond | None = None, port: int = 0) -> AsyncIterator[OddServer]:
    """respond: writes the answer, and may close the writer. models: the same, to GET /models. port: 0 = any."""
    found = OddServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        try:
            while (request := await _read(reader)) and not writer.is_closing():
                if request.line.startswith("GET"):
                    await (models or json_answer(MODELS))(request, writer)
                else:
                    found.requests.append(request)
                    await respond(request, writer)
                if writer.is_closing():
                    return
            found.left.set()
        except ConnectionError:
            found.left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield found
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    line, *rows = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line.rpartition(" ")[0], headers, body)


# --- answers ------------------------------------------------------------------------------------------------------


def whole(status: int, body: bytes, kind: str = "application/json", head: str = "") -> Respond:
    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
        )
        writer.write(body)

    return respond


def json_answer(content: object, status: int = 200) -> Respond:
    return whole(status, orjson.dumps(content))


def raw(data: bytes) -> Respond:
    """These bytes, and the end of the connection."""

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return respond


def stream(*pieces: bytes, kind: str = "text/event-stream", ends: bool = True) -> Respond:
    """Chunks, each sent by itself; without an end the connection is closed in the middle."""

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer, kind)
        for piece in pieces:
            write_chunk(writer, piece)
            await writer.drain()
            await asyncio.sleep(0)
        if ends:
            writer.write(b"0\r\n\r\n")
        else:
            writer.close()

    return respond


def begin_stream(writer: asyncio.StreamWriter, kind: str = "text/event-stream") -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())


def write_chunk(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")


async def never(_: Request, writer: asyncio.StreamWriter) -> None:
    """No answer; the connection stays open."""
