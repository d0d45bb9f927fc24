"""Limits, and the second try. What sessions make of it is in `test_runner`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from tests.server.conftest import quick, quick_config
from voxtral_voice.engines.breaker import OPENS_AT
from voxtral_voice.errors import BusyError, DownError, EngineError, RequestError
from voxtral_voice.server import asking
from voxtral_voice.server.patience import Waits
from voxtral_voice.server.runtime import Runtime
from voxtral_voice.server.work import Account

GONE = EngineError("speaker", "it is gone")
NEVER_S = 60.0


def runtime(first_s: float = NEVER_S, next_s: float = NEVER_S) -> Runtime:
    made = Runtime(quick_config(), quick())
    made.waits = {**made.waits, "speaker": Waits(first_s, next_s)}
    return made


class Stream:
    """Each try: what it gives, then how it ends; None: it hangs."""

    def __init__(self, *tries: tuple[list[int], Exception | str | None]) -> None:
        self.tries = [*tries]
        self.asked = self.open = 0

    async def __call__(self) -> AsyncGenerator[int, None]:
        gives, end = self.tries[min(self.asked, len(self.tries) - 1)]
        self.asked += 1
        self.open += 1
        try:
            for number in gives:
                yield number
            if isinstance(end, Exception):
                raise end
            if end is None:
                await asyncio.Event().wait()
        finally:
            self.open -= 1

    async def read(self, at: Runtime) -> list[int]:
        given: list[int] = []
        outputs = asking.outputs(at, "speaker", self, Account(at.metrics))
        try:
            async with aclosing(outputs):
                async for number in outputs:
                    given.append(number)  # noqa: PERF401 - what was given before it failed is looked at
        except (EngineError, TimeoutError) as error:
            self.error: Exception | None = error
        else:
            self.error = None
        assert self.open == 0
        return given


async def test_it_is_asked_once_when_it_works() -> None:
    stream = Stream(([1, 2, 3], "ends"))
    assert await stream.read(runtime()) == [1, 2, 3]
    assert (stream.asked, stream.error) == (1, None)


async def test_one_that_fails_at_once_is_asked_again_and_nothing_is_given_twice() -> None:
    stream, at = Stream(([], GONE), ([1, 2], "ends")), runtime()
    assert await stream.read(at) == [1, 2]
    assert (stream.asked, stream.error) == (2, None)
    assert at.metrics.retries.labels("speaker")._value.get() == 1
    assert at.failing == {}


async def test_there_is_no_third_try() -> None:
    stream = Stream(([], GONE))
    assert await stream.read(runtime()) == []
    assert (stream.asked, stream.error) == (2, GONE)


async def test_after_something_was_given_there_is_no_second_try() -> None:
    stream = Stream(([1], GONE), ([1, 2], "ends"))
    assert await stream.read(runtime()) == [1]
    assert (stream.asked, stream.error) == (1, GONE)


async def test_nothing_is_a_good_answer() -> None:
    stream = Stream(([], "ends"))
    assert await stream.read(runtime()) == []
    assert (stream.asked, stream.error) == (1, None)


async def test_one_that_hangs_is_asked_once() -> None:
    stream = Stream(([], None))
    assert await stream.read(runtime(first_s=0.01)) == []
    assert stream.asked == 1
    assert isinstance(stream.error, TimeoutError)


async def test_one_that_hangs_in_the_middle_is_given_up() -> None:
    stream = Stream(([1], None))
    assert await stream.read(runtime(next_s=0.01)) == [1]
    assert isinstance(stream.error, TimeoutError)


async def test_a_second_try_is_part_of_the_time_for_the_first_output() -> None:
    stream = Stream(([], GONE), ([], None))
    assert await stream.read(runtime(first_s=0.2)) == []
    assert stream.asked == 2
    assert isinstance(stream.error, TimeoutError)


async def test_one_that_is_not_asked_is_not_asked() -> None:
    stream, at = Stream(([1], "ends")), runtime()
    for _ in range(OPENS_AT):
        at.failed("speaker", GONE)
    assert await stream.read(at) == []
    assert stream.asked == 0
    assert isinstance(stream.error, DownError)


async def test_who_stops_reading_closes_it() -> None:
    stream, at = Stream(([1, 2], None)), runtime()
    outputs = asking.outputs(at, "speaker", stream, Account(at.metrics))
    assert await anext(outputs) == 1
    await outputs.aclose()
    assert stream.open == 0


@pytest.mark.parametrize("when", ["first", "second"])
async def test_who_is_stopped_while_it_waits_closes_it_and_asks_no_more(when: str) -> None:
    stream, at = Stream(([], None) if when == "first" else ([], GONE), ([], None)), runtime()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stream.read(at))
        while not stream.open or stream.asked < (1 if when == "first" else 2):  # noqa: ASYNC110 - it hangs from then on
            await asyncio.sleep(0)
        task.cancel()
    assert stream.open == 0
    assert stream.asked == (1 if when == "first" else 2)


@pytest.mark.parametrize(
    ("error", "after_s", "wait_s"),
    [
        (GONE, 0.0, asking.AGAIN_S),
        (OSError("reset"), asking.SOON_S, asking.AGAIN_S),
        (GONE, asking.SOON_S + 0.1, None),
        (BusyError("speaker", "no room"), 0.0, asking.BUSY_AGAIN_S),
        (RequestError("speaker", "too long"), 0.0, None),
        (DownError("speaker", "gone"), 0.0, None),
        (TimeoutError(), 0.0, None),
    ],
    ids=str,
)
def test_what_is_tried_again(error: Exception, after_s: float, wait_s: float | None) -> None:
    assert asking.again_s(error, after_s) == wait_s


async def test_an_answer_has_a_limit_and_a_second_try_too() -> None:
    at, asked = runtime(), 0

    async def job() -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise GONE
        return asked

    assert await asking.answer(at, "speaker", job, NEVER_S, Account(at.metrics)) == 2
    with pytest.raises(TimeoutError):
        await asking.answer(at, "speaker", asyncio.Event().wait, 0.01, Account(at.metrics))


async def test_a_chain_is_asked_once() -> None:
    """It has tried the next already."""
    stream, at = Stream(([], EngineError("responder", "all are gone"))), runtime()
    at.circuits.chained = True
    with pytest.raises(EngineError):
        async for _ in asking.outputs(at, "responder", stream, Account(at.metrics)):
            pass
    assert stream.asked == 1
