"""A real server, as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

START_S: Final = 90
STOP_S: Final = 15
EMBEDDED_FILES: Final = (
    "silero-vad-v5.onnx",
    "smart-turn-v3.2.onnx",
    "smollm2-135m-instruct-q4_1.gguf",
    "whisper-base/model.bin",
)


@pytest.fixture(scope="session")
def live_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model_files: Callable[[str], Path]
) -> Iterator[str]:
    """URL of `voxtral-voice serve` in its own process, ready. Parametrize indirectly with "embedded" or "fake"."""
    profile = str(request.param)
    if profile == "embedded":
        for name in EMBEDDED_FILES:
            model_files(name)
    log = tmp_path_factory.mktemp("server") / f"{profile}.log"
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", profile, "--port", "0", "--offline"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
        try:
            yield ready(server, log)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_S)


def ready(server: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that the server prints, once it says that it is ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        urls = [line for line in log.read_text().splitlines() if line.startswith("http://")]
        if urls and _says_ready(urls[0]):
            return urls[0]
        time.sleep(0.1)
    pytest.fail(f"the server did not get ready:\n{log.read_text()}")


def _says_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
