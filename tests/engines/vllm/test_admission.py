"""Places are few, and waited for in turn."""

from __future__ import annotations

import asyncio

import pytest

from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import admission
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.errors import BusyError

SERVER = OpenAIServer("transcriber", Remote("http://127.0.0.1:1/v1", "m"))


def two_places() -> Admission:
    return Admission(2)


async def test_who_finds_no_place_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "WAIT_S", 0.01)
    places = two_places()
    async with places.place(SERVER), places.place(SERVER):
        assert places.full
        with pytest.raises(BusyError) as caught:
            await places.enter(SERVER)
    assert str(caught.value).startswith("http://127.0.0.1:1/v1 is busy: 2 requests are under way")
    assert caught.value.told == "The transcriber's server is busy."
    assert not places.full


async def test_first_come_first_served() -> None:
    places, served = two_places(), list[int]()

    async def ask(n: int) -> None:
        async with places.place(SERVER):
            served.append(n)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task(ask(n))
    assert served == [0, 1, 2, 3, 4, 5]


async def test_who_stops_waiting_leaves_its_turn_to_the_next() -> None:
    places = two_places()
    await places.enter(SERVER)
    await places.enter(SERVER)
    async with asyncio.TaskGroup() as group:
        gone, next_one = group.create_task(places.enter(SERVER)), group.create_task(places.enter(SERVER))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        places.leave()
    assert gone.cancelled()
    assert next_one.done()
    assert places.full
