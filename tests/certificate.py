"""A certificate of this machine, signed by itself, made by the openssl program. For tests of TLS."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conftest import missing

NAMES: Final = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificate:
    cert: Path
    key: Path


def certificate(folder: Path, name: str = "server", *options: str) -> Certificate:
    """For localhost and 127.0.0.1, for two days. Without openssl the test skips (on CI: fails)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("openssl is not installed (apt-get install openssl)")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = [str(openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", NAMES, "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run([*command, *(options or ("-nodes",))], check=True, capture_output=True, timeout=60)
    return made
