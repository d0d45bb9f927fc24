"""Runs blocking work on a thread that nobody has to wait for: not the program's end either.

Knows: threads. Does not know: what it runs. A thread of a pool is waited for when the program ends, however long it
takes; this one is left behind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_daemon(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises. Cancelled, it goes on, and its result is thrown away. name: of the thread."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - of the one that waits
            done.set_exception(error)

    done.set_running_or_notify_cancel()
    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
