"""Asks an engine: not while its circuit is open, once more when it fails before it gave anything, and not for ever.

Knows: tries, limits, accounts. Does not know: what is asked, who is told of a failure.

What is raised is what the engine raised last, or TimeoutError, or DownError for one that was not asked. A second try is
part of the time for the first output, so that it never makes anybody wait longer; it is not made for what the engine
cannot do, for one that hangs, or once something was given: nothing is said or heard twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from voxtral_voice.errors import BusyError, DownError, RequestError
from voxtral_voice.server.runtime import ENGINE_FAULTS, Runtime
from voxtral_voice.server.work import Account

T = TypeVar("T")

AGAIN_S: Final = 0.1
"""Before the second try: what was broken is often a connection, and a new one is there at once."""
BUSY_AGAIN_S: Final = 0.4
"""Before that of an engine without room: about the time of a phrase, after which another session's place is free."""
SOON_S: Final = 1.5
"""What takes longer to fail is no broken connection, and whoever waits has waited enough."""

Job = Callable[[], Awaitable[T]]
Stream = Callable[[], AsyncGenerator[T, None]]


async def answer(runtime: Runtime, seam: str, job: Job[T], most_s: float, account: Account) -> T:
    """job: asks it anew each time it is called."""
    runtime.circuits.require(seam)
    async with asyncio.timeout(most_s):
        with account.working(seam):
            return await _twice(runtime, seam, job)


async def outputs(runtime: Runtime, seam: str, stream: Stream[T], account: Account) -> AsyncGenerator[T, None]:
    """stream: as `job`, of an engine that gives one piece after the other."""
    runtime.circuits.require(seam)
    waits = runtime.waits[seam]

    async def begin() -> tuple[AsyncGenerator[T, None], T | None]:
        pieces, begun = stream(), False
        try:
            first = await anext(pieces, None)
            begun = True
            return pieces, first
        finally:
            if not begun:
                await pieces.aclose()

    async with asyncio.timeout(waits.first_s):
        with account.working(seam):
            pieces, piece = await _twice(runtime, seam, begin)
    async with aclosing(pieces):
        while piece is not None:
            yield piece
            with account.working(seam):
                async with asyncio.timeout(waits.next_s):
                    piece = await anext(pieces, None)


async def _twice(runtime: Runtime, seam: str, job: Job[T]) -> T:
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        return await job()
    except ENGINE_FAULTS as error:
        wait_s = again_s(error, clock() - began)
        if wait_s is None or (seam == "responder" and runtime.circuits.chained):  # the next of the chain was asked
            raise
        runtime.tried_again(seam, error)
    await asyncio.sleep(wait_s)
    return await job()


def again_s(error: Exception, after_s: float) -> float | None:
    """How long to wait before a second try of what failed after so long; None: there is none."""
    hopeless = isinstance(error, DownError | TimeoutError) or after_s > SOON_S
    if hopeless or (isinstance(error, RequestError) and not isinstance(error, BusyError)):
        return None
    return BUSY_AGAIN_S if isinstance(error, BusyError) else AGAIN_S
