"""What dynamic quantisation made of a model is made floats again: the same within its rounding, no integers left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from voxtral_voice.engines.dequantised import dequantised

CHANNELS, STEPS, HIDDEN, WIDTH = 6, 20, 5, 7
INTEGERS = {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"}
Floats = npt.NDArray[np.float32]


def floats(*shape: int) -> Floats:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def plain() -> onnx.ModelProto:
    """A convolution with a bias and one without, an LSTM both ways, a matrix."""
    weights = {
        "conv_w": floats(CHANNELS, CHANNELS, 3),
        "conv_b": floats(CHANNELS),
        "conv2_w": floats(CHANNELS, CHANNELS, 1),
        "lstm_w": floats(2, 4 * HIDDEN, CHANNELS),
        "lstm_r": floats(2, 4 * HIDDEN, HIDDEN),
        "lstm_b": floats(2, 8 * HIDDEN),
        "matrix": floats(HIDDEN, WIDTH),
    }
    nodes = [
        helper.make_node("Conv", ["sound", "conv_w", "conv_b"], ["a"], pads=[1, 1]),
        helper.make_node("Conv", ["a", "conv2_w"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=[2, 0, 1]),
        helper.make_node(
            "LSTM", ["c", "lstm_w", "lstm_r", "lstm_b"], ["d"], direction="bidirectional", hidden_size=HIDDEN
        ),
        helper.make_node("MatMul", ["d", "matrix"], ["out"]),
    ]
    sound = helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, CHANNELS, STEPS])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "plain", [sound], [out], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture(scope="module")
def quantised(plain: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    folder: Path = tmp_path_factory.mktemp("quantised")
    onnx.save(plain, folder / "plain.onnx")
    quantize_dynamic(folder / "plain.onnx", folder / "int8.onnx", per_channel=False)
    return onnx.load(folder / "int8.onnx")


def run(model: onnx.ModelProto) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"sound": floats(1, CHANNELS, STEPS)})
    result: Floats = out
    return result


def test_no_integer_operator_is_left(quantised: onnx.ModelProto) -> None:
    before = {node.op_type for node in quantised.graph.node}
    assert before >= {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"}
    made = dequantised(quantised)
    onnx.checker.check_model(made)
    assert not {node.op_type for node in made.graph.node} & INTEGERS
    assert {node.op_type for node in quantised.graph.node} == before, "the model that was given is as it was"


def test_it_is_what_it_was_before_but_for_rounding(plain: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    exact, rounded, again = run(plain), run(quantised), run(dequantised(quantised))
    assert np.abs(again - exact).mean() < 0.1 * exact.std()
    assert np.abs(again - exact).mean() < np.abs(rounded - exact).mean()


def test_constants_that_nothing_needs_are_gone(quantised: onnx.ModelProto) -> None:
    made = dequantised(quantised).graph
    used = {name for node in made.node for name in node.input}
    assert {tensor.name for tensor in made.initializer} <= used
    assert not any(tensor.data_type == TensorProto.INT8 for tensor in made.initializer)


@pytest.mark.models
def test_kokoro_speaks_as_before(model_files: Callable[[str], Path]) -> None:
    """Its biases were made integers, too."""
    from voxtral_voice.engines.kokoro import _FRAMES_OUTPUT, with_output

    model = onnx.load(model_files("kokoro-v1.0-int8.onnx"))
    style = np.fromfile(model_files("voices/af_heart.bin"), "<f4").reshape(510, 1, 256)[8]
    tokens = np.array([[0, 50, 47, 54, 156, 31, 16, 35, 57, 0]], np.int64)
    feeds = {"tokens": tokens, "style": style, "speed": np.ones(1, np.float32)}
    audio, frames = [], []
    for made in (model, dequantised(model)):
        loaded = with_output(made.SerializeToString(), _FRAMES_OUTPUT)
        session = onnxruntime.InferenceSession(loaded, providers=["CPUExecutionProvider"])
        heard, lengths = session.run(["audio", _FRAMES_OUTPUT], feeds)
        audio.append(heard)
        frames.append(lengths)
    assert np.abs(frames[0] - frames[1]).max() <= 1
    loudness = [np.sqrt(np.mean(np.square(heard))) for heard in audio]
    assert loudness[1] == pytest.approx(loudness[0], rel=0.1)
    assert loudness[0] > 0.005


@pytest.mark.parametrize(
    ("op_type", "instead", "found"),
    [("Cast", "Identity", "before Identity"), ("Mul", "Div", "Div")],
)
def test_another_way_of_quantising_is_said(quantised: onnx.ModelProto, op_type: str, instead: str, found: str) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(quantised)
    for node in other.graph.node:
        if node.op_type == op_type:
            node.op_type = instead
    with pytest.raises(ValueError, match=found):
        dequantised(other)
