from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest
from blockbuster import BlockBuster
from kosoku import run_fuzzingclient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.caller import PATIENCE_S
from tests.server.stack import MOST_BYTES, echo, serving
from voxtral_voice.server.protocols import frames

CASES: Final = 247
NO_MESSAGES: Final = ["9.*", "12.*", "13.*"]
"""Speed and compression, which is off."""
TEXT, CONTINUED, PING, CLOSE, FIN = 0x1, 0x0, 0x9, 0x8, 0x80


def frame(opcode: int, data: bytes = b"", *, last: bool = True) -> bytes:
    """Masked with zeros, as a client may."""
    first = (FIN if last else 0) | opcode
    size = len(data)
    length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return bytes([first]) + length + bytes(4) + data


@asynccontextmanager
async def raw(port: int, *headers: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket whose handshake was sent, as bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
    writer.write(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
    writer.write(b"".join(header + b"\r\n" for header in headers) + b"\r\n")
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.close()


def called(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None, max_size=None)


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        await socket.wait_closed()
    return socket.close_code


async def test_autobahns_cases(nothing_blocks: BlockBuster) -> None:
    """run_fuzzingclient raises when one of them fails. It reads its cases from files, in the loop."""
    nothing_blocks.deactivate()
    async with serving(echo) as (_, port):
        results = await run_fuzzingclient(f"ws://127.0.0.1:{port}", exclude_cases=NO_MESSAGES, concurrency=8)
    assert len(results) == CASES
    assert [result.case_id for result in results if not result.passed] == []


async def test_a_close_in_the_middle_of_a_message_is_a_close() -> None:
    async with serving(echo) as (_, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, b"half", last=False) + frame(CLOSE, struct.pack("!H", 1000)))
        assert await reader.read() == bytes([FIN | CLOSE, 2]) + struct.pack("!H", 1000)


async def test_a_close_behind_a_text_that_is_no_utf_8(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo) as (server, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(FIN | TEXT, b"\xff") + frame(FIN | CLOSE, struct.pack("!H", 1000)))
        assert await reader.read() == bytes([FIN | CLOSE, 2]) + struct.pack("!H", 1000)
        assert not server.server_state.connections
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("header", [b"X: " + b"y" * 9_000, b"\r\n".join([b"X: y"] * 200)])
async def test_a_handshake_that_is_too_large_is_answered(header: bytes) -> None:
    async with serving(echo) as (_, port), raw(port, header) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")


async def test_a_handshake_without_a_key_is_answered() -> None:
    async with serving(echo) as (_, port), raw(port, b"Sec-WebSocket-Key: twice") as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_message_that_is_too_large() -> None:
    async with serving(echo) as (_, port), called(port) as socket:
        with suppress(ConnectionClosed):
            await socket.send(b"x" * (MOST_BYTES + 1))
        assert await close_code(socket) == 1009


async def test_large_messages_go_through_whole_and_in_order() -> None:
    sent = [os.urandom(size) for size in (1, 5_000, 300_000, 10, 3_000_000)]
    async with serving(echo) as (_, port), called(port) as socket:
        for message in sent:
            await socket.send(message)
        async with asyncio.timeout(PATIENCE_S):
            assert [await socket.recv() for _ in sent] == sent


async def test_many_small_frames_at_once_are_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    read = frames.BoundedWebSocket._read

    def watched(self: frames.BoundedWebSocket, data: bytes) -> None:
        nonlocal largest
        largest = max(largest, len(data))
        read(self, data)

    monkeypatch.setattr(frames.BoundedWebSocket, "_read", watched)
    count = 20_000
    async with serving(echo) as (_, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, b"x") * count)
        assert await reader.readexactly(3 * count) == b"\x81\x01x" * count
    assert largest <= frames.STEP_BYTES


async def test_pings_are_answered() -> None:
    async with serving(echo) as (_, port), called(port) as socket:
        async with asyncio.timeout(PATIENCE_S):
            await (await socket.ping(b"there?"))


async def test_pings_of_a_client_that_does_not_read_pile_up_nothing() -> None:
    """It would be a byte kept for each byte sent, without an end."""
    pings = frame(PING, b"x" * 125) * 1000
    async with serving(echo) as (server, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        (there,) = server.server_state.connections
        most, sent = 0, 0
        while sent < 30 * 2**20:
            writer.write(pings)
            await writer.drain()
            sent += len(pings)
            most = max(most, there.transport.get_write_buffer_size())
        assert most < 2**20


@pytest.mark.parametrize("piece", [b"", b"x"])
async def test_pieces_without_an_end(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(frames, "MOST_PIECES", 1000)
    async with serving(echo) as (_, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, last=False) + frame(CONTINUED, piece, last=False) * 1500)
        assert (await reader.read(4))[:4] == bytes([FIN | CLOSE, 31]) + struct.pack("!H", 1009)


async def test_a_message_may_have_many_pieces() -> None:
    async with serving(echo) as (_, port), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, last=False) + frame(CONTINUED, b"x", last=False) * 60 + frame(CONTINUED, b"y"))
        assert await reader.readexactly(63) == b"\x81\x3d" + b"x" * 60 + b"y"


async def test_compression_is_not_agreed_to() -> None:
    async with (
        serving(echo) as (_, port),
        connect(f"ws://127.0.0.1:{port}", proxy=None, compression="deflate") as socket,
    ):
        assert socket.protocol.extensions == []


async def test_a_version_that_nobody_speaks_is_answered() -> None:
    async with serving(echo) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        writer.write(b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert (await reader.read()).startswith((b"HTTP/1.1 426 ", b"HTTP/1.1 400 "))
        writer.close()


async def test_a_refusal_of_the_app_reaches_the_client() -> None:
    async def refusing(_scope: object, receive: object, send: object) -> None:
        await receive()  # type: ignore[operator]
        start = {"type": "websocket.http.response.start", "status": 503, "headers": []}
        await send(start)  # type: ignore[operator]
        await send({"type": "websocket.http.response.body", "body": b"full"})  # type: ignore[operator]

    async with serving(refusing) as (_, port):
        with pytest.raises(InvalidStatus, match="503"):
            async with called(port):
                pass
