"""A whole server inside the test's loop, with engines that take no time, in a loop that nothing may block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from blockbuster import BlockBuster, blockbuster_ctx
from prometheus_client.parser import text_string_to_metric_families

from tests.server.caller import PATIENCE_S
from voxtral_voice.config import Config, PlayoutConfig, ServerConfig, TurnsConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.fakes import FakeResponder, FakeSpeaker, FakeTranscriber, FakeTurnJudge
from voxtral_voice.engines.registry import Engines
from voxtral_voice.server import recovery, run, synthetic
from voxtral_voice.server.runtime import Runtime


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[BlockBuster]:
    """A blocking call in the event loop raises where it stands."""
    with blockbuster_ctx() as detector:
        for function in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            detector.functions[function].can_block_in("server/app.py", "build_app")  # before anybody is served
        yield detector


@dataclass(frozen=True)
class Server:
    url: str
    runtime: Runtime
    _uvicorn: uvicorn.Server
    _tasks: set[asyncio.Task[Any]]

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, trust_env=False) as client:
            return await client.get(path)

    async def metric(self, name: str, **labels: str) -> float:
        """As an operator reads it. 0 for what was never counted."""
        text = (await self.get("/metrics")).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return sum(s.value for s in samples if s.name == f"voxtral_voice_{name}" and s.labels == labels)

    async def all_ended(self) -> None:
        """Wait until all connections are done."""
        if tasks := list(self._uvicorn.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=PATIENCE_S)
            assert not late, "a connection does not end"

    async def is_quiet(self) -> None:
        """All connections end, and nothing of them is left; nor of the test's own."""
        await self.all_ended()
        await self.runtime.keeping.write()
        left = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
        assert not left, f"tasks that nobody ended: {left}"
        assert await self.metric("sessions") == 0


Serving = Callable[..., AbstractAsyncContextManager[Server]]


def quick(**engines: Any) -> Engines:
    """Fakes without latencies; any of them may be given."""
    instant = {
        "turn_judge": FakeTurnJudge(latency_ms=0),
        "transcriber": FakeTranscriber(latency_ms=0),
        "responder": FakeResponder(first_token_ms=0, token_ms=0),
        "speaker": FakeSpeaker(first_audio_ms=0, realtime_factor=0),
    }
    return registry.fake(**{**instant, **engines})


def quick_config(*, minutes: float = 60, lead_ms: int = 10_000) -> Config:
    """Turns end at once, and a reply is sent as fast as it is made unless `lead_ms` is less."""
    return Config(
        profile="fake",
        server=ServerConfig(port=0, max_session_minutes=minutes),
        turns=TurnsConfig(patience=0),
        playout=PlayoutConfig(lead_ms=lead_ms),
    )


async def _goes_well(_: Runtime) -> None:
    """A turn that costs nothing."""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    """serving(engines, config): a server in this loop. Left in peace, it leaves nothing behind. tried: it is ready only
    when a synthetic turn has gone well; else at once, so that scripts of engines begin with the test's own turn.

    Engines that fail are tried in the background where the test says how often (`recovery.EVERY_S`): a try that is
    under way would be left."""
    monkeypatch.setattr(recovery, "EVERY_S", 600.0)

    @asynccontextmanager
    async def serve(
        engines: Engines | None = None, config: Config | None = None, *, tried: bool = False
    ) -> AsyncIterator[Server]:
        monkeypatch.setattr(run, "build_engines", lambda *_: engines or quick())
        if not tried:
            monkeypatch.setattr(synthetic, "synthetic_turn", _goes_well)
        before = asyncio.all_tasks()
        async with run.started(config or quick_config()) as its:
            for _ in range(3):  # until what watches over the engines has begun
                await asyncio.sleep(0)
            server = Server(its.url, its.runtime, its.uvicorn, asyncio.all_tasks())
            yield server
            await server.is_quiet()
        assert asyncio.all_tasks() == before

    return serve
