"""Engines' work for a request: their failures become errors of the API, and are kept in mind by the runtime.

Knows: seams, timeouts, accounts. Does not know: what is asked of an engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from voxtral_voice.server.rest import errors
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime
from voxtral_voice.server.work import Account

T = TypeVar("T")


@asynccontextmanager
async def working(runtime: Runtime, seam: str, most_s: float) -> AsyncIterator[None]:
    """An engine is asked, and answers within this time. Raises ApiError. All of it counts as used."""
    account = Account(runtime.metrics)
    account.settle("used")
    try:
        async with asyncio.timeout(most_s):
            with account.working(seam):
                yield
    except ENGINE_FAULTS as error:
        raise errors.of_engine(seam, error, runtime.failed(seam, error)) from error


async def steps(runtime: Runtime, seam: str, items: AsyncGenerator[T, None], most_s: float) -> AsyncGenerator[T, None]:
    """Each item within this time. The caller closes `items`. Raises ApiError."""
    while True:
        async with working(runtime, seam, most_s):
            item = await anext(items, None)
        if item is None:
            break
        yield item
    runtime.worked(seam)
