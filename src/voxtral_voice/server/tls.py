"""The server's certificate and its private key.

Knows: the two files and what can be wrong with them. Does not know: sockets, who asks.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NoReturn

from voxtral_voice.config import ServerConfig
from voxtral_voice.errors import ServerError

CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
PRIVATE_KEY: Final = "PRIVATE KEY-----"
LARGEST_FILE: Final = 2**20
"""In bytes: a chain of certificates takes a few thousand."""


def tls_context(server: ServerConfig) -> ssl.SSLContext | None:
    """None: the server speaks no TLS. Blocks.

    Raises ServerError: a file is missing, unreadable, not what it should be, or the two do not belong together.
    """
    if not server.tls_cert:
        return None
    cert, key = Path(server.tls_cert), Path(server.tls_key or server.tls_cert)
    _require(cert, CERTIFICATE, "certificate")
    _require(key, PRIVATE_KEY, "private key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=lambda: _refuse_password(key))
    except ssl.SSLError as error:
        raise ServerError(_complaint(error, cert, key)) from error
    return context


def _require(path: Path, mark: str, what: str) -> None:
    """Raises ServerError when the file is not there, or does not hold that at all."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE)
    except OSError as error:
        raise ServerError(f"The TLS {what} {path} cannot be read: {error.strerror or error}.") from error
    if mark.encode() not in text:
        raise ServerError(f"There is no {what} in {path}: it should be a PEM file.")


def _refuse_password(key: Path) -> NoReturn:
    """Otherwise OpenSSL would ask for one at the terminal."""
    raise ServerError(f"The TLS private key {key} is encrypted: write it to a file without a password.")


def _complaint(error: ssl.SSLError, cert: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The TLS private key {key} does not belong to the certificate {cert}."
    return f"The TLS certificate {cert} and the private key {key} cannot be used: {error.reason or error}."
