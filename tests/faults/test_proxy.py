from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import GOOD, JUNK, PATIENCE_S, PIECE, Line, Proxy, Schedule, proxy_to

# --- when bytes arrive ----------------------------------------------------------------------------------------------


def test_a_good_line_takes_no_time() -> None:
    schedule = Schedule()
    assert [schedule.arrives(GOOD, 1_000, now) for now in (1.0, 1.0, 2.5)] == [1.0, 1.0, 2.5]


def test_a_delay_is_the_same_for_all() -> None:
    schedule = Schedule()
    assert [schedule.arrives(Line(delay_s=0.5), 1_000, now) for now in (1.0, 1.0, 2.5)] == [1.5, 1.5, 3.0]


def test_jitter_has_a_bound_and_changes_no_order() -> None:
    schedule, line = Schedule(), Line(delay_s=0.1, jitter_s=0.2)
    sent = [n / 100 for n in range(200)]
    arrived = [schedule.arrives(line, 100, now) for now in sent]
    assert arrived == sorted(arrived)
    late = [there - now for there, now in zip(arrived, sent, strict=True)]
    assert min(late) >= 0.1
    assert max(late) <= 0.3
    assert max(late) - min(late) > 0.1


def test_what_is_sent_through_a_narrow_place_waits_for_what_is_before_it() -> None:
    schedule, line = Schedule(), Line(bytes_per_s=1_000)
    assert [schedule.arrives(line, 500, now) for now in (0.0, 0.0, 0.25, 10.0)] == [0.5, 1.0, 1.5, 10.5]


def test_what_was_sent_over_a_slow_line_is_not_overtaken_when_it_is_fast_again() -> None:
    schedule = Schedule()
    assert schedule.arrives(Line(delay_s=5), 10, 0.0) == 5.0
    assert schedule.arrives(GOOD, 10, 1.0) == 5.0


def test_the_same_seed_gives_the_same_jitter() -> None:
    line = Line(jitter_s=1)
    one, same, other = Schedule(1), Schedule(1), Schedule(2)
    times = [[schedule.arrives(line, 1, float(n)) for n in range(5)] for schedule in (one, same, other)]
    assert times[0] == times[1] != times[2]


# --- what becomes of connections ------------------------------------------------------------------------------------


class End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reads(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await self._reader.readexactly(len(data)) == data

    async def reads_nothing(self, but_for_s: float = 0.05) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(but_for_s):
                await self._reader.read(1)

    async def ends(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await self._reader.read() == b""

    async def breaks(self) -> None:
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(PATIENCE_S):
                await self._reader.read()

    def leave(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Proxy, End, End]]:
    """The proxy, who connected, and the server's end of it."""
    came: asyncio.Queue[End] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await came.put(End(reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, proxy_to(server.sockets[0].getsockname()[1]) as proxy:
        here = End(*await asyncio.open_connection("127.0.0.1", proxy.port))
        there = await came.get()
        try:
            yield proxy, here, there
        finally:
            here.leave()
            there.leave()


async def test_bytes_pass_both_ways_however_many() -> None:
    async with connected() as (proxy, here, there):
        much = bytes(range(256)) * 4 * PIECE
        async with asyncio.TaskGroup() as group:
            group.create_task(here.send(much))
            group.create_task(there.reads(much))
        await there.send(b"hello")
        await here.reads(b"hello")
        assert (proxy.connections, proxy.open) == (1, 1)


async def test_a_goodbye_passes() -> None:
    async with connected() as (_, here, there):
        await here.send(b"the end")
        here._writer.write_eof()
        await there.reads(b"the end")
        await there.ends()
        await there.send(b"as you like")
        await here.reads(b"as you like")


async def test_what_is_stalled_comes_when_it_goes_on() -> None:
    async with connected() as (proxy, here, there):
        proxy.stall("down")
        await there.send(b"later")
        await here.reads_nothing()
        await here.send(b"now")
        await there.reads(b"now")
        proxy.go_on()
        await here.reads(b"later")


async def test_who_sends_into_a_stall_is_held_up() -> None:
    """Not after all that a kernel takes: this is a proxy with small buffers."""
    async with connected() as (proxy, _, there):
        proxy.stall()
        sending = asyncio.create_task(there.send(bytes(32 * 1024 * 1024)))
        done, _ = await asyncio.wait([sending], timeout=0.1)
        assert not done
        proxy.reset()
        with pytest.raises(ConnectionError):
            await sending


async def test_a_reset_breaks_both_ends() -> None:
    async with connected() as (proxy, here, there):
        proxy.reset()
        await here.breaks()
        await there.breaks()


async def test_one_half_is_closed_and_the_other_is_not() -> None:
    async with connected() as (proxy, here, there):
        proxy.half_close("up")
        await there.ends()
        await here.send(b"nobody hears")
        await there.send(b"still here")
        await here.reads(b"still here")


async def test_bytes_become_junk() -> None:
    async with connected() as (proxy, here, there):
        proxy.garbles.add("down")
        await there.send(b"sense")
        await here.reads(JUNK)


async def test_a_delay_is_waited_for() -> None:
    async with connected() as (proxy, here, there):
        proxy.slow(Line(delay_s=0.1))
        began = asyncio.get_running_loop().time()
        await here.send(b"hello")
        await there.reads(b"hello")
        assert asyncio.get_running_loop().time() - began >= 0.1


async def test_where_nobody_listens_the_connection_breaks() -> None:
    async with connected() as (proxy, _, _), proxy_to(1) as to_nobody:
        assert proxy.port != to_nobody.port
        reader, writer = await asyncio.open_connection("127.0.0.1", to_nobody.port)
        await End(reader, writer).breaks()
        writer.close()
