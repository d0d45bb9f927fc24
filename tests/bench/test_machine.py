"""Where it was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtral_voice.bench import machine as machine_module
from voxtral_voice.bench.machine import commit, libraries, machine
from voxtral_voice.engines.gpu import Gpu


def test_where_and_of_what() -> None:
    assert {"cpu", "cores", "memory_gb", "system", "python", "load_1min", "libraries"} <= machine().keys()
    assert machine()["memory_gb"] > 0
    head = commit()
    assert head is None or len(head.removesuffix("+changes")) == 40


def test_gpus_are_named_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Gpu(0, "NVIDIA L4", 24_000_000_000, 23_000_000_000, "580.95.05", (8, 9), (13, 0))
    monkeypatch.setattr(machine_module, "gpus", lambda: (one,))
    named = {"name": "NVIDIA L4", "memory_gb": 24.0, "driver": "580.95.05", "compute_capability": "8.9"}
    assert machine()["gpus"] == [named]
    monkeypatch.setattr(machine_module, "gpus", tuple)
    assert "gpus" not in machine()


def test_only_libraries_that_are_installed_are_named() -> None:
    assert "onnxruntime" in libraries()
    assert None not in libraries().values()


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "__file__", str(tmp_path / "a" / "b" / "c" / "machine.py"))
    assert commit() is None
