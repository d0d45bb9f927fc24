"""A server whose engines are processes, in this event loop, and what can be asked of it from outside.

Knows: settings, addresses, the operator's pages. Does not know: faults, what is promised.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from unittest import mock

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.engine import Part
from tests.faults.processes import PATIENCE_S, EngineProcess
from tests.faults.proxy import Proxy, proxy_to
from voxtral_voice.config import (
    Config,
    RecordConfig,
    ResponderConfig,
    ServerConfig,
    SpeakerConfig,
    TranscriberConfig,
    TurnsConfig,
)
from voxtral_voice.engines.fakes import FakeTurnJudge, FakeVoiceActivity
from voxtral_voice.server import ear, link, patience, recovery, run, synthetic
from voxtral_voice.server.runtime import build_engines

LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the server is. None: as it is delivered."""

    engine_s: float | None = None
    """Until an engine's first output, and between two."""
    probe_s: float | None = None
    """Between two tries of one that failed."""
    send_s: float | None = None
    """Until who reads nothing is cut off."""
    hear_s: float | None = None
    """Until voice activity, or the turn judge, has judged."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """To all servers that run inside."""
        with ExitStack() as stack:
            for module, name, seconds in (
                (patience, "NEXT_THERE_S", self.engine_s),
                (recovery, "EVERY_S", self.probe_s),
                (synthetic, "AGAIN_S", self.probe_s),
                (link, "SEND_S", self.send_s),
                (ear, "HEAR_S", self.hear_s),
                (patience, "JUDGE_S", self.hear_s),
            ):
                if seconds is not None:
                    stack.enter_context(mock.patch.object(module, name, seconds))
            yield


DELIVERED: Final = Limits()
PATIENT: Final = Limits(engine_s=10.0, probe_s=0.1)
HASTY: Final = Limits(engine_s=0.8, probe_s=0.1, send_s=0.3, hear_s=0.2)
"""For who hangs: waiting is no part of what is tested."""


@dataclass(slots=True)
class World:
    url: str
    engines: Mapping[Part, EngineProcess]
    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    """By the engine they stand before; "client": before the server."""
    voice_activity: FakeVoiceActivity = field(default_factory=FakeVoiceActivity)
    turn_judge: FakeTurnJudge = field(default_factory=lambda: FakeTurnJudge(latency_ms=0))

    @property
    def client_url(self) -> str:
        """Through the proxy, if there is one."""
        proxy = self.proxies.get("client")
        return self.url if proxy is None else f"http://127.0.0.1:{proxy.port}"

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, verify=False) as client:
            return await client.get(path)

    async def failing(self) -> dict[str, str]:
        ready = await self.get("/readyz")
        named: dict[str, str] = ready.json()["failing"]
        assert (ready.status_code == 200) <= (not named), "it says that it is ready, and that an engine fails"
        return named

    async def metric(self, name: str, **labels: str) -> float:
        """0 for what was never counted."""
        text = (await self.get("/metrics")).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return sum(s.value for s in samples if s.name == f"voxtral_voice_{name}" and s.labels == labels)

    async def is_ready(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(LOOK_S)

    async def sessions_are(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric("sessions") != count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def world(
    engines: Mapping[Part, EngineProcess], limits: Limits, *, proxied: str | None = None, record: str = ""
) -> AsyncIterator[World]:
    """proxied: the engine, or "client", that a proxy stands before."""
    async with AsyncExitStack() as stack:
        for process in engines.values():
            await process.attach()
            await process.mend()
            stack.callback(process.detach)
        ports = {part: process.port for part, process in engines.items()}
        proxies: dict[str, Proxy] = {}
        if proxied in ports:
            proxies[proxied] = await stack.enter_async_context(proxy_to(ports[proxied]))
            ports[proxied] = proxies[proxied].port
        made = World("", engines, proxies)
        config = _config(ports, limits, record)
        _EARS[config.transcriber.url] = made
        stack.callback(_EARS.pop, config.transcriber.url)
        made.url = await stack.enter_async_context(run.running(config))
        if proxied == "client":
            proxies["client"] = await stack.enter_async_context(proxy_to(int(made.url.rpartition(":")[2])))
        await made.is_ready()
        yield made
        await made.sessions_are(0)


_EARS: Final[dict[str, World]] = {}
"""Worlds by the address of their transcriber."""


@contextmanager
def with_our_ears() -> Iterator[None]:
    """Servers that start inside hear with what their world has; and nobody there has a loudspeaker: what is said at
    once, right behind an answer, is no echo of it."""

    def built(config: Config, *options: Any) -> Any:
        made = _EARS[config.transcriber.url]
        return replace(build_engines(config, *options), voice_activity=made.voice_activity, turn_judge=made.turn_judge)

    with mock.patch.object(run, "build_engines", built), mock.patch.object(ear, "ECHO_S", -math.inf):
        yield


def _config(ports: Mapping[Part, int], limits: Limits, record: str) -> Config:
    def part(name: Part) -> dict[str, Any]:
        patience = {} if limits.engine_s is None else {"timeout_s": limits.engine_s}
        return {"url": f"http://127.0.0.1:{ports[name]}/v1", **patience}

    return Config(
        profile="fake",
        server=ServerConfig(port=0),
        turns=TurnsConfig(patience=0, partial_every_ms=0),
        transcriber=TranscriberConfig(**part("transcriber")),
        responder=ResponderConfig(**part("responder")),
        speaker=SpeakerConfig(**part("speaker")),
        record=RecordConfig(dir=record),
    )
