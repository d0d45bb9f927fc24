"""Steps of a model, counted as they begin, so that something can happen in the middle of any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest


class Steps:
    def __init__(self, model: object, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for name in names:
            monkeypatch.setattr(model, name, self._counted(getattr(model, name)))

    async def more(self, count: int, *works: asyncio.Future[Any]) -> None:
        """Until so many more have begun, or all the works are done."""
        until = self._count + count
        for work in works:
            work.add_done_callback(lambda _: self._changed.set())
        while self._count < until and not all(work.done() for work in works):
            self._changed.clear()
            await self._changed.wait()

    def _counted(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @wraps(step)
        def run(items: Any) -> Any:
            self._loop.call_soon_threadsafe(self._begin)
            return step(items)

        return run

    def _begin(self) -> None:
        self._count += 1
        self._changed.set()
