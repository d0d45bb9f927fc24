"""Which NVIDIA GPUs there are, and whether the models fit on them: known before anything is loaded.

Knows: what NVML says, how large the models are. Does not know: engines, settings; nothing of CUDA is touched here.

GPUs are numbered as `CUDA_VISIBLE_DEVICES` shows them, or all in the order of their bus, which CUDA only takes too when
`CUDA_DEVICE_ORDER` is PCI_BUS_ID.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from voxtral_voice.errors import EngineError

Version = tuple[int, int]
Model = Literal["mini", "realtime"]

OLDEST_CAPABILITY: Final[Version] = (8, 0)
"""Of compute: below it (before Ampere, 2020) a GPU does not compute in bfloat16."""

# --- what there is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    """As torch counts: this one is "cuda:{index}"."""
    name: str
    total_bytes: int
    free_bytes: int
    driver: str
    """ "580.95.05" """
    capability: Version
    """Of compute: (9, 0) is Hopper."""
    cuda: Version
    """The newest that the driver runs."""

    def __str__(self) -> str:
        free, total = self.free_bytes / 1e9, self.total_bytes / 1e9
        return f"cuda:{self.index} {self.name}, {free:.1f} of {total:.1f} GB free"


@dataclass(frozen=True, slots=True)
class Found:
    gpus: tuple[Gpu, ...] = ()
    lacking: str = ""
    """When there are none: why, in words that end a sentence."""


def gpus() -> tuple[Gpu, ...]:
    return look().gpus


def look(environment: Mapping[str, str] = os.environ) -> Found:
    """Asks NVML, which neither starts CUDA nor takes memory of the GPU."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return Found(lacking="the library nvidia-ml-py is not installed ('make voxtral' installs it)")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Found(lacking=_no_driver(nvml, error))
    try:
        return _all(nvml, environment)
    except nvml.NVMLError as error:
        return Found(lacking=f"the NVIDIA driver does not tell of its GPUs ({error})")
    finally:
        nvml.nvmlShutdown()


def _no_driver(nvml: Any, error: Exception) -> str:
    if isinstance(error, nvml.NVMLError_LibraryNotFound | nvml.NVMLError_DriverNotLoaded):
        return "there is no NVIDIA driver on this machine, or none in this container (start it with --gpus all)"
    if isinstance(error, nvml.NVMLError_LibRmVersionMismatch):
        return "the NVIDIA driver was renewed, and the old one still runs: restart the machine"
    return f"the NVIDIA driver cannot be asked ({error})"


def _all(nvml: Any, environment: Mapping[str, str]) -> Found:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    handles = _handles(nvml, visible)
    driver, cuda = str(nvml.nvmlSystemGetDriverVersion()), int(nvml.nvmlSystemGetCudaDriverVersion())
    version = (cuda // 1000, cuda % 1000 // 10)
    found = tuple(_gpu(nvml, index, handle, driver, version) for index, handle in enumerate(handles))
    if found:
        return Found(found)
    hidden = nvml.nvmlDeviceGetCount() > 0
    return Found(lacking=f'CUDA_VISIBLE_DEVICES="{visible}" hides every GPU' if hidden else "there is no NVIDIA GPU")


def _handles(nvml: Any, visible: str | None) -> Iterator[Any]:
    """Of those that CUDA shows: it stops at the first name that it does not know."""
    count = int(nvml.nvmlDeviceGetCount())
    names = [str(index) for index in range(count)] if visible is None else visible.split(",")
    for name in (name.strip() for name in names):
        if name.isdecimal() and int(name) < count:
            yield nvml.nvmlDeviceGetHandleByIndex(int(name))
        elif name.startswith(("GPU-", "MIG-")):
            yield nvml.nvmlDeviceGetHandleByUUID(name)
        else:
            return


def _gpu(nvml: Any, index: int, handle: Any, driver: str, cuda: Version) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    name = str(nvml.nvmlDeviceGetName(handle))
    return Gpu(index, name, int(memory.total), int(memory.free), driver, (int(major), int(minor)), cuda)


# --- what a build of torch needs ----------------------------------------------------------------------------------

NO_CUDA: Final[Version] = (0, 0)


def cuda_of_torch(prefix: Path | None = None) -> Version | None:
    """The CUDA that the torch of a Python environment is built for; NO_CUDA: for none; None: there is no torch.

    Read from its files, without importing it. prefix: of the environment; None: ours.
    """
    for folder in sorted((prefix or Path(sys.prefix)).glob("lib/python3*/site-packages/torch")):
        text = (folder / "version.py").read_text(encoding="utf-8")
        found = re.search(r"^cuda\b.*=\s*'(\d+)\.(\d+)'", text, re.MULTILINE)
        return (int(found[1]), int(found[2])) if found else NO_CUDA
    return None


# --- what the models need -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """Computed from the published configs; numbers of weights as transformers 5.23 counts them."""

    layer_weights: int
    """Of the text model's layers: those that are quantised."""
    other_weights: int
    """Encoder, adapter, embeddings; they stay in bfloat16."""
    token_bytes: int
    """Of the text model's cache, per token: 2 (keys, values) x layers x heads x width x 2 bytes."""
    window_tokens: int
    """The cache never holds more than so many; Mini has no such window."""
    encoder_bytes: int
    """Of a stream's cache in the encoder, at its most; Mini's encoder keeps none."""


SHAPES: Final[Mapping[Model, Shape]] = {
    "mini": Shape(
        layer_weights=3_208_642_560,
        other_weights=1_467_628_544,
        token_bytes=2 * 30 * 8 * 128 * 2,
        window_tokens=131_072,
        encoder_bytes=0,
    ),
    "realtime": Shape(
        layer_weights=3_031_302_144,
        other_weights=1_398_377_216,
        token_bytes=2 * 26 * 8 * 128 * 2,
        window_tokens=8_192,
        encoder_bytes=2 * 32 * 32 * 64 * 2 * 750,
    ),
}
"""In bfloat16 9.35 and 8.86 GB. The model cards say 9.5 GB of GPU memory for Mini 3B, and the file of Realtime 4B has
8.86 GB."""

BYTES_PER_WEIGHT: Final[Mapping[str, float]] = {
    "": 2.0,
    "fp8": 1.0,
    "fp8_per_tensor": 1.0,
    "fp8_per_block": 1.0,
    "fp8_per_channel": 1.0,
    "int8_per_channel_weight_only": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "nvfp4_per_token": 0.5 + 1 / 16,
}
"""By vLLM's name of a quantization, scales of small blocks included; "" is bfloat16."""

UTTERANCE_TOKENS: Final = 750
"""Of a session beside the longest: a minute of Realtime, or a short conversation of Mini."""
WORKING_BYTES: Final = 1_500_000_000
"""Estimated: CUDA itself, activations, CUDA graphs."""


@dataclass(frozen=True, slots=True)
class Need:
    """Of one model on one device."""

    what: str
    """For the sentence: "Voxtral Realtime"."""
    device: str
    """ "cuda:0"; "cpu" needs nothing here."""
    weights_bytes: int
    cache_bytes: int
    working_bytes: int = WORKING_BYTES

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.working_bytes

    def __str__(self) -> str:
        working = f" + {self.working_bytes / 1e9:.1f} GB to work in" if self.working_bytes else ""
        return f"{self.what} needs {self.weights_bytes / 1e9:.1f} GB + {self.cache_bytes / 1e9:.1f} GB KV{working}"


def need(
    model: Model,
    device: str,
    *,
    max_tokens: int,
    sessions: int = 1,
    quantization: str = "",
    set_aside: bool = False,
) -> Need:
    """max_tokens: of the longest session. The others are taken to be short, as in vLLM, which shares its cache; with
    set_aside every session has room for so many, used or not. A quantization that is not in the table is none."""
    shape = SHAPES[model]
    weights = shape.layer_weights * BYTES_PER_WEIGHT.get(quantization, 2.0) + shape.other_weights * 2
    longest = min(max_tokens, shape.window_tokens)
    tokens = longest + (sessions - 1) * (longest if set_aside else min(longest, UTTERANCE_TOKENS))
    what = {"mini": "Voxtral Mini", "realtime": "Voxtral Realtime"}[model]
    return Need(what, device, round(weights), tokens * shape.token_bytes + sessions * shape.encoder_bytes)


def require(needs: Sequence[Need], found: Found | None = None, *, cuda: Version | None = None) -> None:
    """Raises EngineError, with numbers, when these cannot all run here at once. cuda: what the libraries are built for
    (`cuda_of_torch`); None: not known."""
    wanted = [need for need in needs if need.device != "cpu"]
    if not wanted:
        return
    here = look() if found is None else found
    for device in dict.fromkeys(_full(need.device) for need in wanted):
        there = [need for need in wanted if _full(need.device) == device]
        gpu = _named(device, here, there)
        _check_able(gpu, cuda)
        _check_memory(gpu, there)


def _named(device: str, found: Found, needs: Iterable[Need]) -> Gpu:
    what = " and ".join(need.what for need in needs)
    if not found.gpus:
        raise _error(
            f"{what} should run on {device}, and {found.lacking}. Without a GPU, choose --profile embedded, or "
            "--voxtral-backend transformers --device cpu, which is slow."
        )
    index = int(device.partition(":")[2])
    if index >= len(found.gpus):
        known = ", ".join(f"cuda:{gpu.index} ({gpu.name})" for gpu in found.gpus)
        raise _error(f"{what} should run on {device}, and this machine has {known} only: choose another with --device.")
    return found.gpus[index]


def _check_able(gpu: Gpu, cuda: Version | None) -> None:
    name = f"cuda:{gpu.index} ({gpu.name})"
    if gpu.capability < OLDEST_CAPABILITY:
        raise _error(
            f"{name} has compute capability {_dotted(gpu.capability)}, and Voxtral needs {_dotted(OLDEST_CAPABILITY)} "
            "(Ampere, 2020) or newer: choose another with --device."
        )
    if cuda == NO_CUDA:
        raise _error(
            f"torch is installed without CUDA, so {name} cannot be used: install its CUDA build with 'make voxtral'."
        )
    if cuda is not None and gpu.cuda[0] < cuda[0]:
        raise _error(
            f"The NVIDIA driver {gpu.driver} runs CUDA up to {_dotted(gpu.cuda)}, and the libraries here are built for "
            f"{_dotted(cuda)}: install a newer driver."
        )


def _check_memory(gpu: Gpu, needs: Sequence[Need]) -> None:
    total = sum(need.total_bytes for need in needs)
    if total <= gpu.free_bytes:
        return
    together = f", together {total / 1e9:.1f} GB" if len(needs) > 1 else ""
    raise _error(
        f"{' and '.join(map(str, needs))}{together} on cuda:{gpu.index} ({gpu.name}), "
        f"{gpu.free_bytes / 1e9:.1f} GB free of {gpu.total_bytes / 1e9:.1f}: free some, make the weights smaller with "
        "--quantization fp8, or place an engine elsewhere with --device."
    )


def _full(device: str) -> str:
    return "cuda:0" if device == "cuda" else device


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _error(message: str) -> EngineError:
    return EngineError("gpu", message)
