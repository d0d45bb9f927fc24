from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from voxtral_voice.realtime.resume import Asked
from voxtral_voice.server import sessions
from voxtral_voice.server.live import LiveSession
from voxtral_voice.server.sessions import Sessions


class Stub:
    """A session that ends when it is told to."""

    def __init__(self, name: str = "sess_1") -> None:
        self.id = name
        self.over = asyncio.Event()
        self.end = asyncio.Event()
        self.given_up = False

    async def run(self) -> None:
        try:
            await self.end.wait()
        finally:
            self.over.set()

    def may_resume(self, asked: Asked) -> bool:
        return asked.after == "event_1"

    def give_up(self) -> None:
        self.given_up = True
        self.end.set()

    def queues(self) -> dict[str, int]:
        return {"frames": len(self.id), "events": 0, "audio": 1}


def begun(running: Sessions, *stubs: Stub) -> None:
    for stub in stubs:
        running.begin(live(stub))


def live(stub: Any) -> LiveSession:
    return cast(LiveSession, stub)


async def test_those_that_are_there() -> None:
    running, one, other = Sessions(), Stub(), Stub("sess_22")
    async with running.open():
        begun(running, one, other)
        assert [*running] == [one, other]
        assert running.deepest_queues() == {"frames": 7, "events": 0, "audio": 1}
        one.end.set()
        await one.over.wait()
        assert [*running] == [other]
        await asyncio.sleep(0)
        assert len(running) == 1


async def test_none_outlives_the_server() -> None:
    running, stub = Sessions(), Stub()
    async with running.open():
        begun(running, stub)
        await asyncio.sleep(0)
    assert stub.over.is_set()
    assert len(running) == 0


async def test_an_error_of_the_server_is_its_own() -> None:
    with pytest.raises(LookupError):
        async with Sessions().open():
            raise LookupError


async def test_a_session_is_found_by_its_token() -> None:
    running, stub = Sessions(), Stub()
    async with running.open():
        begun(running, Stub("sess_0"), stub)
        assert running.find(Asked("sess_1.secret", "event_1")) is live(stub)
        assert running.find(Asked("sess_1.secret", "event_2")) is None
        assert running.find(Asked("sess_2.secret", "event_1")) is None


async def test_of_too_many_that_wait_the_first_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_HELD", 2)
    running, stubs = Sessions(), [Stub(f"sess_{number}") for number in range(4)]
    async with running.open():
        begun(running, *stubs)
        for stub in stubs[:3]:
            running.held(live(stub))
        assert [stub.given_up for stub in stubs] == [True, False, False, False]
        await stubs[0].over.wait()
        await asyncio.sleep(0)
        running.goes_on(live(stubs[1]))
        running.goes_on(live(stubs[1]))
        running.held(live(stubs[3]))
        assert [stub.given_up for stub in stubs] == [True, False, False, False]


async def test_when_all_break_at_once_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_HELD", 2)
    running, stubs = Sessions(), [Stub(f"sess_{number}") for number in range(6)]
    async with running.open():
        begun(running, *stubs)
        for stub in stubs:
            running.held(live(stub))
        assert [stub.given_up for stub in stubs] == [True] * 4 + [False] * 2
