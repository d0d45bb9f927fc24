"""What runs Kokoro where nobody chose, and what is refused before anything is loaded."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from voxtral_voice.engines import gpu, speaker_backend
from voxtral_voice.errors import EngineError

GB = 1_000_000_000


@pytest.fixture
def with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_backend, "find_spec", lambda _: find_spec("json"))
    monkeypatch.setattr(gpu, "cuda_of_torch", lambda: (13, 0))


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker_backend, "find_spec", lambda _: None)


@pytest.mark.usefixtures("with_torch")
def test_pytorch_on_a_gpu_and_onnx_runtime_on_a_cpu() -> None:
    assert speaker_backend.chosen("", "cuda:1") == "torch"
    assert speaker_backend.chosen("", "cpu") == "onnx"


@pytest.mark.usefixtures("without_torch")
def test_without_pytorch_it_is_onnx_runtime() -> None:
    assert speaker_backend.chosen("", "cuda:0") == "onnx"


@pytest.mark.usefixtures("without_torch")
def test_what_was_asked_for_is_not_replaced() -> None:
    assert speaker_backend.chosen("torch", "cuda:0") == "torch"
    with pytest.raises(EngineError, match=r"PyTorch .*is not installed: run 'make voxtral', or leave the setting out"):
        speaker_backend.require("torch", "cuda:0")


def test_onnx_runtime_needs_to_be_built_for_a_gpu() -> None:
    speaker_backend.require("onnx", "cpu")
    with pytest.raises(EngineError, match=r"The speaker cannot run on cuda:0: this ONNX runtime computes on the CPU"):
        speaker_backend.require("onnx", "cuda:0")


@pytest.mark.usefixtures("with_torch")
def test_pytorch_needs_a_gpu_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker_backend.require("torch", "cpu")
    monkeypatch.setattr(gpu, "look", lambda: gpu.Found((), "there is no NVIDIA GPU"))
    with pytest.raises(EngineError, match="Kokoro should run on cuda:0, and there is no NVIDIA GPU"):
        speaker_backend.require("torch", "cuda:0")
    for free_gb in (2, 1):
        card = gpu.Gpu(0, "NVIDIA Test", 8 * GB, free_gb * GB, "580.95.05", (9, 0), (13, 0))
        monkeypatch.setattr(gpu, "look", lambda card=card: gpu.Found((card,), ""))
        if free_gb == 2:
            speaker_backend.require("torch", "cuda:0")
    with pytest.raises(EngineError, match=r"Kokoro needs 0\.3 GB .* on cuda:0 \(NVIDIA Test\), 1\.0 GB free of 8\.0"):
        speaker_backend.require("torch", "cuda:0")
