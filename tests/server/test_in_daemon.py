from __future__ import annotations

import asyncio
import threading

import pytest

from voxtral_voice.server.in_daemon import in_daemon


async def test_what_it_returns_and_raises() -> None:
    assert await in_daemon(lambda: threading.current_thread().name, "loader") == "loader"
    assert await in_daemon(lambda: threading.current_thread().daemon, "loader")

    def fails() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await in_daemon(fails, "loader")


async def test_who_is_cancelled_does_not_wait() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait()
        ended.set()

    task = asyncio.create_task(in_daemon(work, "loader"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not ended.is_set()
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
