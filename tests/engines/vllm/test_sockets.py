"""Connections: kept, given up, and never waited for without a limit. What goes wrong on one: `test_realtime`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.engines.odd_server import PATIENCE_S
from tests.engines.vllm.recorded import RecordedVllm
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import realtime_wire as wire
from voxtral_voice.engines.vllm import sockets
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.sockets import Socket, Sockets, opened
from voxtral_voice.errors import EngineError


@asynccontextmanager
async def pool(places: int = 4, api_key: str = "") -> AsyncIterator[tuple[RecordedVllm, Sockets]]:
    vllm = RecordedVllm()
    async with vllm.running(), asyncio.timeout(PATIENCE_S):
        found = Sockets(OpenAIServer("transcriber", Remote(vllm.url, "tiny", api_key)), Admission(places))
        try:
            yield vllm, found
        finally:
            await found.aclose()


async def speak(socket: Socket) -> None:
    for frame in (wire.START, wire.append(bytes(32_000)), wire.FINISH):
        await socket.say(frame)


async def test_what_is_given_back_is_taken_again() -> None:
    async with pool() as (vllm, found):
        first = await found.take()
        second = await found.take()
        found.give_back(first)
        assert await found.take() is first
        assert vllm.connections == 2
        for socket in (first, second):
            found.give_back(socket)
    assert not first.open
    assert not second.open


async def test_one_that_the_server_closed_meanwhile_is_not_taken() -> None:
    async with pool() as (vllm, found):
        socket = await found.take()
        found.give_back(socket)
        await vllm.kill()
        await vllm.revive()
        assert await socket_gone(socket)
        assert await found.take() is not socket


async def socket_gone(socket: Socket) -> bool:
    with pytest.raises(EngineError, match="closed the connection"):
        await socket.hear(PATIENCE_S)
    return not socket.open


async def test_one_that_failed_takes_the_idle_ones_with_it() -> None:
    async with pool() as (vllm, found):
        failed, idle = await found.take(), await found.take()
        found.give_back(idle)
        found.fail(failed)
        fresh = await found.take()
        assert fresh not in (failed, idle)
        assert fresh.open
        await vllm.until(lambda: vllm.open_connections == 1)


async def test_one_that_is_dropped_leaves_the_idle_ones_alone() -> None:
    async with pool() as (_, found):
        dropped, idle = await found.take(), await found.take()
        found.give_back(idle)
        found.drop(dropped)
        assert await found.take() is idle


async def test_what_is_there_is_heard_at_once_and_nothing_is_waited_for() -> None:
    async with pool() as (_, found):
        socket = await found.take()
        assert await socket.hear(0.0) is None
        await speak(socket)
        frames = [await socket.hear(PATIENCE_S)]
        while not isinstance(frames[-1], wire.Done):
            frames.append(await socket.hear(PATIENCE_S))
        assert len(frames) > 10
        assert await socket.hear(0.0) is None
        found.give_back(socket)


async def test_a_hearing_that_is_cancelled_loses_nothing() -> None:
    async with pool() as (_, found):
        socket = await found.take()
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(socket.hear(PATIENCE_S))
            await asyncio.sleep(0)
            hearing.cancel()
        await speak(socket)
        assert await socket.hear(PATIENCE_S) == wire.Delta("")
        found.drop(socket)


async def test_a_place_is_free_again_when_no_connection_can_be_had() -> None:
    async with pool(places=1) as (vllm, found):
        vllm.door = "broken"
        for _ in range(3):
            with pytest.raises(EngineError, match="status 500"):
                await found.take()
        vllm.door = "open"
        found.drop(await found.take())


async def test_opening_that_is_cancelled_leaves_nothing() -> None:
    async with pool(places=1) as (vllm, found):
        vllm.door = "mute"
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(found.take())
            await vllm.until(lambda: vllm.busy == 1)
            taking.cancel()
        await vllm.until(lambda: vllm.busy == 0)
        vllm.door = "open"
        found.drop(await found.take())


async def test_a_goodbye_that_nobody_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CLOSE_S", 0.05)
    async with pool() as (vllm, found):
        vllm.deaf = True
        socket = await found.take()
        await socket.close()
        assert not socket.open


async def test_an_address_that_is_none() -> None:
    with pytest.raises(EngineError) as caught:
        await opened(OpenAIServer("transcriber", Remote("http:///v1", "tiny")))
    assert str(caught.value).startswith("ws:///v1/realtime does not answer as a WebSocket")
    assert caught.value.told == "The transcriber's server does not answer as a WebSocket."


async def test_a_key_is_sent() -> None:
    async with pool(api_key="secret") as (vllm, found):
        found.drop(await found.take())
        assert vllm.keys == ["Bearer secret"]
