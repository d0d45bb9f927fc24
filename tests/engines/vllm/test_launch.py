from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from voxtral_voice.engines.vllm import launch
from voxtral_voice.errors import EngineError

VLLM = Path("/opt/vllm")


def flags(serve: launch.Serve) -> dict[str, str]:
    """Those with a value."""
    return {name: value for name, value in pairwise(serve.argv) if name.startswith("--") and not value.startswith("--")}


def test_mini_hears_one_sound_and_calls_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    serve = launch.mini(VLLM, Path("/m"), device="cuda:1", max_tokens=8192, memory_share=0.45, quantization="fp8")
    assert serve.argv[:3] == ("/opt/vllm", "serve", "/m")
    assert flags(serve) == {
        "--served-model-name": "voxtral-mini",
        "--tokenizer-mode": "mistral",
        "--config-format": "mistral",
        "--load-format": "mistral",
        "--max-model-len": "8192",
        "--max-num-seqs": "8",
        "--gpu-memory-utilization": "0.450",
        "--quantization": "fp8",
        "--uvicorn-log-level": "warning",
        "--limit-mm-per-prompt": '{"audio": 1}',
        "--tool-call-parser": "mistral",
    }
    assert "--enable-auto-tool-choice" in serve.argv
    assert (serve.environment, serve.model) == ({"CUDA_VISIBLE_DEVICES": "1"}, "voxtral-mini")


def test_realtime_has_graphs_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    serve = launch.realtime(
        VLLM, Path("/m"), device="cuda:0", max_tokens=16384, memory_share=0.9, tokenizer=Path("/t"), extra=("--x", "1")
    )
    found = flags(serve)
    assert json.loads(found["--compilation-config"]) == {"cudagraph_mode": "PIECEWISE"}
    assert (found["--tokenizer"], found["--max-num-seqs"], "--quantization" in found) == ("/t", "16", False)
    assert serve.argv[-2:] == ("--x", "1")
    assert serve.environment == {"VLLM_DISABLE_COMPILE_CACHE": "1", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [
        ("cuda", "", {"CUDA_VISIBLE_DEVICES": "0"}),
        ("cuda:1", "2,3", {"CUDA_VISIBLE_DEVICES": "3"}),
        ("cuda:0", "GPU-1f, GPU-2e", {"CUDA_VISIBLE_DEVICES": "GPU-1f"}),
        ("cpu", "0", {}),
    ],
)
def test_it_sees_one_gpu_of_those_that_we_may(
    device: str, visible: str, seen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    serve = launch.mini(VLLM, Path("/m"), device=device, max_tokens=1, memory_share=0.5)
    assert serve.environment == seen
    assert ("--gpu-memory-utilization" in serve.argv) == (device != "cpu")


# --- the delay ----------------------------------------------------------------------------------------------------


def checkpoint(folder: Path, delay_ms: float) -> Path:
    folder.mkdir()
    (folder / "tekken.json").write_text(json.dumps({"vocab": ["ü"], "audio": {"transcription_delay_ms": delay_ms}}))
    return folder


def test_another_delay_is_another_tokenizer(tmp_path: Path) -> None:
    made = launch.with_delay(checkpoint(tmp_path / "model", 480.0), 240, tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b"
    assert json.loads((made / "tekken.json").read_text()) == {
        "vocab": ["ü"],
        "audio": {"transcription_delay_ms": 240.0},
    }
    assert [file.name for file in made.iterdir()] == ["tekken.json"]


def test_the_same_delay_needs_none(tmp_path: Path) -> None:
    assert launch.with_delay(checkpoint(tmp_path / "model", 480.0), 480, tmp_path / "other") is None
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"audio": 1}'])
def test_a_file_that_is_no_tokenizer(text: str, tmp_path: Path) -> None:
    (tmp_path / "tekken.json").write_text(text)
    with pytest.raises(EngineError, match="is no tokenizer of Voxtral Realtime"):
        launch.with_delay(tmp_path, 240, tmp_path / "other")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"tekken\.json cannot be used \(No such file or directory\)"):
        launch.with_delay(tmp_path, 240, tmp_path / "other")


# --- the program --------------------------------------------------------------------------------------------------


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_where_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "repository" / ".venv"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "repository" / ".venv" / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert launch.find("") is None
    on_path = program(tmp_path / "path" / "vllm")
    assert launch.find("") == on_path
    beside = program(tmp_path / "repository" / ".venv" / "bin" / "vllm")
    assert launch.find("") == beside
    made = program(tmp_path / "repository" / "build" / "vllm" / "bin" / "vllm")
    assert launch.find("") == made


def test_a_program_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    mine = program(tmp_path / "mine")
    assert launch.find(str(mine)) == mine
    assert launch.find("mine") == mine
    mine.chmod(0o644)
    assert launch.find(str(mine)) is None
    assert launch.find("mine") is None
    assert launch.find("/nowhere/vllm") is None
