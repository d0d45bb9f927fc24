"""CPU time of one request to an engine behind a URL, by HTTP client: why the remote engines use the one they use.

    .venv/bin/python -m benchmarks.http_clients [--out benchmarks/http_clients.json]

Three requests as a turn makes them, against the stub in another process: a transcript (a WAV of 3 s), a chat streamed
in tokens, and a phrase streamed in pieces of 200 ms. 8 at once, over kept-alive connections, in uvloop. What is counted
is this process's CPU time for the whole request, divided by their number; best of ROUNDS rounds, because other work on
the machine only ever adds. `minimal` is a parser on a bare transport, without errors, pool limits, timeouts, TLS or
redirects: the floor, and no client that one would ship.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httptools
import httpx
import numpy as np
import orjson
import uvloop

from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.bench.stub.plan import NONE, Latencies, StubPlan
from voxtral_voice.bench.stub.serve import Urls, serving, stub_engines
from voxtral_voice.engines.openai_audio import form, wav

AT_ONCE: Final = 8
ROUNDS: Final = 5
REQUESTS: Final = 160
"""Of each kind, in a round."""
TURN: Final = {"transcript": 4, "chat": 1, "speech": 2}
"""Requests of a turn of about six seconds: three partial transcripts and the final one, one answer, two phrases."""
LATENCIES: Final = Latencies(NONE, NONE, 4.0, NONE, 25.0)
"""Far enough apart that every token and piece is read by itself."""

Post = Callable[[str, bytes, str], Awaitable[int]]
"""url, body, content type -> bytes of the answer."""


def main() -> None:
    out = parse().out
    parent, child = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(child,), daemon=True)
    server.start()
    urls: Urls = parent.recv()
    clients = {name: uvloop.run(measure(opened, urls)) for name, opened in CLIENTS.items()}
    server.terminate()
    result = {
        "command": "python -m benchmarks.http_clients" + "".join(f" {word}" for word in sys.argv[1:]),
        "commit": commit(),
        "machine": machine(),
        "versions": {"httpx": httpx.__version__, "aiohttp": aiohttp.__version__, "httptools": httptools.__version__},
        "requests_of_a_turn": TURN,
        "cpu_us_per_request": clients,
        "cpu_ms_per_turn": {name: per_turn_ms(costs) for name, costs in clients.items()},
    }
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "http_clients.json")
    return parser.parse_args()


def per_turn_ms(costs: dict[str, int]) -> float:
    return round(sum(costs[kind] * count for kind, count in TURN.items()) / 1000, 1)


def serve(pipe: Connection) -> None:
    async def run() -> None:
        async with serving(stub_engines(StubPlan([], latencies=LATENCIES))) as urls:
            pipe.send(urls)
            await asyncio.Event().wait()

    uvloop.run(run())


async def measure(opened: Callable[[AsyncExitStack], Awaitable[Post]], urls: Urls) -> dict[str, int]:
    """CPU microseconds of one request, by kind."""
    async with AsyncExitStack() as stack:
        post = await opened(stack)
        return {kind: await cost_us(post, *request) for kind, request in requests(urls).items()}


def requests(urls: Urls) -> dict[str, tuple[str, bytes, str]]:
    body, kind = form([("model", "m"), ("response_format", "json")], wav(np.zeros(48_000, np.float32)))
    said = [{"role": "user", "content": "What is the capital of France?"}]
    chat = {"model": "m", "stream": True, "messages": said}
    speech = {"model": "m", "voice": "alloy", "input": "The quiet harbour waits again.", "response_format": "pcm"}
    return {
        "transcript": (f"{urls.transcription}/audio/transcriptions", body, kind),
        "chat": (f"{urls.chat}/chat/completions", orjson.dumps(chat), "application/json"),
        "speech": (f"{urls.speech}/audio/speech", orjson.dumps(speech), "application/json"),
    }


async def cost_us(post: Post, url: str, body: bytes, kind: str) -> int:
    async def ask(count: int) -> None:
        for _ in range(count):
            assert await post(url, body, kind) > 0

    costs = []
    for _ in range(ROUNDS + 1):  # the first warms up
        before = time.process_time()
        await asyncio.gather(*(ask(REQUESTS // AT_ONCE) for _ in range(AT_ONCE)))
        costs.append(time.process_time() - before)
    return round(min(costs[1:]) / REQUESTS * 1e6)


# --- the clients --------------------------------------------------------------------------------------------------


async def open_httpx(stack: AsyncExitStack) -> Post:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=60)
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, limits=limits, timeout=30))

    async def post(url: str, body: bytes, kind: str) -> int:
        async with client.stream("POST", url, content=body, headers={"content-type": kind}) as answer:
            return sum([len(piece) async for piece in answer.aiter_raw()])

    return post


async def open_aiohttp(stack: AsyncExitStack) -> Post:
    connector = aiohttp.TCPConnector(limit=100, keepalive_timeout=60)
    client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def post(url: str, body: bytes, kind: str) -> int:
        async with client.post(url, data=body, headers={"content-type": kind}) as answer:
            return sum([len(piece) async for piece in answer.content.iter_any()])

    return post


async def open_minimal(stack: AsyncExitStack) -> Post:
    idle: dict[str, list[Minimal]] = {}

    def close() -> None:
        for connection in (connection for pool in idle.values() for connection in pool):
            connection.close()

    stack.callback(close)

    async def post(url: str, body: bytes, kind: str) -> int:
        parts = urlsplit(url)
        pool = idle.setdefault(parts.netloc, [])
        loop = asyncio.get_running_loop()
        host, port = str(parts.hostname), int(parts.port or 80)
        connection = pool.pop() if pool else (await loop.create_connection(Minimal, host, port))[1]
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {kind}\r\n"
        size = await connection.ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        pool.append(connection)
        return size

    return post


class Minimal(asyncio.Protocol):
    """One connection, one request at a time."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()  # bounded by the answer: this is a benchmark
        self._transport.write(request)
        size = 0
        while (piece := await self._pieces.get()) is not None:
            size += len(piece)
        return size

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._pieces.put_nowait(body)

    def on_message_complete(self) -> None:
        self._pieces.put_nowait(None)


CLIENTS: Final = {"httpx": open_httpx, "aiohttp": open_aiohttp, "minimal": open_minimal}


if __name__ == "__main__":
    main()
