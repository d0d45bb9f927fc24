"""Which engines a mode and a backend make, what they share, and what is refused before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import util
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.weights.voxtral_folder import voxtral_files, write
from voxtral_voice.engines import gpu
from voxtral_voice.engines.placement import Placement
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm.chat import VllmChat
from voxtral_voice.engines.vllm.process import VllmProcess
from voxtral_voice.engines.vllm.realtime import VllmRealtime
from voxtral_voice.engines.vllm.theirs import Theirs
from voxtral_voice.engines.vllm.transcription import VllmTranscriber
from voxtral_voice.engines.voxtral_parts import Model, VoxtralOptions, VoxtralParts, parts, require
from voxtral_voice.errors import EngineError

GB = 1_000_000_000


def a_gpu(index: int = 0, *, free_gb: float = 79, total_gb: float = 80) -> gpu.Gpu:
    return gpu.Gpu(index, "NVIDIA Test", int(total_gb * GB), int(free_gb * GB), "580.95.05", (9, 0), (13, 0))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """These are in the machine."""

    def put(*those: gpu.Gpu) -> None:
        monkeypatch.setattr(gpu, "look", lambda: gpu.Found(those, "" if those else "there is no NVIDIA GPU"))

    put()
    return put


@pytest.fixture
def vllm(tmp_path: Path) -> str:
    """A program of that name; nothing runs it."""
    program = tmp_path / "environment" / "bin" / "vllm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def checkpoints(tmp_path: Path) -> dict[Model, Path]:
    return {
        "mini": write(tmp_path / "mini", voxtral_files("mini", "mistral")),
        "realtime": write(tmp_path / "realtime", voxtral_files("realtime", "mistral")),
    }


def refusal(options: VoxtralOptions) -> str:
    with pytest.raises(EngineError) as raised:
        require(options)
    return str(raised.value)


def argv(parts: VoxtralParts, name: str) -> dict[str, str]:
    """Of a process: flag -> value."""
    process = parts.processes[name]
    assert isinstance(process, VllmProcess)
    words = process._command
    return {word: value for word, value in pairwise(words) if word.startswith("--")}


async def close(parts: VoxtralParts) -> None:
    for process in parts.processes.values():
        await process.aclose()


# --- what has to be here ------------------------------------------------------------------------------------------


def test_models_behind_a_url_need_nothing_here(gpus: Callable[..., None]) -> None:
    require(VoxtralOptions(models=(), vllm=Remote("http://there/v1")))


def test_on_the_cpu_no_gpu_is_needed(gpus: Callable[..., None], vllm: str) -> None:
    require(VoxtralOptions(placement=Placement("cpu", "cpu"), vllm_command=vllm))


def test_no_vllm(gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.engines.vllm.launch.find", lambda _: None)
    end = (
        ", which is to run Voxtral: run 'make vllm', name another with --voxtral-vllm-command, use one that runs with "
        "--vllm-url, or do without by --voxtral-backend transformers."
    )
    assert refusal(VoxtralOptions()) == f"There is no vllm{end}"
    assert refusal(VoxtralOptions(vllm_command="/no/vllm")) == f"There is no program /no/vllm{end}"


def test_no_libraries(gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "voxtral_voice.engines.voxtral_parts.find_spec",
        lambda name: None if name in ("torch", "mistral_common") else found(name),
    )
    assert refusal(VoxtralOptions(backend="transformers")) == (
        "Voxtral in this process needs torch, mistral-common: run 'make voxtral', or let vLLM run it ('make vllm')."
    )


def test_no_gpu(gpus: Callable[..., None], vllm: str) -> None:
    assert refusal(VoxtralOptions(vllm_command=vllm)).startswith(
        "Voxtral Realtime and Voxtral Mini should run on cuda:0, and there is no NVIDIA GPU."
    )


def test_too_little_memory_is_told_with_numbers(gpus: Callable[..., None], vllm: str) -> None:
    gpus(a_gpu(free_gb=15.5, total_gb=16))
    said = refusal(VoxtralOptions(vllm_command=vllm))
    assert "Voxtral Realtime needs 8.9 GB + " in said
    assert "14.4 GB free of 16.0" in said  # 0.9 of it
    require(VoxtralOptions(vllm_command=vllm, models=("realtime",)))


def test_a_share_of_the_memory_is_all_that_there_is(gpus: Callable[..., None], vllm: str) -> None:
    gpus(a_gpu())
    require(VoxtralOptions(vllm_command=vllm))
    assert "16.0 GB free of 80.0" in refusal(VoxtralOptions(vllm_command=vllm, memory_share=0.2))


def test_two_models_on_two_gpus(gpus: Callable[..., None], vllm: str) -> None:
    gpus(a_gpu(free_gb=15.9, total_gb=16), a_gpu(1, free_gb=15.9, total_gb=16))
    require(VoxtralOptions(vllm_command=vllm, placement=Placement("cuda:0", "cuda:1")))
    assert "together" in refusal(VoxtralOptions(vllm_command=vllm))


@pytest.mark.voxtral
def test_in_this_process_memory_is_set_aside(gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "cuda_of_torch", lambda: (13, 0))
    gpus(a_gpu(free_gb=23, total_gb=24))
    assert "Voxtral Mini needs 9.4 GB + 4.5 GB KV" in refusal(VoxtralOptions(backend="transformers"))
    require(VoxtralOptions(backend="transformers", models=("mini",), listen="direct"))


def test_a_driver_that_is_too_old_for_the_vllm_that_is_there(gpus: Callable[..., None], vllm: str) -> None:
    gpus(a_gpu())
    torch = Path(vllm).parents[1] / "lib" / "python3.11" / "site-packages" / "torch"
    torch.mkdir(parents=True)
    (torch / "version.py").write_text("cuda: Optional[str] = '14.1'\n")
    assert "runs CUDA up to 13.0, and the libraries here are built for 14.1" in refusal(
        VoxtralOptions(vllm_command=vllm)
    )


def test_a_speaker_where_it_cannot_run() -> None:
    options = VoxtralOptions(models=(), placement=Placement(speaker="cuda:1"))
    assert refusal(options).startswith("The speaker cannot run on cuda:1: ")


def test_a_speaker_in_pytorch_shares_the_gpu(
    gpus: Callable[..., None], vllm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtral_voice.engines.speaker_backend.require", lambda *_: None)
    options = VoxtralOptions(
        vllm_command=vllm, models=("mini",), placement=Placement(speaker="cuda:0"), speaker="torch"
    )
    gpus(a_gpu(free_gb=79))
    require(options)
    gpus(a_gpu(free_gb=12.5))
    assert "Voxtral Mini needs 9.4 GB" in refusal(options)
    assert "and Kokoro needs 0.3 GB" in refusal(options)


def test_a_speaker_behind_a_url_needs_nothing_here() -> None:
    require(VoxtralOptions(models=(), placement=Placement(speaker="cuda:1"), speaker=None))


# --- through vLLM -------------------------------------------------------------------------------------------------


async def test_streaming_is_two_processes_that_share_a_gpu(
    gpus: Callable[..., None], vllm: str, checkpoints: dict[Model, Path], tmp_path: Path
) -> None:
    gpus(a_gpu(free_gb=24, total_gb=24))
    options = VoxtralOptions(vllm_command=vllm, delay_ms=240, quantization="fp8", scratch=tmp_path / "scratch")
    made = parts(options, checkpoints)
    assert list(made.processes) == ["vllm realtime", "vllm mini"]
    hears, answers = argv(made, "vllm realtime"), argv(made, "vllm mini")
    shares = [float(flags["--gpu-memory-utilization"]) for flags in (hears, answers)]
    assert sum(shares) == pytest.approx(0.9, abs=0.001)
    assert shares[1] > shares[0]
    assert hears["--quantization"] == answers["--quantization"] == "fp8"
    assert (hears["--max-model-len"], answers["--max-model-len"]) == ("16384", "8192")
    assert hears["--tokenizer"] == str(tmp_path / "scratch" / "realtime-240ms")
    assert made.transcriber.streams
    assert made.responder is not None
    assert not made.responder.listens
    assert not made.one_by_one
    assert isinstance(made.transcriber, VllmRealtime)
    assert isinstance(made.responder, VllmChat)
    hearing = made.transcriber._sockets
    assert hearing._admission._places == int(hears["--max-num-seqs"])
    assert made.responder._admission._places == int(answers["--max-num-seqs"])
    suspects = [process.suspect for process in made.processes.values() if isinstance(process, VllmProcess)]
    assert suspects == [hearing._suspect, made.responder._suspect]
    assert {process.failing for process in made.processes.values()} == {
        "vllm realtime is not running",
        "vllm mini is not running",
    }
    await close(made)


async def test_each_on_its_own_gpu_has_its_whole_share(
    gpus: Callable[..., None], vllm: str, checkpoints: dict[Model, Path], tmp_path: Path
) -> None:
    gpus(a_gpu(free_gb=24, total_gb=24), a_gpu(1, free_gb=12, total_gb=24))
    options = VoxtralOptions(vllm_command=vllm, placement=Placement("cuda:0", "cuda:1"), scratch=tmp_path)
    made = parts(options, checkpoints)
    shares = [argv(made, name)["--gpu-memory-utilization"] for name in made.processes]
    assert shares == ["0.900", "0.500"]
    await close(made)


@pytest.mark.parametrize(("listen", "listens"), [("direct", True), ("utterance", False)])
async def test_mini_hears_and_answers_in_one_process(
    gpus: Callable[..., None], vllm: str, checkpoints: dict[Model, Path], listen: Any, listens: bool
) -> None:
    gpus(a_gpu())
    made = parts(VoxtralOptions(listen=listen, models=("mini",), vllm_command=vllm), checkpoints)
    assert list(made.processes) == ["vllm mini"]
    assert not made.transcriber.streams
    assert made.responder is not None
    assert made.responder.listens is listens
    assert isinstance(made.responder, VllmChat)
    assert isinstance(made.transcriber, VllmTranscriber)
    assert made.responder._admission is made.transcriber._admission
    assert made.transcriber._admission._places == int(argv(made, "vllm mini")["--max-num-seqs"])
    [process] = made.processes.values()
    assert isinstance(process, VllmProcess)
    assert made.responder._suspect == made.transcriber._suspect == process.suspect
    await close(made)


def test_a_vllm_of_somebody_else_is_not_started() -> None:
    there = VoxtralOptions(listen="direct", models=(), vllm=Remote("http://there/v1"))
    made = parts(there, {})
    assert isinstance(made.processes["vllm mini"], Theirs)
    assert isinstance(made.responder, VllmChat)
    assert isinstance(made.transcriber, VllmTranscriber)
    assert made.responder._admission is made.transcriber._admission
    hears = parts(VoxtralOptions(models=(), vllm=Remote("http://there/v1")), {})
    assert (hears.transcriber.streams, hears.responder) == (True, None)


# --- in this process ----------------------------------------------------------------------------------------------


@pytest.mark.voxtral
@pytest.mark.parametrize(
    ("listen", "models", "streams", "listens"),
    [
        ("streaming", ("realtime", "mini"), True, False),
        ("streaming", ("realtime",), True, None),
        ("direct", ("mini",), False, True),
        ("utterance", ("mini",), False, False),
    ],
)
def test_the_engines_of_this_process(
    tmp_path: Path, listen: Any, models: tuple[Model, ...], streams: bool, listens: bool | None
) -> None:
    options = VoxtralOptions(listen=listen, backend="transformers", models=models, placement=Placement("cpu", "cpu"))
    made = parts(options, {model: tmp_path / model for model in models})
    assert made.transcriber.streams is streams
    assert (made.responder.listens if made.responder else None) is listens
    assert made.one_by_one
    assert made.processes == {}
    names = made.transcriber.name, made.responder.name if made.responder else ""
    assert all("cpu" in name for name in filter(None, names))


def test_the_names_alone_need_no_library() -> None:
    code = (
        "import sys, voxtral_voice.engines.registry, voxtral_voice.models;"
        "sys.exit(bool({'torch', 'transformers', 'pynvml'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
