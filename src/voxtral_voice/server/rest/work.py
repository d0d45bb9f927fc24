"""Engines' work for a request: their failures become errors of the API, and are kept in mind by the runtime.

Knows: seams, timeouts, accounts. Does not know: what is asked of an engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TypeVar

from voxtral_voice.server import asking
from voxtral_voice.server.rest import errors
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime
from voxtral_voice.server.work import Account

T = TypeVar("T")


@asynccontextmanager
async def working(runtime: Runtime, seam: str, most_s: float) -> AsyncIterator[None]:
    """An engine is asked once, and answers within this time. Raises ApiError. All of it counts as used."""
    with _failures(runtime, seam):
        runtime.circuits.require(seam)
        async with asyncio.timeout(most_s):
            with _used(runtime).working(seam):
                yield


async def answer(runtime: Runtime, seam: str, job: asking.Job[T], most_s: float) -> T:
    """As `asking.answer`. Raises ApiError."""
    with _failures(runtime, seam):
        return await asking.answer(runtime, seam, job, most_s, _used(runtime))


async def steps(runtime: Runtime, seam: str, stream: asking.Stream[T]) -> AsyncGenerator[T, None]:
    """As `asking.outputs`. Raises ApiError."""
    outputs = asking.outputs(runtime, seam, stream, _used(runtime))
    async with aclosing(outputs):
        with _failures(runtime, seam):
            async for item in outputs:
                yield item
    runtime.worked(seam)


def _used(runtime: Runtime) -> Account:
    account = Account(runtime.metrics)
    account.settle("used")
    return account


@contextmanager
def _failures(runtime: Runtime, seam: str) -> Iterator[None]:
    try:
        yield
    except ENGINE_FAULTS as error:
        raise errors.of_engine(seam, error, runtime.failed(seam, error)) from error
