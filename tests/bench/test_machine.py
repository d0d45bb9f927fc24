"""Where it was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtral_voice.bench import machine as machine_module
from voxtral_voice.bench.machine import commit, libraries, machine


def test_where_and_of_what() -> None:
    assert {"cpu", "cores", "memory_gb", "system", "python", "load_1min", "libraries"} == machine().keys()
    assert machine()["memory_gb"] > 0
    head = commit()
    assert head is None or len(head.removesuffix("+changes")) == 40


def test_only_libraries_that_are_installed_are_named() -> None:
    assert "onnxruntime" in libraries()
    assert None not in libraries().values()


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "__file__", str(tmp_path / "a" / "b" / "c" / "machine.py"))
    assert commit() is None
