"""Three ports of one event loop, each serving one endpoint's framework-facing URL.

Knows: sockets, uvicorn, the order of start and stop. Does not know: HTTP's content (`app`), plans.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from voxtral_voice.bench.stub.app import StubApp
from voxtral_voice.bench.stub.engines import StubResponder, StubSpeaker, StubTranscriber
from voxtral_voice.bench.stub.plan import StubPlan
from voxtral_voice.engines.base import Responder, Speaker, Transcriber

KEEP_ALIVE_S: Final = 300
"""Longer than any pause of a conversation, so that no client finds its connection just closed."""
STOP_S: Final = 2


@dataclass(frozen=True, slots=True)
class Trio:
    """The engines behind the three ports."""

    transcriber: Transcriber
    responder: Responder
    speaker: Speaker

    @property
    def unknown(self) -> int:
        return self.transcriber.unknown if isinstance(self.transcriber, StubTranscriber) else 0

    async def start(self) -> None:
        for engine in (self.transcriber, self.responder, self.speaker):
            await engine.start()

    async def aclose(self) -> None:
        for engine in (self.transcriber, self.responder, self.speaker):
            await engine.aclose()


@dataclass(frozen=True, slots=True)
class Urls:
    """As OpenAI's clients take their `base_url`: "http://127.0.0.1:PORT/v1"."""

    transcription: str
    chat: str
    speech: str

    @staticmethod
    def stats(url: str) -> str:
        """Where the port of this URL counts what it served."""
        return url.removesuffix("/v1") + "/stats"


def stub_engines(plan: StubPlan) -> Trio:
    return Trio(StubTranscriber(plan), StubResponder(plan), StubSpeaker(plan))


@asynccontextmanager
async def serving(engines: Trio) -> AsyncIterator[Urls]:
    """Engines started, three ports open; all closed afterwards."""
    await engines.start()
    try:
        async with asyncio.TaskGroup() as group:
            ports = [_listener() for _ in range(3)]
            servers = [_Server(_config(StubApp(engines))) for _ in ports]
            tasks = [
                group.create_task(server.serve(sockets=[port])) for server, port in zip(servers, ports, strict=True)
            ]
            try:
                for server in servers:
                    await server.listens.wait()
                yield Urls(*(f"http://127.0.0.1:{port.getsockname()[1]}/v1" for port in ports))
            finally:
                for server in servers:
                    server.should_exit = True
                await asyncio.wait(tasks)
    finally:
        await engines.aclose()


class _Server(uvicorn.Server):
    """Leaves signals to whoever started it, and says when it can be called."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: StubApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener
