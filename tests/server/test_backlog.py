from __future__ import annotations

import asyncio

from voxtral_voice.server.backlog import Backlog


def has_room(backlog: Backlog) -> bool:
    waiting = backlog.room()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


async def test_there_is_room_up_to_the_limit() -> None:
    backlog = Backlog(10)
    assert has_room(backlog)
    backlog.add(10)
    assert has_room(backlog)
    backlog.add(1)
    assert not has_room(backlog)
    backlog.done(1)
    assert has_room(backlog)


async def test_who_waits_goes_on_when_enough_is_done() -> None:
    backlog = Backlog(10)
    backlog.add(100)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(backlog.room())
        for _ in range(9):
            backlog.done(9)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        backlog.done(9)
