"""A redis-server of the test's own, on a free port.

Knows: its process. Does not know: what is kept in it.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.conftest import missing

PROGRAM = shutil.which("redis-server")
PATIENCE_S = 20.0


@dataclass
class RedisServer:
    port: int
    password: str = ""
    process: subprocess.Popen[bytes] | None = None
    certificate: str = ""
    """File with a certificate and its key: it speaks TLS and nothing else."""

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        tls = f"?ssl_ca_certs={self.certificate}" if self.certificate else ""
        return f"redis{'s' if tls else ''}://{secret}127.0.0.1:{self.port}/0{tls}"

    def starts(self) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--requirepass", self.password] if self.password else []
        command += self._tls() if self.certificate else ["--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        pytest.fail("redis-server does not start")

    def _tls(self) -> list[str]:
        files = ("--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file")
        named = [word for flag in files for word in (flag, self.certificate)]
        return ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *named]

    def ends(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def hangs(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def goes_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(password: str = "", certificate: str = "") -> Iterator[RedisServer]:
    """Skipped where there is none, but not in CI."""
    if PROGRAM is None:
        missing("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = RedisServer(port, password, certificate=certificate)
    server.starts()
    try:
        yield server
    finally:
        server.ends()
