"""A TCP proxy with faults: what a network does to a connection, on command.

    Line        delay, jitter, bandwidth: how long bytes are under way
    Schedule    when each piece of a stream arrives (pure)
    Proxy       stall, go on, cut with a reset, close one half, garble; new connections meet the same faults

Knows: bytes, two directions. Does not know: what the bytes mean.

`up` is the way from who connects to the server behind the proxy, `down` the way back.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal

PIECE: Final = 16 * 1024
UNDER_WAY: Final = 8
"""Pieces of one direction that are under way; when full, no more is read from who sends."""
PATIENCE_S: Final = 10.0
"""For a busy machine; no test waits for it to pass."""
KERNEL_BYTES: Final = 32 * 1024
"""Buffer of the socket to the server: a stall is felt there soon, and not after the megabytes that loopback takes."""
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""
JUNK: Final = b"\x15\x03\x01\x00\x02\x02\x0a junk \xff\xfe\x00"

Way = Literal["up", "down"]
WAYS: Final[tuple[Way, Way]] = ("up", "down")


# --- pure -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of a link. jitter_s: up to so much more than delay_s; bytes keep their order."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = math.inf


GOOD: Final = Line()


class Schedule:
    """When pieces arrive that are sent one behind the other. Times are of any one clock; chance is from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._free_at = -math.inf
        """When the last byte so far is through the narrow place."""
        self._arrived = -math.inf

    def arrives(self, line: Line, size: int, now: float) -> float:
        """Of a piece of so many bytes that is sent now. Never before one that was sent before."""
        self._free_at = max(self._free_at, now) + size / line.bytes_per_s
        late_s = line.delay_s + line.jitter_s * self._random.random()
        self._arrived = max(self._arrived, self._free_at + late_s)
        return self._arrived


# --- sockets ----------------------------------------------------------------------------------------------------------


class Proxy:
    """port: that of the proxy; whoever connects there talks to the server behind it, through both lines."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self.connections = 0
        """So far."""
        self.lines: dict[Way, Line] = dict.fromkeys(WAYS, GOOD)
        self.garbles: set[Way] = set()
        """Ways on which all bytes become junk."""
        self._flows: dict[Way, asyncio.Event] = {way: asyncio.Event() for way in WAYS}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self.go_on()

    def slow(self, line: Line) -> None:
        """Both ways, from now on, also for connections that are open."""
        self.lines = dict.fromkeys(WAYS, line)

    def stall(self, *ways: Way) -> None:
        """Nothing goes these ways (both when none is named) until `go_on`; connections stay open."""
        for way in ways or WAYS:
            self._flows[way].clear()

    def go_on(self) -> None:
        for flows in self._flows.values():
            flows.set()

    def reset(self) -> None:
        """All connections end with RST, on both sides."""
        for link in self._links:
            link.reset()

    def half_close(self, way: Way) -> None:
        """On all connections this way ends, as if the sender had shut it (FIN). The other way stays open."""
        for link in self._links:
            link.end(way)

    @property
    def open(self) -> int:
        return len(self._links)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there_reader, there_writer = await asyncio.open_connection(sock=await _connection(self._to))
        except OSError:
            reset(writer)
            return
        link = _Link(self, (reader, writer), (there_reader, there_writer), self.connections)
        self._links.add(link)
        try:
            await link.carry()
        finally:
            self._links.discard(link)

    async def passes(self, way: Way) -> None:
        await self._flows[way].wait()

    async def ended(self) -> None:
        """All connections are gone."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE_S)
            assert not late, "a connection through the proxy does not end"


class _Link:
    """One connection and the one behind it."""

    def __init__(
        self,
        proxy: Proxy,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        seed: int,
    ) -> None:
        self._proxy = proxy
        self._readers: dict[Way, asyncio.StreamReader] = {"up": here[0], "down": there[0]}
        self._writers: dict[Way, asyncio.StreamWriter] = {"up": there[1], "down": here[1]}
        self._schedules: dict[Way, Schedule] = {"up": Schedule(seed), "down": Schedule(-seed)}
        self._ended: set[Way] = set()

    async def carry(self) -> None:
        """Until both ways have ended."""
        try:
            async with asyncio.TaskGroup() as group:
                for way in WAYS:
                    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)  # full: no more is read
                    group.create_task(self._take(way, under_way))
                    group.create_task(self._give(way, under_way))
        finally:
            for writer in self._writers.values():
                writer.close()

    def reset(self) -> None:
        for writer in self._writers.values():
            reset(writer)

    def end(self, way: Way) -> None:
        self._ended.add(way)
        with suppress(OSError, RuntimeError):
            self._writers[way].write_eof()

    async def _take(self, way: Way, under_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        now = asyncio.get_running_loop().time
        data = b" "
        while data:
            try:
                data = await self._readers[way].read(PIECE)
            except OSError:
                data = b""
            at = self._schedules[way].arrives(self._proxy.lines[way], len(data), now())
            await under_way.put((at, data))

    async def _give(self, way: Way, under_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        """b"" is the end of this way; of bytes behind an end that was made nobody hears."""
        writer, now = self._writers[way], asyncio.get_running_loop().time
        while True:
            at, data = await under_way.get()
            if at > now():
                await asyncio.sleep(at - now())
            await self._proxy.passes(way)
            if not data:
                self.end(way)
                return
            if way in self._ended:
                continue
            with suppress(OSError):
                writer.write(JUNK if way in self._proxy.garbles else data)
                await writer.drain()


async def _connection(port: int) -> socket.socket:
    """Raises OSError."""
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    try:
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


def reset(writer: asyncio.StreamWriter) -> None:
    """The connection ends with RST, and not with a goodbye."""
    if (found := writer.get_extra_info("socket")) is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """To a port of this machine; all connections are reset in the end."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0, limit=PIECE)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.go_on()
        proxy.reset()
        await proxy.ended()
