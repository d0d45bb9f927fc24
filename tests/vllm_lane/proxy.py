"""A TCP proxy whose connections can be cut, as a network does it.

Knows: bytes. Does not know: what they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

BYTES: Final = 65536


class Proxy:
    """port: where to. All on loopback."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        """So far."""
        self.port = 0

    def cut(self) -> None:
        """All connections that are open, without a goodbye."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, there_writer}
        self._open |= ends
        self.connections += 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, there_writer))
                group.create_task(_carry(there_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(BYTES):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
        proxy.cut()
