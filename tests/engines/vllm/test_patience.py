"""Nobody waits for ever, and what is waited for is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import patience
from voxtral_voice.engines.vllm.patience import patient
from voxtral_voice.errors import EngineError

SERVER = OpenAIServer("responder", Remote("http://127.0.0.1:1/v1", "m"))


class Pieces:
    """So many at once, then one that never comes."""

    def __init__(self, count: int, *, ends: bool) -> None:
        self.count = count
        self.ends = ends
        self.closed = False

    async def made(self) -> AsyncGenerator[int, None]:
        try:
            for n in range(self.count):
                yield n
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_what_comes_in_time_goes_through() -> None:
    pieces = Pieces(3, ends=True)
    assert [n async for n in patient(pieces.made(), SERVER)] == [0, 1, 2]
    assert pieces.closed


@pytest.mark.parametrize(("count", "limit"), [(0, "FIRST_S"), (2, "STEP_S")])
async def test_what_is_late_is_an_error(monkeypatch: pytest.MonkeyPatch, count: int, limit: str) -> None:
    monkeypatch.setattr(patience, limit, 0.01)
    pieces, suspected = Pieces(count, ends=False), asyncio.Event()
    with pytest.raises(EngineError) as caught:
        async for _ in patient(pieces.made(), SERVER, suspected.set):
            pass
    assert str(caught.value) == "http://127.0.0.1:1/v1 was silent for 0.01 s: it hangs, or has too much to do."
    assert caught.value.told == "The responder's server was silent for 0.01 s."
    assert pieces.closed
    assert suspected.is_set()


async def test_a_slow_listener_is_not_the_servers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_S", 0.05)
    monkeypatch.setattr(patience, "STEP_S", 0.05)
    async for _ in patient(Pieces(2, ends=True).made(), SERVER):
        await asyncio.sleep(0.1)


async def test_a_listener_that_leaves() -> None:
    pieces = Pieces(2, ends=False)
    async with aclosing(patient(pieces.made(), SERVER)) as listened:
        assert await anext(listened) == 0
    assert pieces.closed
