from __future__ import annotations

import asyncio

from voxtral_voice.server.tick import Tick


async def test_one_alone_does_not_wait() -> None:
    done = asyncio.Event()
    Tick(every_s=60).call(done.set)
    async with asyncio.timeout(10):
        await done.wait()


async def test_what_comes_at_the_same_moment_is_done_together() -> None:
    tick, order, done = Tick(every_s=60), [], asyncio.Event()
    for name in "abc":
        tick.call(lambda name=name: order.append(name))  # type: ignore[misc]
    tick.call(done.set)
    assert order == []
    async with asyncio.timeout(10):
        await done.wait()
    assert order == ["a", "b", "c"]


async def test_what_comes_soon_after_waits_for_the_next() -> None:
    loop, tick, times = asyncio.get_running_loop(), Tick(every_s=0.05), []
    done = asyncio.Event()
    tick.call(lambda: times.append(loop.time()))
    await asyncio.sleep(0.01)
    tick.call(lambda: times.append(loop.time()))
    tick.call(done.set)
    async with asyncio.timeout(10):
        await done.wait()
    assert times[1] - times[0] >= 0.049
