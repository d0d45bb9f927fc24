"""Engines as processes that can be killed, stopped, and told to answer wrongly.

Knows: processes, signals, the pipe to each. Does not know: what they answer (`engine`), what is tested with them.

A process is forked from one that has everything imported, so that an engine that was killed is back within a moment.
Its port stays its own while it is dead: a socket that does not listen keeps it, and who connects is refused.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Final

from tests.faults import engine
from tests.faults.engine import PARTS, Hold, Mode, Part

PATIENCE_S: Final = 20.0
"""For a busy machine; no test waits for it to pass."""

Told = list[tuple[str, str]]
"""Messages of one request to the responder: role, text."""


class EngineProcess:
    """One engine. What is awaited belongs to one event loop at a time: `attach` it, `detach` it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        self._process: ForkServerProcess | None = None
        self._pipe: Connection | None = None
        self._stopped = self._is_up = False
        self._up, self._held = asyncio.Event(), asyncio.Event()
        self.told: list[Told] = []
        """To a responder, since it was attached."""

    async def attach(self) -> None:
        """In good health, and with nothing to tell from before."""
        self._up, self._held, self.told = asyncio.Event(), asyncio.Event(), []
        if self._process is None:
            await self.start()
        else:
            self._read()

    def detach(self) -> None:
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())

    # --- what becomes of the process ----------------------------------------------------------------------------

    async def start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=engine.run, args=(self.part, self.port, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._up.clear()
        self._is_up = False
        self._read()
        async with asyncio.timeout(PATIENCE_S):
            await self._up.wait()
        assert self._is_up, f"the {self.part} died while it started"

    def kill(self) -> None:
        """kill -9; it is dead afterwards."""
        if self._process is not None and self._pipe is not None:
            self.detach_quietly()
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
        self._process = self._pipe = None
        self._stopped = False

    def stop(self) -> None:
        """SIGSTOP: its port takes connections, and nothing else happens."""
        self._signal(signal.SIGSTOP)
        self._stopped = True

    async def mend(self) -> None:
        """Whatever it was told or suffered: it runs, and answers well."""
        if self._process is None:
            await self.start()
        if self._stopped:
            self._signal(signal.SIGCONT)
            self._stopped = False
        self.be("good")
        self.release()

    def close(self) -> None:
        self.kill()
        self._place.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    # --- what it is told ----------------------------------------------------------------------------------------

    def be(self, mode: Mode) -> None:
        self._tell("mode", mode)

    def hold(self, where: Hold) -> None:
        self._held.clear()
        self._tell("hold", where)

    def release(self) -> None:
        self._tell("release", "")

    async def held(self) -> None:
        """A request is there, and is not answered until it is released."""
        async with asyncio.timeout(PATIENCE_S):
            await self._held.wait()

    def _tell(self, what: str, how: str) -> None:
        """Of one that is dead, nobody hears."""
        if self._pipe is not None:
            self._pipe.send((what, how))

    # --- what it says -------------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._pipe is not None
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._says)

    def _says(self) -> None:
        assert self._pipe is not None
        try:
            what, content = self._pipe.recv()
        except (EOFError, ConnectionError):
            self.detach()
            self._up.set()
            return
        if what == "asked":
            self.told.append(content)
        elif what == "up":
            self._is_up = True
            self._up.set()
        else:
            self._held.set()

    def detach_quietly(self) -> None:
        """Also where no event loop runs."""
        try:
            self.detach()
        except RuntimeError:
            return


@contextmanager
def engine_processes(*preload: str) -> Iterator[Mapping[Part, EngineProcess]]:
    """Not started; all of them are dead afterwards. preload: what the program's main module imports, if it has one, as
    each process imports that again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.engine", *preload])
    made = {part: EngineProcess(part) for part in PARTS}
    try:
        yield made
    finally:
        for process in made.values():
            process.close()
