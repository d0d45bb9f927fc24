from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from voxtral_voice.server.alarm import Alarm

Test = Callable[[], Coroutine[None, None, None]]


def on_both_loops(test: Test) -> Callable[[str], None]:
    """uvloop's clock and timers are not asyncio's."""

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
            runner.run(test())

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


async def rings(alarm: Alarm) -> float:
    """When it rang."""
    async with asyncio.timeout(10):
        await alarm.rings()
    return now()


@on_both_loops
async def test_it_rings_when_it_is_time_and_not_before() -> None:
    alarm = Alarm()
    for wait_s in (-1.0, 0.0, 0.0004, 0.02):
        at = now() + wait_s
        alarm.set(at)
        assert await rings(alarm) >= at


@on_both_loops
async def test_it_rings_once() -> None:
    alarm = Alarm()
    alarm.set(now())
    await rings(alarm)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await alarm.rings()


@on_both_loops
async def test_it_may_be_moved_both_ways() -> None:
    alarm, begin = Alarm(), now()
    alarm.set(begin + 60)
    alarm.set(begin)
    assert await rings(alarm) < begin + 10
    alarm.set(begin + 0.01)
    alarm.set(begin + 0.06)
    assert await rings(alarm) >= begin + 0.06


@on_both_loops
async def test_what_is_set_to_nothing_does_not_ring() -> None:
    alarm = Alarm()
    alarm.set(now() + 0.01)
    alarm.set(None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await alarm.rings()
    alarm.set(now())
    await rings(alarm)


@on_both_loops
async def test_a_stopped_one_does_not_ring() -> None:
    alarm = Alarm()
    alarm.stop()
    alarm.set(now() + 0.01)
    alarm.stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await alarm.rings()
    alarm.set(now())
    await rings(alarm)
