"""Servers of our own to be audited: one that asks for a key, one on loopback that asks for none, one with TLS."""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from benchmarks.audit.attack import Kind, Target

STOP_S: Final = 20.0
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Own:
    target: Target
    process: psutil.Process
    log: Path

    @property
    def rss_mb(self) -> float:
        return float(self.process.memory_info().rss / 2**20)


@contextmanager
def own_servers(folder: Path, *, quick: bool) -> Iterator[dict[Kind, Own]]:
    """By kind; TLS where openssl is there. folder: for their logs and the certificate."""
    key = "vv_" + secrets.token_urlsafe(32)
    flags: dict[Kind, list[str]] = {"keyed": [], "open": []}
    if openssl := shutil.which("openssl"):
        flags["tls"] = ["--server-tls-cert", str(_certificate(openssl, folder))]
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(_started(kind, folder, key, more, quick)) for kind, more in flags.items()}
        yield {kind: _own(kind, process, folder, key) for kind, process in servers.items()}


@contextmanager
def _started(kind: Kind, folder: Path, key: str, flags: list[str], quick: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.audit.served", *(["--quick"] if quick else []), *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOXTRAL_VOICE_SERVER_")}
    if kind != "open":
        environment["VOXTRAL_VOICE_SERVER_API_KEYS"] = key
    with _log(folder, kind).open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _own(kind: Kind, process: subprocess.Popen[str], folder: Path, key: str) -> Own:
    out: IO[str] | None = process.stdout
    assert out is not None
    if not (url := out.readline().strip()):
        raise SystemExit(f"The server to be audited did not start:\n{_log(folder, kind).read_text()}")
    target = Target(url.replace("127.0.0.1", "localhost") if kind == "tls" else url, "" if kind == "open" else key)
    return Own(target, psutil.Process(process.pid), _log(folder, kind))


def _log(folder: Path, kind: Kind) -> Path:
    return folder / f"{kind}.log"


def _certificate(openssl: str, folder: Path) -> Path:
    """Of localhost, signed by itself; this process trusts it from now on."""
    file, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True, timeout=60)
    file.write_text(key.read_text() + file.read_text())
    file.chmod(0o600)
    assert ssl.create_default_context(cafile=str(file))
    return file
