from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.certificate import Certificate, certificate
from tests.server.caller import PATIENCE_S
from tests.server.stack import Stack, echo, serving
from voxtral_voice.config import ServerConfig
from voxtral_voice.server.protocols import heads
from voxtral_voice.server.tls import tls_context

SHORT_S = 0.05
HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Peer:
    """A TCP connection that sends what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> bytes:
        """Up to the end of the next one's body."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """Until the server has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "REST_S"):
        monkeypatch.setattr(heads, name, SHORT_S)


def waiting(server: Stack) -> int:
    return len(vars(server.server_state)["without_head"])


async def until(server: Stack, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while waiting(server) != count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def test_a_request_is_answered_and_the_connection_kept() -> None:
    async with serving(echo) as (server, port), connected(port) as peer:
        for body in (b"", b"four", b"x" * 100_000):
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await peer.answer()).endswith(b"\r\n\r\n%d" % len(body))
        assert waiting(server) == 1


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("part", [b"G", HEAD, HEAD + b"X-Half: of a li", b"\r\n"])
async def test_half_a_head_has_a_deadline(part: bytes) -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(part)
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.usefixtures("short")
async def test_a_head_that_comes_byte_by_byte_has_the_same_deadline() -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        dripping = asyncio.ensure_future(drip(peer))
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def drip(peer: Peer) -> None:
    peer.send(HEAD)
    while True:
        peer.send(b"X: y\r\n")
        await asyncio.sleep(SHORT_S / 5)


@pytest.mark.usefixtures("short")
async def test_one_that_never_asks_is_closed_without_a_word() -> None:
    async with serving(echo) as (server, port), connected(port) as peer:
        assert await peer.rest() == b""
        assert waiting(server) == 0


@pytest.mark.usefixtures("short")
async def test_the_second_head_has_a_deadline_too() -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(HEAD + b"\r\n")
        assert (await peer.answer()).startswith(b"HTTP/1.1 200 ")
        peer.send(b"GET")
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("short")
async def test_a_body_that_nobody_reads_has_a_deadline() -> None:
    async def hasty(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    async with serving(hasty) as (_, port), connected(port) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegun")
        assert (await peer.answer()).startswith(b"HTTP/1.1 413 ")
        assert await peer.rest() == b""


@pytest.mark.usefixtures("short")
async def test_who_is_being_answered_is_not_waited_for() -> None:
    may_answer = asyncio.Event()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        await may_answer.wait()
        await echo({"type": "http"}, receive, send)

    async with serving(slow) as (server, port), connected(port) as peer:
        peer.send(HEAD + b"\r\n" + HEAD)
        await until(server, 0)
        await asyncio.sleep(3 * SHORT_S)
        may_answer.set()
        assert (await peer.answer()).startswith(b"HTTP/1.1 200 ")
        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")  # the half behind it


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"y" * 40_000 + b"\r\n\r\n",  # at once
        HEAD + b"X: " + b"y" * 800_000,  # a line without an end
        HEAD + b"X: y\r\n" * 100_000,
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large(head: bytes) -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(head)
        assert (await peer.rest()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("endless", [b"0\r\n" + b"Trailer: x\r\n" * 100_000, b"5;" + b"extension" * 100_000])
async def test_what_stands_beside_a_body_has_a_bound(endless: bytes) -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + endless)
        assert b" 431 " in await peer.rest()


async def test_a_trailer_is_no_header() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        seen.extend(name for name, _ in scope["headers"])

    async with serving(app) as (_, port), connected(port) as peer:
        body = b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert (await peer.answer()).endswith(b"\r\n\r\n5")
    assert seen == [b"host", b"transfer-encoding"]


async def test_a_large_body_in_small_chunks_is_read_whole() -> None:
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert (await peer.answer()).endswith(b"\r\n\r\n50000")


async def test_so_many_requests_may_wait_in_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_PIPELINED", 3)
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(b"".join([HEAD, b"\r\n"] * 5))
        assert b"HTTP/1.1 400 " in await peer.rest()
    async with serving(echo) as (_, port), connected(port) as peer:
        peer.send(b"".join([HEAD, b"\r\n"] * 4))
        for _ in range(4):
            assert (await peer.answer()).startswith(b"HTTP/1.1 200 ")


async def test_of_too_many_that_have_not_asked_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_WITHOUT_HEAD", 2)
    async with serving(echo) as (server, port), connected(port) as first:
        first.send(b"GET /")
        await until(server, 1)
        async with connected(port) as second, connected(port) as third:
            assert (await first.rest()).startswith((b"HTTP/1.1 408 ", b""))
            for peer in (second, third):
                peer.send(HEAD + b"\r\n")
                assert (await peer.answer()).startswith(b"HTTP/1.1 200 ")


BODY = b"x" * 8 * 2**20


async def large(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
@pytest.mark.usefixtures("short")
async def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch, more: bytes) -> None:
    monkeypatch.setattr(heads, "CLOSE_S", 0.05)
    monkeypatch.setattr(heads, "LEAST_BYTES_PER_S", 10**9)
    async with serving(large) as (_, port), connected(port) as peer:
        peer.send(HEAD + more + b"\r\n")
        await asyncio.sleep(0.5)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await peer.answer()


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
@pytest.mark.usefixtures("short")
async def test_an_answer_that_is_read_slowly_is_not(monkeypatch: pytest.MonkeyPatch, more: bytes) -> None:
    """It has time for its length, also behind the deadline for the next head."""
    monkeypatch.setattr(heads, "CLOSE_S", 0.05)
    async with serving(large) as (_, port), connected(port) as peer:
        peer.send(HEAD + more + b"\r\n")
        await asyncio.sleep(0.5)
        assert (await peer.answer()).endswith(BODY)


async def test_a_peer_that_reads_nothing_is_dropped_by_the_system() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("Linux has it")
    made: list[int] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        (connection,) = server.server_state.connections
        option = connection.transport.get_extra_info("socket")
        made.append(option.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        await echo({"type": "http"}, receive, send)

    async with serving(app) as (server, port), connected(port) as peer:
        peer.send(HEAD + b"\r\n")
        await peer.answer()
    assert made == [heads.UNREAD_MS]


@pytest.fixture
def ours(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


@pytest.mark.usefixtures("short")
async def test_half_a_handshake_of_tls_has_a_deadline(ours: Certificate) -> None:
    tls = await asyncio.to_thread(tls_context, ServerConfig(tls_cert=str(ours.cert), tls_key=str(ours.key)))
    async with serving(echo, tls) as (_, port):
        async with connected(port) as peer:
            peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # of a ClientHello, the first bytes
            assert await peer.rest() == b""
        trusting = await asyncio.to_thread(ssl.create_default_context, cafile=str(ours.cert))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        assert await Peer(reader, writer).rest() == b""  # the deadline of a head, behind that of TLS
        writer.close()
