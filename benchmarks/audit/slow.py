"""Attacks that take their time, to hold a place."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from benchmarks.audit.attack import Came, Target, attack
from benchmarks.audit.wire import REALTIME, answer, ask, connected

EVERY_S: Final = 0.2
"""Between two bytes."""
MOST_S: Final = 45.0
"""For a place; the server's own deadlines are 10 s for a head or a handshake of TLS, and 30 s for a body."""


async def drip(on: Target, begun: bytes, drop: bytes) -> Came:
    """Send a drop every now and then, until the server has had enough."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def dripping(writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(EVERY_S)

    async with connected(on) as (reader, writer):
        writer.write(begun)
        drops = asyncio.ensure_future(dripping(writer))
        try:
            async with asyncio.timeout(MOST_S):
                reply = await answer(reader, began)
        except TimeoutError:
            return Came(f"still there after {MOST_S:g} s", False)
        finally:
            drops.cancel()
    return Came(f"{reply} after {reply.seconds:.1f} s", reply.status in (0, 408))


def head(on: Target, path: str, *lines: str) -> bytes:
    given = [f"Host: {on.host}:{on.port}", *lines, *(f"{name}: {value}" for name, value in on.shown.items())]
    return "\r\n".join([path, *given, ""]).encode()


@attack("slowloris: the head", "a request's head, a line now and then", "408, or closed, within 45 s")
async def slow_head(on: Target) -> Came:
    return await drip(on, head(on, "GET / HTTP/1.1"), b"X-Slow: y\r\n")


@attack(
    "slowloris: the second head", "a whole request, and then a head that comes letter by letter", "closed within 45 s"
)
async def slow_second_head(on: Target) -> Came:
    return await drip(on, head(on, "HEAD /nowhere HTTP/1.1", "Content-Length: 9"), b"x")


@attack("slowloris: the handshake", "half a WebSocket handshake", "408, or closed, within 45 s")
async def slow_handshake(on: Target) -> Came:
    return await drip(on, head(on, f"GET {REALTIME} HTTP/1.1", "Upgrade: websocket"), b"X: y\r\n")


@attack("slowloris: the body", "a body of 1,000 bytes, one now and then", "408, or closed, within 45 s")
async def slow_body(on: Target) -> Came:
    lines = ("Content-Type: application/json", "Content-Length: 1000")
    return await drip(on, head(on, "POST /v1/audio/speech HTTP/1.1", *lines) + b"\r\n", b" ")


@attack("silence", "a connection that says nothing", "closed within 45 s")
async def silence(on: Target) -> Came:
    return await drip(on, b"", b"")


@attack("half a handshake of TLS", "the first bytes of a ClientHello", "closed within 45 s", on="tls")
async def half_tls(on: Target) -> Came:
    plain = Target(on.url.replace("https", "http", 1))
    return await drip(plain, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"")


@attack("plain HTTP where TLS is spoken", "GET /v1/models with the key, without TLS", "closed", on="tls")
async def plain_http(on: Target) -> Came:
    plain = Target(f"http://{on.host}:{on.port}", on.key)
    reply = await ask(plain, "/v1/models", headers=plain.shown)
    return Came(str(reply), reply.status in (0, 400))


@attack("300 connections that ask for nothing", "300 at once, and a request beside them", "it is answered")
async def crowd(on: Target) -> Came:
    opened = [await asyncio.open_connection(on.host, on.port, ssl=on.tls) for _ in range(300)]
    try:
        reply = await ask(on, "/livez")
    finally:
        for _, writer in opened:
            writer.close()
    return Came(f"{reply} in {reply.seconds:.1f} s", reply.status == 200)
