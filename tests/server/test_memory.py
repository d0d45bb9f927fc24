from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from voxtral_voice.server.memory import settle


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


class Ring:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_not_looked_at_again_and_what_comes_later_is() -> None:
    before = len(gc.get_objects())
    settle()
    assert gc.get_freeze_count() > 0.9 * before
    assert len(gc.get_objects()) < 0.1 * before
    Ring()
    assert gc.collect() >= 1


def test_what_was_garbage_before_is_gone() -> None:
    kept = gc.isenabled()
    gc.disable()
    try:
        rings = [Ring() for _ in range(10)]
        rings.clear()
        settle()
        gc.unfreeze()
        assert not any(isinstance(each, Ring) for each in gc.get_objects())
    finally:
        if kept:
            gc.enable()
