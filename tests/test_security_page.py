"""docs/security.md names tests and attacks; here is that they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from benchmarks.audit.__main__ import is_about_keys
from benchmarks.audit.attack import ATTACKS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text()
OWN = {"secrets in the log", "afterwards", "memory afterwards", "all, against your own address"}
"""Rows of the auditor that are no attacks."""


def functions(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    tests = [(file, name) for file, name in named if "test_" in file]
    assert len(tests) > 60
    for file, name in tests:
        path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / file
        assert path.is_file(), file
        assert not name or name in functions(path), f"{file}::{name}"


def test_every_attack_that_is_named_exists() -> None:
    known = {attack.name for attack in ATTACKS} | OWN
    named = re.findall(r"audit: ([^;|`]+?)(?= \||;|\n)", PAGE)
    assert len(named) > 30
    assert set(named) - known == set()


def test_how_many_attacks_there_are_and_where_they_go() -> None:
    about_keys = sum(is_about_keys(attack) for attack in ATTACKS)
    about_tls = sum(attack.on == "tls" for attack in ATTACKS)
    anywhere = len(ATTACKS) - about_keys - about_tls
    assert f"{len(ATTACKS)} attacks over the port" in PAGE
    where = f"{anywhere} of them go to any address, {about_keys} more are about keys and go out with `--api-key`, "
    assert f"{where}{about_tls} more to `https`." in " ".join(PAGE.split())
