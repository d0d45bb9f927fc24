"""Engines behind URLs that fail under a whole server: what a caller hears, and when they are used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest

from tests.engines.odd_server import OddServer, Request, Respond, never, odd_server, stream
from tests.server.caller import PATIENCE_S, Caller, calling
from tests.server.conftest import Server, Serving, quick, quick_config
from voxtral_voice.config import Config, ResponderConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.breaker import OPENS_AT
from voxtral_voice.engines.registry import Engines
from voxtral_voice.engines.remote import Remote, RemoteParts
from voxtral_voice.server import apology, recovery

SOON_S = 0.2
"""In these tests: until the first output of a responder."""


def says(text: str) -> Respond:
    chunk = orjson.dumps({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]})
    return stream(b"data: " + chunk + b"\n\n", b"data: [DONE]\n\n")


class Switch:
    """A server that can be told to answer otherwise."""

    def __init__(self, now: Respond) -> None:
        self.now = now

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.now(request, writer)


def engines(url: str, fallback: str = "") -> Engines:
    brain = registry.fake_with(RemoteParts(responder=Remote(url))).responder
    made = quick(responder=brain)
    return registry.with_fallback(made, Remote(fallback), (SOON_S, SOON_S), (SOON_S, SOON_S)) if fallback else made


def config(fallback: str = "") -> Config:
    responder = ResponderConfig(timeout_s=SOON_S, fallback_url=fallback)
    return quick_config().model_copy(update={"responder": responder})


@asynccontextmanager
async def served(
    serving: Serving, first: Respond, second: Respond | None = None
) -> AsyncIterator[tuple[Server, Caller, OddServer]]:
    async with odd_server(first) as a, odd_server(second or never) as b:
        fallback = b.url if second is not None else ""
        async with serving(engines(a.url, fallback), config(fallback)) as server:
            async with calling(server.url) as caller:
                yield server, caller, a
            await let_go(server)


async def let_go(server: Server) -> None:
    """Of the servers of the engines, which are in this loop too."""
    await server.runtime.engines.aclose()
    async with asyncio.timeout(PATIENCE_S):
        while asyncio.all_tasks() - server._tasks - {asyncio.current_task()}:  # noqa: ASYNC110 - theirs have no event
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    status: str
    said: str
    error: str | None


async def turn(caller: Caller, text: str = "What is the capital of France?") -> Reply:
    """Written by the caller, and answered aloud."""
    count = caller.count("response.done") + 1
    content = [{"type": "input_text", "text": text}]
    await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await caller.send("response.create")
    response = (await caller.until("response.done", count))["response"]
    said = [part["transcript"] for item in response["output"] for part in item["content"]]
    details = response["status_details"] or {}
    return Reply(response["status"], "".join(said), (details.get("error") or {}).get("message"))


SORRY = Reply("failed", apology.text("responder", "en-US"), "responder: it took too long")


async def test_one_that_takes_the_request_and_says_nothing(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two callers have waited for it; the next one is told at once."""
    monkeypatch.setattr(recovery, "EVERY_S", 600.0)
    async with served(serving, never) as (server, caller, brain):
        for _ in range(2):
            assert await turn(caller) == SORRY
        asked = len(brain.requests)
        assert await turn(caller) == SORRY
        assert len(brain.requests) == asked == 2
        assert await server.metric("circuit_state", engine="responder") == 2
        assert (await server.get("/readyz")).status_code == 503


async def test_one_that_breaks_off_at_once_is_asked_again(serving: Serving) -> None:
    broken = 0

    async def reset_twice(request: Request, writer: asyncio.StreamWriter) -> None:
        """The first is over the connection of the start, which any server may close at any time: that counts for
        nothing."""
        nonlocal broken
        broken += 1
        if broken <= 2:
            writer.close()
        else:
            await says("Here I am.")(request, writer)

    async with served(serving, reset_twice) as (server, caller, brain):
        assert await turn(caller) == Reply("completed", "Here I am.", None)
        assert len(brain.requests) == 3
        assert await server.metric("retries_total", engine="responder") == 1
        assert await server.metric("engine_failures_total", engine="responder") == 0


async def test_one_that_breaks_off_each_time_is_asked_twice(serving: Serving) -> None:
    async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with served(serving, reset) as (server, caller, brain):
        assert (await turn(caller)).status == "failed"
        assert len(brain.requests) == 3  # the first over the connection of the start
        assert await server.metric("retries_total", engine="responder") == 1


async def test_an_engine_that_is_back_is_used_again(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "EVERY_S", 0.01)
    monkeypatch.setattr(recovery, "QUICK_S", 0.05)
    switch = Switch(never)
    async with served(serving, switch) as (server, caller, _):
        for _ in range(OPENS_AT):
            assert (await turn(caller)).status == "failed"
        switch.now = says("I am back.")
        async with asyncio.timeout(PATIENCE_S):
            while not server.runtime.circuits.closed("responder"):  # noqa: ASYNC110 - as one who looks at /metrics
                await asyncio.sleep(0.01)
        assert await turn(caller) == Reply("completed", "I am back.", None)


@pytest.mark.parametrize("fault", [never, stream(b"garbage\n\n", ends=False)], ids=["silent", "garbage"])
async def test_while_one_fails_the_other_answers(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, fault: Respond
) -> None:
    """Nobody waits for the first after a while, and it is used again when it is back."""
    monkeypatch.setattr(recovery, "EVERY_S", 0.05)
    monkeypatch.setattr(recovery, "QUICK_S", 0.05)
    switch = Switch(fault)
    async with served(serving, switch, says("This is B.")) as (server, caller, brain):
        for _ in range(OPENS_AT):
            assert await turn(caller) == Reply("completed", "This is B.", None)
        assert not server.runtime.chain.links[0].asked  # type: ignore[union-attr]
        assert list(server.runtime.degraded) == ["responder"]
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (200, {})
        assert list(ready.json()["degraded"]) == ["responder"]
        assert await server.metric("fallbacks_total", to="responder.fallback") == OPENS_AT
        switch.now = says("This is A.")
        async with asyncio.timeout(PATIENCE_S):
            while server.runtime.degraded:  # noqa: ASYNC110 - as one who looks at /readyz
                await asyncio.sleep(0.01)
        assert await turn(caller) == Reply("completed", "This is A.", None)
        assert brain.requests


async def test_when_both_fail_greetings_are_still_answered(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "EVERY_S", 600.0)
    async with served(serving, never, never) as (server, caller, _):
        assert await turn(caller, "Hello!") == Reply("completed", "Hello! How can I help you?", None)
        assert await turn(caller) == SORRY
        assert await server.metric("fallbacks_total", to="intents") == 1
        assert set(server.runtime.degraded) == {"responder", "responder.fallback"}


async def test_a_responder_that_is_not_there_at_the_start(serving: Serving) -> None:
    async with odd_server(says("This is B.")) as b:
        made = engines("http://127.0.0.1:9/v1", b.url)
        async with serving(made, config(b.url)) as server:
            async with calling(server.url) as caller:
                assert await turn(caller) == Reply("completed", "This is B.", None)
            assert "responder" in server.runtime.degraded
            await let_go(server)
