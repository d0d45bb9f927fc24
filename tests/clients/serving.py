"""Our server as a user starts it: its own process, real models, and the scripted language model behind a URL.

Knows: the command line, what the server prints when it is ready. Does not know: clients.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

START_S: Final = 90
STOP_S: Final = 15
KEY: Final = "sk-of-the-tests"


@dataclass(frozen=True)
class Certificate:
    """Of 127.0.0.1, signed by itself: who trusts the file trusts the server."""

    cert: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(made.key), "-out", str(made.cert), "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return made


@contextmanager
def served(log: Path, *flags: str, trusted: Path | None = None) -> Iterator[str]:
    """URL of `voxtral-voice serve`, ready. trusted: the certificate that it shows."""
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--port", "0", "--offline", *flags]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
        try:
            yield _ready(server, log, trusted)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_S)
    errors = [line for line in log.read_text().splitlines() if " ERROR " in line]
    assert errors == [], f"the server had errors:\n{log.read_text()}"


def _ready(server: subprocess.Popen[bytes], log: Path, trusted: Path | None) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        urls = [line for line in log.read_text().splitlines() if line.startswith(("http://", "https://"))]
        if urls and _says_ready(urls[0], trusted):
            return urls[0]
        time.sleep(0.1)
    pytest.fail(f"the server did not get ready:\n{log.read_text()}")


def _says_ready(url: str, trusted: Path | None) -> bool:
    context = ssl.create_default_context(cafile=trusted) if trusted else True
    try:
        return httpx.get(f"{url}/readyz", verify=context, trust_env=False).is_success
    except httpx.TransportError:
        return False
