"""Who speaks, as a vector: two recordings of one person have nearly the same one, whatever is said.

Knows: the speaker encoder's network and its file. Does not know: voices, what a likeness is used for.

Model: "Generalized End-to-End Loss for Speaker Verification" (Wan et al., 2018), as trained for Resemblyzer 0.1.4:
40 mel bands -> three LSTM layers of 256 -> linear 256, ReLU, unit length; on windows of 1.6 s. The file is a PyTorch
checkpoint of the time before zip files: pickles, then the numbers. Only names of containers are taken from the pickles;
no code in them is run. The network is put together here and runs on one thread: 20 ms for a window.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.log_mel import HOP_SAMPLES, mel_filters, power
from voxtral_voice.errors import EngineError

Float32 = npt.NDArray[np.float32]

SIZE: Final = 256
"""Of an embedding."""
WINDOW_FRAMES: Final = 160
"""1.6 s, as the network was trained."""
STEP_FRAMES: Final = 80
MEL_BANDS: Final = 40
LEVEL_DBFS: Final = -30.0
"""RMS of what the network was trained on; its spectrum is not logarithmic, so that level matters."""
LAYERS: Final = 3
OPSET: Final = 17
IR_VERSION: Final = 8
QUIET_DB: Final = 35.0
"""A 30 ms block that is so far below the loudest tenth is silence."""
KEPT_SILENCE_BLOCKS: Final = 6
"""Of a longer silence so much is left on either side, as in the network's training."""
_NO_CHECKPOINT: Final = (
    pickle.UnpicklingError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
)
"""What reading a file that is none raises."""
_BLOCK_SAMPLES: Final = 30 * LISTEN_RATE_HZ // 1000


class SpeakerEncoder:
    """weights: by their names in the checkpoint."""

    def __init__(self, weights: Mapping[str, Float32]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = _network(weights).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @classmethod
    def load(cls, path: Path) -> SpeakerEncoder:
        """Raises EngineError naming the file."""
        try:
            return cls(_read_checkpoint(path))
        except OSError as error:
            reason = error.strerror or str(error)
        except _NO_CHECKPOINT as error:
            reason = str(error) or type(error).__name__
        raise EngineError("speaker", f"{path} is no usable speaker encoder ({reason}): fetch the models again.")

    def embed(self, speech: Samples) -> Float32:
        """speech: 16 kHz, without long silences. Returns a vector of length 1."""
        return unit(self.windows(speech).mean(axis=0))

    def windows(self, speech: Samples) -> Float32:
        """As `embed`, for each 1.6 s, every 0.8 s: [n, 256], n >= 1. What is shorter is filled up with silence."""
        mel = _mel(_levelled(speech))
        starts = range(0, max(1, len(mel) - WINDOW_FRAMES + 1), STEP_FRAMES)
        return self._run(np.stack([mel[start : start + WINDOW_FRAMES] for start in starts]))

    def _run(self, frames: Float32) -> Float32:
        """[n, 160, 40] -> [n, 256]."""
        (raw,) = self._session.run(None, {"frames": np.ascontiguousarray(frames.swapaxes(0, 1))})
        return unit(raw)


def unit(vectors: Float32) -> Float32:
    """Each scaled to length 1; [..., n]."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return np.asarray(vectors / lengths, np.float32)


def without_silence(audio: Samples) -> Samples:
    """16 kHz. Long silences are cut short."""
    blocks = audio[: audio.size // _BLOCK_SAMPLES * _BLOCK_SAMPLES].reshape(-1, _BLOCK_SAMPLES)
    if not len(blocks):
        return audio
    levels = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    loud = levels > np.quantile(levels, 0.9) * 10 ** (-QUIET_DB / 10)
    kept = np.convolve(loud, np.ones(2 * KEPT_SILENCE_BLOCKS + 1), "same") > 0.5
    return np.ascontiguousarray(blocks[kept].reshape(-1))


# --- the network ------------------------------------------------------------------------------------------------


def _network(weights: Mapping[str, Float32]) -> onnx.ModelProto:
    """frames [160, n, 40] -> raw [n, 256]."""
    nodes, constants, states = [], [numpy_helper.from_array(np.array([1]), "direction")], "frames"
    for number in range(LAYERS):
        constants += _constants(weights, number)
        names = [states, *(f"{kind}{number}" for kind in ("w", "r", "b"))]
        nodes.append(helper.make_node("LSTM", names, [f"all{number}", f"last{number}"], hidden_size=SIZE))
        nodes.append(helper.make_node("Squeeze", [f"all{number}", "direction"], [f"states{number}"]))
        states = f"states{number}"
    nodes[-1] = helper.make_node("Squeeze", [f"last{LAYERS - 1}", "first"], ["state"])
    constants += [numpy_helper.from_array(np.array([0]), "first")]
    constants += [numpy_helper.from_array(weights[f"linear.{name}"], name) for name in ("weight", "bias")]
    nodes.append(helper.make_node("Gemm", ["state", "weight", "bias"], ["linear"], transB=1))
    nodes.append(helper.make_node("Relu", ["linear"], ["raw"]))
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [WINDOW_FRAMES, "n", MEL_BANDS])
    raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["n", SIZE])
    graph = helper.make_graph(nodes, "speaker encoder", [frames], [raw], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _constants(weights: Mapping[str, Float32], number: int) -> list[onnx.TensorProto]:
    """Of one LSTM layer, for one direction. PyTorch has its gates in the order input, forget, cell, output; ONNX has
    input, output, forget, cell."""

    def ordered(name: str) -> Float32:
        write, forget, new, read = np.split(weights[f"lstm.{name}_l{number}"], 4)
        return np.concatenate([write, read, forget, new])

    bias = np.concatenate([ordered("bias_ih"), ordered("bias_hh")])
    arrays = {"w": ordered("weight_ih"), "r": ordered("weight_hh"), "b": bias}
    return [numpy_helper.from_array(array[None], f"{kind}{number}") for kind, array in arrays.items()]


def _levelled(speech: Samples) -> Samples:
    level = np.sqrt(np.mean(np.square(speech, dtype=np.float64)))
    return np.asarray(speech * (10 ** (LEVEL_DBFS / 20) / max(level, 1e-9)), np.float32)


def _mel(speech: Samples) -> Float32:
    """[frames, 40], at least 160 frames."""
    missing = max(0, WINDOW_FRAMES * HOP_SAMPLES - speech.size)
    return (mel_filters(MEL_BANDS) @ power(np.pad(speech, (0, missing)))).T


# --- the file ---------------------------------------------------------------------------------------------------


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]


class _Pickle(pickle.Unpickler):
    """Builds dictionaries and descriptions of tensors; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _describe,
            ("torch", "FloatStorage"): "float32",
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """pid: ("storage", type, key, device, number of elements, view)."""
        return str(pid[2])


def _describe(storage: str, offset: int, shape: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape)


def _read_checkpoint(path: Path) -> dict[str, Float32]:
    """The model's tensors by name. Three pickles of versions, the checkpoint, the keys of the storages in the order of
    the file; then for each its number of elements (int64) and its elements."""
    file = io.BytesIO(path.read_bytes())
    for _ in range(3):
        _Pickle(file).load()
    tensors = _Pickle(file).load()["model_state"]
    storages = {str(key): _read_storage(file) for key in _Pickle(file).load()}
    return {name: _tensor(storages, tensor) for name, tensor in tensors.items()}


def _read_storage(file: io.BytesIO) -> Float32:
    count = int.from_bytes(file.read(8), "little")
    data = file.read(4 * count)
    if len(data) != 4 * count:
        raise ValueError("it ends too soon")
    return np.frombuffer(data, "<f4")


def _tensor(storages: Mapping[str, Float32], tensor: _Tensor) -> Float32:
    size = int(np.prod(tensor.shape))
    values = storages[tensor.storage][tensor.offset : tensor.offset + size].reshape(tensor.shape)
    if not np.isfinite(values).all():
        raise ValueError("values that are no numbers")
    return values
