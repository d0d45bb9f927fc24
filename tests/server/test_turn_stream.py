"""A turn on its way into an engine's stream: what it is given, in which order, and what happens when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from voxtral_voice.engines.base import Samples, Transcript
from voxtral_voice.errors import EngineError
from voxtral_voice.server.turn_stream import TurnStream


class Ear:
    """An engine's stream that hears numbers, and does what the test says."""

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.holds = asyncio.Event()
        """A call waits for it."""
        self.holds.set()
        self.busy = asyncio.Event()
        self.closed = False

    async def push(self, audio: Samples) -> str:
        await self._call("push")
        self.heard += audio.tolist()
        return " ".join(f"{number:g}" for number in self.heard)

    async def flush(self) -> Transcript:
        await self._call("flush")
        return Transcript(f"{len(self.heard)} numbers", "en")

    async def aclose(self) -> None:
        self.closed = True
        if self.fault is not None:
            raise self.fault

    async def _call(self, name: str) -> None:
        assert not self.closed
        self.calls.append(name)
        self.busy.set()
        await self.holds.wait()
        if self.fault is not None:
            raise self.fault


class Ears:
    """Those that were made, the newest last."""

    def __init__(self) -> None:
        self.made: list[Ear] = []

    def __call__(self) -> Ear:
        self.made.append(Ear())
        return self.made[-1]


def audio(*numbers: float) -> Samples:
    return np.array(numbers, np.float32)


@asynccontextmanager
async def heard(ears: Ears, call_s: float = 20.0) -> AsyncIterator[TurnStream]:
    """A stream that is kept, and over in the end; then all that was made is closed."""
    stream = TurnStream(ears, 100, call_s)
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.keep())
        yield stream
        stream.end()
    assert all(ear.closed for ear in ears.made)


async def words(stream: TurnStream) -> str | None:
    async with stream.place:
        return await stream.words()


async def flushed(stream: TurnStream) -> str:
    async with stream.place:
        return (await stream.flush()).text


async def test_each_piece_is_pushed_once_and_a_flush_changes_nothing() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1, 2))
        assert stream.taken_to == 102
        assert await words(stream) == "1 2"
        stream.add(audio(3))
        stream.add(audio())
        stream.add(audio(4))
        assert await flushed(stream) == "4 numbers"
        assert await words(stream) == "1 2 3 4"
        stream.add(audio(5))
        assert await flushed(stream) == "5 numbers"
    [ear] = ears.made
    assert ear.calls == ["push", "push", "flush", "push", "flush"]


async def test_nothing_begins_before_something_is_asked_for() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1))
    assert ears.made == []


async def test_without_audio_there_are_no_words() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        assert await words(stream) == ""
        assert await flushed(stream) == "0 numbers"
    assert ears.made[0].calls == ["flush"]


@pytest.mark.parametrize("what", ["push", "flush"])
async def test_after_a_failure_another_stream_hears_the_turn_from_its_beginning(what: str) -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1, 2))
        await words(stream)
        ears.made[0].fault = EngineError("transcriber", "no ears")
        stream.add(audio(3))
        if what == "flush":
            ears.made[0].fault = None
            await words(stream)
            ears.made[0].fault = OSError("gone")
        with pytest.raises((EngineError, OSError)):
            await (words(stream) if what == "push" else flushed(stream))
        assert ears.made[0].closed
        stream.add(audio(4))
        assert await words(stream) == "1 2 3 4"
    assert len(ears.made) == 2


async def test_a_call_that_hangs_is_given_up() -> None:
    ears = Ears()
    async with heard(ears, 0.01) as stream:
        stream.add(audio(1))
        await words(stream)
        ears.made[0].holds.clear()
        with pytest.raises(TimeoutError):
            await flushed(stream)
        assert await words(stream) == "1"
    assert len(ears.made) == 2


async def test_a_flush_that_is_stopped_leaves_the_stream_as_it_was() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1))
        await words(stream)
        [ear] = ears.made
        ear.holds.clear()
        ear.busy.clear()
        flush = asyncio.ensure_future(flushed(stream))
        await ear.busy.wait()
        flush.cancel()
        await asyncio.wait([flush])
        ear.holds.set()
        stream.add(audio(2))
        assert await flushed(stream) == "2 numbers"
    assert len(ears.made) == 1


async def test_a_push_that_is_stopped_is_said_again_to_another_stream() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1))
        await words(stream)
        [ear] = ears.made
        ear.holds.clear()
        ear.busy.clear()
        stream.add(audio(2))
        push = asyncio.ensure_future(words(stream))
        await ear.busy.wait()
        push.cancel()
        await asyncio.wait([push])
        assert ear.closed
        assert await words(stream) == "1 2"


async def test_the_end_waits_for_what_was_asked_for_before_it() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1))
        await words(stream)
        [ear] = ears.made
        ear.holds.clear()
        ear.busy.clear()
        flush = asyncio.ensure_future(flushed(stream))
        await ear.busy.wait()
        stream.end()
        await asyncio.sleep(0)
        assert not ear.closed
        ear.holds.set()
        assert await flush == "1 numbers"


async def test_once_the_turn_is_over_only_what_its_end_waits_for_is_pushed() -> None:
    ears = Ears()
    async with heard(ears) as stream:
        stream.add(audio(1))
        assert await words(stream) == "1"
        stream.add(audio(2))
        stream.end()
        assert await words(stream) is None
        [ear] = ears.made
        assert ear.heard == [1]
    assert ear.calls == ["push"]


async def test_what_the_end_waits_for_is_pushed_after_it() -> None:
    ears = Ears()
    stream = TurnStream(ears, 0, 20.0)
    stream.add(audio(1))
    stream.end()
    async with stream.place:
        await stream.push()
        assert (await stream.flush()).text == "1 numbers"
    assert ears.made[0].calls == ["push", "flush"]


async def test_a_session_that_ends_closes_what_is_open() -> None:
    ears = Ears()
    stream = TurnStream(ears, 0, 20.0)
    keeping = asyncio.ensure_future(stream.keep())
    await asyncio.sleep(0)
    stream.add(audio(1))
    await words(stream)
    ears.made[0].fault = OSError("it is gone already")
    keeping.cancel()
    await asyncio.wait([keeping])
    assert keeping.cancelled()
    assert ears.made[0].closed
