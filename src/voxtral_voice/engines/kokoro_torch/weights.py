"""The weights of Kokoro out of the catalogue's ONNX file, so that a GPU needs no second one.

Knows: how the export named and laid out what PyTorch calls otherwise. Does not know: the network's mathematics.

The file holds 8-bit weights and says what each stands for; they are the published weights rounded to 8 bits, and here
they become floats again (`dequantised`). Operators without a name of their own for their weights are known by the
module whose name they carry ("/decoder/decoder/encode/conv1/Conv_quant").
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor

from voxtral_voice.engines.dequantised import dequantised
from voxtral_voice.engines.kokoro_torch.network import Kokoro, Shape
from voxtral_voice.engines.placement import index
from voxtral_voice.engines.voice_styles import read_file
from voxtral_voice.errors import EngineError

Weights = npt.NDArray[np.float32]

_NAMES: Final = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"/", "."),
        (r"^\.?(encoder|decoder(?=\.decoder))\.", ""),
        (r"^(F0|N|shared|F0_proj|N_proj)\b", r"predictor.\1"),
        (r"bert\.embeddings\.", "bert."),
        (r"bert\.encoder\.(albert_layer_groups\.0\.albert_layers\.0\.)?", "bert."),
        (r"bert\.(attention|ffn|ffn_output|full_layer_layer_norm)\b", r"bert.layer.\1"),
        (r"text_encoder\.cnn\.(\d)\.(cnn\.\d\.)?0\b", r"text_encoder.cnn.\1.conv"),
        (r"text_encoder\.cnn\.(\d)\.1\b", r"text_encoder.cnn.\1.norm"),
        (r"\bgamma$", "weight"),
        (r"\bbeta$", "bias"),
        (r"(asr_res)\.(asr_res\.)?0\b", r"\1"),
        (r"duration_proj\.linear_layer", "duration_proj"),
    )
)
"""(Of the file, ours), one after the other."""
_STORED: Final = re.compile(r"(bias|gamma|beta|(LayerNorm|layer_norm)\.weight|alpha[12]\.\d)$")
"""What the file stores under its own name, as it is."""
_NOT_OURS: Final = re.compile(r"/albert_layers\.0/.*_\d+/|/istft/")
_GATES: Final = (0, 2, 3, 1)
"""Of an LSTM: ONNX has input, output, forget, cell; PyTorch input, forget, cell, output."""


def require_device(device: str) -> None:
    """Raises EngineError."""
    number = index(device)
    if number is not None and number >= torch.cuda.device_count():
        raise EngineError(
            "speaker",
            f"The speaker was to run on {device}, but torch finds {torch.cuda.device_count() or 'no'} CUDA "
            f"{'device' if torch.cuda.device_count() == 1 else 'devices'} here.",
        )


def load(path: Path, device: str) -> Kokoro:
    """Raises EngineError naming the file."""
    try:
        model = onnx.load_model_from_string(read_file(path))
        state = {name: torch.from_numpy(array) for name, array in weights(model)}
        return network(Shape(), state, device)
    except (DecodeError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["?"])[0][:200]
        raise EngineError("speaker", f"{path} is not a usable model ({reason}): fetch it again.") from error


def network(shape: Shape, state: Mapping[str, Tensor], device: str) -> Kokoro:
    """Ready to run. Raises RuntimeError when a weight is missing, or too much, or of another size."""
    made = Kokoro(shape)
    made.load_state_dict(state)
    ready: Kokoro = made.requires_grad_(False).eval().to(device)
    return ready


def weights(model: onnx.ModelProto) -> Iterator[tuple[str, Weights]]:
    """By their names in `Kokoro`. Raises ValueError and KeyError for a file of another make."""
    graph = dequantised(model).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}

    def array(name: str) -> Weights:
        return numpy_helper.to_array(constants[name]).astype(np.float32)

    for name in constants:
        if _STORED.search(name):
            yield ours(name), array(name)
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            table: str = makers[node.input[0]].input[0]
            yield ours(table.removesuffix("_quantized")), _floats(array(table), *map(array, node.input[1:]))
        elif _is_ours(node, constants):
            module, inputs = ours(node.name.rpartition("/")[0]), [array(name) for name in node.input[1:4] if name]
            for name, found in _of(node.op_type, inputs):
                yield f"{module}.{name}", found


def _floats(table: Weights, scale: Weights, zero: Weights) -> Weights:
    floats: Weights = ((table - zero) * scale).astype(np.float32)
    return floats


def ours(name: str) -> str:
    """What a thing of the file is called in `Kokoro`."""
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name)
    return name


def _is_ours(node: onnx.NodeProto, constants: Container[str]) -> bool:
    """It has weights that are trained, and is not one of PL-BERT's later layers, which have those of the first."""
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "LSTM") or node.input[1] not in constants:
        return False
    return not _NOT_OURS.search(node.name)


def _of(op_type: str, inputs: list[Weights]) -> Iterator[tuple[str, Weights]]:
    """inputs: the operator's weights, and biases where it has them as an input."""
    if op_type == "LSTM":
        yield from _lstm(*inputs)
    else:
        yield "weight", np.ascontiguousarray(inputs[0].T) if op_type == "MatMul" else inputs[0]


def _lstm(inner: Weights, recurrent: Weights, biases: Weights) -> Iterator[tuple[str, Weights]]:
    """[directions, 4 * width, inputs], [directions, 4 * width, width], [directions, 2 * 4 * width]."""
    for direction, suffix in enumerate(("", "_reverse")):
        before, after = np.split(biases[direction], 2)
        yield f"weight_ih_l0{suffix}", _reordered(inner[direction])
        yield f"weight_hh_l0{suffix}", _reordered(recurrent[direction])
        yield f"bias_ih_l0{suffix}", _reordered(before)
        yield f"bias_hh_l0{suffix}", _reordered(after)


def _reordered(gates: Weights) -> Weights:
    """Of all four gates, one after the other."""
    parts = np.split(gates, len(_GATES))
    return np.concatenate([parts[gate] for gate in _GATES])
