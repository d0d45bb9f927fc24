"""A server as an operator runs it: a process of its own, that gets signals.

Knows: the command, its URL, signals. Does not know: what is said to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import httpx

from tests.server.caller import PATIENCE_S

SERVE: Final = (sys.executable, "-m", "voxtral_voice", "serve", "--profile", "fake", "--port", "0", "--patience", "0")
VARIABLES: Final = ("PATH", "HOME", "PYTHONPATH", "LANG", "VIRTUAL_ENV")
"""Of the test's environment: no settings."""


@dataclass
class Served:
    url: str
    process: asyncio.subprocess.Process
    log: bytes = b""
    """There once it has ended."""

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, trust_env=False) as client:
            return await client.get(path)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def drains(self) -> None:
        """Wait until it does."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.get("/ping")).status_code != 503:  # noqa: ASYNC110 - what a load balancer does
                await asyncio.sleep(0.01)

    async def ended(self) -> int:
        """How."""
        async with asyncio.timeout(PATIENCE_S):
            _, self.log = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode

    def logged(self, event: str) -> bool:
        return f" {event} ".encode() in self.log


@asynccontextmanager
async def served(*flags: str, url: bool = True, store: str = "") -> AsyncIterator[Served]:
    """A server that is ready. url: False = do not wait for that. store: a resume store."""
    kept = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    kept |= {"VOXTRAL_VOICE_SERVER_RESUME_STORE": store} if store else {}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*SERVE, *flags, stdout=pipe, stderr=pipe, env=kept, cwd="/")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(3 * PATIENCE_S):
            line = (await process.stdout.readline()).decode().strip() if url else ""
        assert line or not url, (await process.communicate())[1].decode()
        yield Served(line, process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
