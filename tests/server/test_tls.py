from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect

from tests.certificate import Certificate, certificate
from tests.server.caller import PATIENCE_S, calling
from tests.server.conftest import quick, quick_config
from tests.server.test_auth import KEY, bearer
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.errors import ServerError
from voxtral_voice.server import run
from voxtral_voice.server.run import running
from voxtral_voice.server.tls import tls_context


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"))


def server(cert: Path, key: Path | str = "") -> ServerConfig:
    return ServerConfig(port=0, tls_cert=str(cert), tls_key=str(key), api_keys=SecretStr(KEY))


def complaint(cert: Path, key: Path | str = "") -> str:
    with pytest.raises(ServerError) as refused:
        tls_context(server(cert, key))
    return str(refused.value)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls_context(ServerConfig()) is None


def test_key_and_certificate_may_be_in_one_file(ours: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(ours.key.read_text() + ours.cert.read_text())
    assert tls_context(server(both)) is not None
    context = tls_context(server(ours.cert, ours.key))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_files_that_are_missing_or_cannot_be_read(ours: Certificate, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert complaint(nowhere) == f"The TLS certificate {nowhere} cannot be read: No such file or directory."
    assert complaint(ours.cert, nowhere) == f"The TLS private key {nowhere} cannot be read: No such file or directory."
    assert complaint(tmp_path) == f"The TLS certificate {tmp_path} cannot be read: Is a directory."


def test_files_that_are_something_else(ours: Certificate, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x00\xff")
    assert complaint(other, ours.key) == f"There is no certificate in {other}: it should be a PEM file."
    assert complaint(ours.cert) == f"There is no private key in {ours.cert}: it should be a PEM file."
    assert complaint(ours.key, ours.cert) == f"There is no certificate in {ours.key}: it should be a PEM file."
    other.write_text("-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n")
    assert complaint(other, ours.key).startswith(
        f"The TLS certificate {other} and the private key {ours.key} cannot be"
    )


def test_a_key_of_another_certificate(ours: Certificate, tmp_path: Path) -> None:
    other = certificate(tmp_path, "other")
    assert complaint(ours.cert, other.key) == (
        f"The TLS private key {other.key} does not belong to the certificate {ours.cert}."
    )


def test_a_key_with_a_password_is_not_asked_for_at_the_terminal(tmp_path: Path) -> None:
    locked = certificate(tmp_path, "locked", "-passout", "pass:secret")
    assert complaint(locked.cert, locked.key) == (
        f"The TLS private key {locked.key} is encrypted: write it to a file without a password."
    )


async def test_a_conversation_over_tls(ours: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: quick())
    config: Config = quick_config().model_copy(update={"server": server(ours.cert, ours.key)})
    trusted = await asyncio.to_thread(ssl.create_default_context, cafile=str(ours.cert))
    async with running(config) as url:
        assert url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(verify=trusted, timeout=PATIENCE_S, trust_env=False) as client:
            assert (await client.get(f"{url}/readyz")).json()["ready"]
            assert (await client.get(f"{url}/v1/models")).status_code == 401
        async with calling(url, ssl=trusted, additional_headers=bearer(KEY)) as caller:
            assert (await caller.turn())["response"]["status"] == "completed"
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url.replace("http", "ws", 1) + "/v1/realtime", proxy=None)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
                await client.get(url.replace("https", "http"))


async def test_a_certificate_is_looked_at_before_anything_starts(
    ours: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "build_engines", lambda *_: pytest.fail("the engines were loaded"))
    config = quick_config().model_copy(update={"server": server(ours.cert, tmp_path / "nowhere")})
    with pytest.raises(ServerError, match="The TLS private key"):
        async with running(config):
            pytest.fail("it started")
