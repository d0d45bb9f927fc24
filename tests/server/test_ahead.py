from __future__ import annotations

import asyncio

from tests.server.test_backlog import has_room
from voxtral_voice.server.ahead import Ahead


async def test_there_is_room_below_the_limit() -> None:
    ahead = Ahead(10)
    assert has_room(ahead)
    ahead.more(9)
    assert has_room(ahead)
    ahead.more(1)
    assert not has_room(ahead)
    ahead.less(1)
    assert has_room(ahead)


async def test_who_waits_goes_on_when_enough_was_used() -> None:
    ahead = Ahead(10)
    ahead.more(30)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(ahead.room())
        for _ in range(4):
            ahead.less(5)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        ahead.less(1)
