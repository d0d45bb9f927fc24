from __future__ import annotations

import asyncio

from voxtral_voice.server.ahead import Ahead
from voxtral_voice.server.backlog import Backlog


def has_room(queue: Backlog | Ahead) -> bool:
    waiting = queue.room()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


class Amount:
    waiting = 0

    def __call__(self) -> int:
        return self.waiting


async def test_there_is_room_up_to_the_limit() -> None:
    amount = Amount()
    backlog = Backlog(10, amount)
    assert has_room(backlog)
    amount.waiting = 10
    assert has_room(backlog)
    amount.waiting = 11
    assert not has_room(backlog)
    amount.waiting = 10
    assert has_room(backlog)


async def test_who_waits_goes_on_when_enough_is_done() -> None:
    amount = Amount()
    backlog = Backlog(10, amount)
    amount.waiting = 100
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(backlog.room())
        for _ in range(9):
            amount.waiting -= 9
            backlog.less()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        amount.waiting -= 9
        backlog.less()
