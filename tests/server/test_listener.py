from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.conversation import events as ev
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.realtime.client_events import parse
from voxtral_voice.realtime.wire import Incoming, Said
from voxtral_voice.server import listener as module
from voxtral_voice.server.ingest import WIRE_RATE_HZ
from voxtral_voice.server.link import Hangup
from voxtral_voice.server.listener import ARRIVED, IGNORED, IGNORED_CHARS, LARGE_FRAME, SILENT, TOO_FAST, Listener

SECOND = bytes(BYTES_PER_SAMPLE * WIRE_RATE_HZ)
LARGE = "x" * LARGE_FRAME


class Session:
    """said: what frames say; of any other, nothing. It does what it is told while it `may`."""

    def __init__(self, said: Mapping[str, Incoming] | None = None, limits: LimitsConfig | None = None) -> None:
        self.metrics = Metrics()
        self.listener = Listener(limits or LimitsConfig(), self.metrics)
        self.said = said or {}
        self.threads: list[threading.Thread] = []
        """That frames were read on."""
        self.frames: list[str] = []
        """That were read and not acted on."""
        self.done: list[Incoming] = []
        self.is_linked, self.may, self.has_room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self.is_linked, self.may, self.has_room):
            event.set()

    def read(self, frame: str | bytes) -> Said:
        self.threads.append(threading.current_thread())
        self.frames.append(str(frame))
        return Said(parse(frame))

    def act(self, _said: Said) -> Incoming:
        assert threading.current_thread() is threading.main_thread()
        return self.said.get(self.frames.pop(), Incoming())

    async def do(self, incoming: Incoming) -> None:
        await self.may.wait()
        self.done.append(incoming)

    async def listen(self) -> None:
        await self.listener.listen(self.read, self.act, self.do, until(self.is_linked), until(self.has_room))

    async def has_done(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.listener.done.count < count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)


def until(event: asyncio.Event) -> module.Wait:
    async def waits() -> None:
        await event.wait()

    return waits


@asynccontextmanager
async def listening(session: Session) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.listen())
        yield
        task.cancel()


async def a_while() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_frames_are_worked_on_in_their_order_and_counted() -> None:
    said = {"one": Incoming((ev.ClearAudio(),)), "two": Incoming(pcm=SECOND)}
    session = Session(said)
    async with listening(session):
        for frame in said:
            await session.listener.take(frame)
        await session.has_done(2)
    assert session.done == [*said.values()]
    assert session.listener.came == 2


async def test_a_client_is_read_no_further_than_the_session_has_come() -> None:
    session = Session()
    session.may.clear()
    async with listening(session):
        await session.listener.take("done")
        await a_while()
        for _ in range(ARRIVED):
            await session.listener.take("waits")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.listener.take("too many"), 0)
        assert session.listener.came == 1 + ARRIVED
        assert session.listener.done.count == 0
        session.may.set()
        await session.has_done(1 + ARRIVED)


async def test_a_large_frame_is_read_on_a_thread_and_counts_until_it_is_done() -> None:
    session = Session()
    session.may.clear()
    async with listening(session), asyncio.TaskGroup() as group:
        brings = group.create_task(session.listener.take(LARGE))
        async with asyncio.timeout(10):
            while not session.threads:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
        assert session.threads != [threading.main_thread()]
        assert not brings.done()
        session.may.set()
        await brings
        await session.listener.take("small")
        await session.has_done(2)
    assert session.threads[1] is threading.main_thread()


async def test_a_session_that_is_held_does_nothing() -> None:
    session = Session()
    session.is_linked.clear()
    async with listening(session):
        await session.listener.take("waits")
        await a_while()
        assert session.threads == []
        session.is_linked.set()
        await session.has_done(1)


async def test_a_client_that_does_not_read_is_not_read_either() -> None:
    session = Session()
    session.has_room.clear()
    async with listening(session):
        await session.listener.take("one")
        await session.listener.take("two")
        await a_while()
        assert session.listener.done.count == 1
        session.has_room.set()
        await session.has_done(2)


async def test_who_sends_too_fast_is_held_up() -> None:
    session = Session({"audio": Incoming(pcm=3 * SECOND)}, LimitsConfig(audio_speed=100, audio_burst_s=1))
    async with listening(session):
        await session.listener.take("audio")
        await session.listener.take("more")
        await session.has_done(2)
    assert session.metrics.held_up._value.get() == pytest.approx(0.02)


async def test_who_would_be_held_up_for_too_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 1.0)
    session = Session({"audio": Incoming(pcm=3 * SECOND)}, LimitsConfig(audio_speed=1, audio_burst_s=1))
    await session.listener.take("audio")
    with pytest.raises(Hangup) as let_go:
        await session.listen()
    assert let_go.value.end is TOO_FAST
    assert session.done == []


@pytest.mark.parametrize(("frame", "is_silent"), [(None, True), ("nonsense", True), ("event", False)])
async def test_something_has_to_come_that_can_be_understood(
    frame: str | None, is_silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_EVENT_S", 0.05)
    session = Session({"nonsense": Incoming(refused="invalid_json")})
    async with listening(session):
        if frame is not None:
            await session.listener.take(frame)
            await session.has_done(1)
        if is_silent:
            with pytest.raises(Hangup) as let_go:
                await session.listener.until_silent()
            assert let_go.value.end is SILENT
        else:
            await session.listener.until_silent()
    assert session.metrics.refusals.labels("invalid_json")._value.get() == (frame == "nonsense")


async def test_what_means_nothing_is_logged_once_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    names = tuple(f"{number}{'x' * IGNORED_CHARS}" for number in range(IGNORED + 1))
    session = Session({"odd": Incoming(ignored=names)})
    async with listening(session):
        for _ in range(2):
            await session.listener.take("odd")
        await session.has_done(2)
    told = [record.__dict__["fields"]["field"] for record in caplog.records]
    assert told == [name[:IGNORED_CHARS] for name in names[:IGNORED]]
