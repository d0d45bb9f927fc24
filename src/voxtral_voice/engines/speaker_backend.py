"""Which library runs Kokoro where, and what it needs on this machine.

Knows: the choice where nobody made one, libraries, a GPU's memory. Does not know: models, settings' sources.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

from voxtral_voice.engines import gpu
from voxtral_voice.engines.gpu import Need
from voxtral_voice.engines.placement import CPU
from voxtral_voice.errors import EngineError

SpeakerBackend = Literal["onnx", "torch"]

WEIGHTS_BYTES: Final = 4 * 81_140_664
"""In float32."""


def chosen(asked: SpeakerBackend | Literal[""], device: str) -> SpeakerBackend:
    """Where nobody asked: PyTorch on a GPU, as far as it is there. On a CPU ONNX runtime is faster."""
    if asked:
        return asked
    return "torch" if device != CPU and find_spec("torch") is not None else "onnx"


def need(device: str) -> Need:
    """Of PyTorch."""
    return Need("Kokoro", device, WEIGHTS_BYTES, 0)


def require(backend: SpeakerBackend, device: str) -> None:
    """Can it run there? Touches no weights and no network. Raises EngineError."""
    if backend == "onnx":
        from voxtral_voice.engines.kokoro import providers

        providers(device)
    elif find_spec("torch") is None:
        raise EngineError(
            "speaker",
            "The speaker was to run in PyTorch (speaker.backend), which is not installed: run 'make voxtral', or leave "
            "the setting out.",
        )
    else:
        gpu.require([need(device)], cuda=gpu.cuda_of_torch())
