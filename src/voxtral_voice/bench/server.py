"""A server of our own to measure, started as a user starts it, in a process of its own.

Knows: the command, its first line (the URL), its pid. Does not know: anything inside it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from voxtral_voice.errors import BenchError

STOP_S: Final = 20.0
OPEN_HERE: Final = (
    "--server-host=127.0.0.1",
    "--server-api-keys-file=",
    "--server-api-keys=",
    "--server-tls-cert=",
    "--server-tls-key=",
)
"""Whatever the settings file and the environment say: it is measured from this machine, as it is. Flags may undo it."""


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    pid: int
    ready_s: float
    """From the start of the process until it printed its URL."""


@contextmanager
def serving(flags: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`voxtral-voice serve` on a free port, stopped with the block. Raises BenchError when it does not start."""
    port = next((flag for flag in flags if flag.startswith("--server-port")), None)
    if port is not None:
        raise BenchError("The server to measure takes any free port: leave out --port.")
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--log-level=warning", *OPEN_HERE, *flags, "--port=0"]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise BenchError("The server to measure did not start; what it says is above.")
            yield Running(url, process.pid, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
