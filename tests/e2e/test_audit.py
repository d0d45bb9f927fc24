"""The auditor, against servers of its own. Its attacks are the tests; here is only that they all are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.audit.__main__ import main
from benchmarks.audit.attack import Row
from tests.conftest import missing

NAMED = [
    "no key",
    "wrong key",
    "expired client secret",
    "foreign Origin",
    "DNS rebinding",
    "oversize frame",
    "oversize handshake",
    "deflate bomb",
    "WAV bomb",
    "FLAC bomb",
    "lying WAV header",
    "deep JSON on the socket",
    "numbers that are none",
    "slowloris: the head",
    "slowloris: the body",
    "half a handshake of TLS",
    "path traversal on static files",
    "method confusion",
    "header injection",
    "right key in the address",
    "secrets in the log",
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    file = tmp_path_factory.mktemp("audit") / "rows.json"
    main(["--quick", "--json", str(file)])
    return {row["name"]: Row(**row) for row in json.loads(Path(file).read_text())}


@pytest.mark.parametrize("name", NAMED)
def test_an_attack_is_refused(rows: dict[str, Row], name: str) -> None:
    if name == "half a handshake of TLS" and name not in rows:
        missing("openssl is not installed (apt-get install openssl)")
    assert rows[name].good, f"{rows[name].expected}, but {rows[name].came}"


def test_so_is_every_other(rows: dict[str, Row]) -> None:
    assert [row for row in rows.values() if not row.good] == []
    assert len(rows) > 50
