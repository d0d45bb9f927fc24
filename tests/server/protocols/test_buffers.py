from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.server.caller import PATIENCE_S
from tests.server.protocols.test_frames import CONTINUED, TEXT, called, close_code, frame, raw
from tests.server.stack import echo, serving
from voxtral_voice.server.protocols import buffers
from voxtral_voice.server.protocols.buffers import (
    LARGE_BYTES,
    SEND_BUFFER_BYTES,
    SMALL_BYTES,
    WRITE_BUFFER_BYTES,
    Large,
    PacedWebSocket,
)

AUDIO_BYTES_PER_S = 65_000
"""24 kHz in base64."""


@asynccontextmanager
async def paced(app: ASGIApp, **settings: Any) -> AsyncIterator[tuple[int, Large]]:
    """The port, and what is counted of large messages."""
    async with serving(app, ws=PacedWebSocket, **settings) as (server, port):
        yield port, vars(server.server_state).setdefault("large_messages", Large())


# --- who reads slowly -------------------------------------------------------------------------------------------------


async def test_little_is_kept_for_a_client_that_does_not_read() -> None:
    """What the system keeps for it here, and what waits here; and what the client's own system has taken."""
    sent: list[int] = []
    stuck = asyncio.Event()

    async def talks(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await send({"type": "websocket.send", "bytes": bytes(2_600)})
            except TimeoutError:
                stuck.set()
                return
            sent.append(2_600)

    async with paced(talks) as (port, _):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        _, writer = await asyncio.open_connection(sock=client, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        writer.write(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            await stuck.wait()
        writer.transport.abort()
    assert WRITE_BUFFER_BYTES < sum(sent) < 1.3 * AUDIO_BYTES_PER_S


async def test_the_buffers_are_those_of_the_socket() -> None:
    seen: list[int] = []

    class Watched(PacedWebSocket):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            connection = transport.get_extra_info("socket")
            seen.append(connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
            seen.append(self.transport.get_write_buffer_limits()[1])

    async with serving(echo, ws=Watched) as (_, port), called(port) as client:
        await client.send("x")
        assert await client.recv() == "x"
    assert seen == [2 * SEND_BUFFER_BYTES, WRITE_BUFFER_BYTES]  # Linux doubles it


# --- who is there -----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_pings() -> dict[str, float]:
    return {"ws_ping_interval": 0.02, "ws_ping_timeout": 0.2}


async def test_who_sends_nothing_and_answers_no_ping_is_gone(quick_pings: dict[str, float]) -> None:
    async with paced(echo, **quick_pings) as (port, _), raw(port) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        assert b"keepalive ping timeout" in await reader.read()


async def test_who_sends_something_is_there(quick_pings: dict[str, float]) -> None:
    """It is busy sending, and its pongs are behind that."""
    async with paced(echo, **quick_pings) as (port, _), raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(40):
            writer.write(frame(TEXT, b"x"))
            await asyncio.sleep(0.02)
        writer.write(frame(TEXT, b"last"))
        await reader.readuntil(b"last")


async def test_who_is_not_read_cannot_answer(quick_pings: dict[str, float]) -> None:
    may_read = asyncio.Event()

    async def held_up(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await may_read.wait()
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})

    async with paced(held_up, **quick_pings) as (port, _), called(port) as client:
        for text in ("first", "second", "third"):
            await client.send(text)
        await asyncio.sleep(0.6)
        may_read.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await client.recv() == "second"


# --- large messages ---------------------------------------------------------------------------------------------------


async def test_large_messages_count_until_the_next_is_asked_for() -> None:
    counts: list[int] = []
    counted: list[Large] = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            counts.append(counted[0].bytes)
            await send({"type": "websocket.send", "text": message["text"][:1]})

    async with paced(counting) as (port, large), called(port) as client:
        counted.append(large)
        for text in ("a" * (SMALL_BYTES + 1), "b" * SMALL_BYTES, "ä" * SMALL_BYTES):
            await client.send(text)
            async with asyncio.timeout(PATIENCE_S):
                assert await client.recv() == text[0]
    assert counts == [SMALL_BYTES + 1, 0, 2 * SMALL_BYTES]
    assert large.bytes == 0


async def test_half_a_large_message_counts_until_its_client_goes() -> None:
    async with paced(echo) as (port, large):
        async with raw(port) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            for number in range(3):
                writer.write(frame(CONTINUED if number else TEXT, b"x" * 60_000, last=False))
            writer.write(frame(CONTINUED, b"x" * 60_000, last=False)[:-1])
            async with asyncio.timeout(PATIENCE_S):
                while large.bytes < 230_000:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE_S):
            while large.bytes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_too_many_large_messages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever brings the one too many is sent away, and who sends small ones notices nothing."""
    monkeypatch.setattr(buffers, "LARGE_BYTES", 200_000)
    async with paced(echo) as (port, large), called(port) as talks, raw(port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, b"x" * 60_000, last=False))
        writer.write(frame(CONTINUED, b"x" * 60_000, last=False))
        async with asyncio.timeout(PATIENCE_S):
            while large.bytes < 120_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with called(port) as greedy:
            await greedy.send("x" * 150_000)
            assert await close_code(greedy) == 1013
            assert greedy.close_reason == "Too many large messages at once: send smaller pieces."
        await talks.send("y" * SMALL_BYTES)
        async with asyncio.timeout(PATIENCE_S):
            assert len(await talks.recv()) == SMALL_BYTES
        writer.write(frame(CONTINUED, b"x" * 60_000))
        async with asyncio.timeout(PATIENCE_S):
            assert len(await reader.readexactly(180_004)) > 180_000


def test_three_of_the_largest_appends_fit_in() -> None:
    assert LARGE_BYTES > 3 * 20 * 2**20
