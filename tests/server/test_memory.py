from __future__ import annotations

import gc
from collections.abc import Iterator

import psutil
import pytest

from voxtral_voice.server import memory
from voxtral_voice.server.memory import give_back, settle


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
        assert not any(type(each) is Ring for each in gc.get_objects())  # isinstance asks proxies, and some warn
    finally:
        if kept:
            gc.enable()


def test_what_is_free_in_the_middle_of_the_heap_is_given_back() -> None:
    process = psutil.Process()
    give_back()
    blocks = [bytes(100_000) for _ in range(640)]  # small enough for the heap
    pins = [bytes(1_000) for _ in range(10)]
    before = process.memory_info().rss
    blocks.clear()
    assert give_back()
    assert before - process.memory_info().rss > 40_000_000
    assert len(pins) == 10


def test_one_thread_at_a_time_gives_back() -> None:
    with memory._giving_back:
        assert not give_back()


def test_where_the_library_has_no_such_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not give_back()
