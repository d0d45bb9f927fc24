"""The graph written anew computes what the file computes, in fewer and other operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from voxtral_voice.engines.kokoro_graph import STRETCH_BYTES, rewritten

CHANNELS, SIGNAL = 8, 400
Floats = npt.NDArray[np.float32]
Nodes = list[onnx.NodeProto]


def floats(*shape: int) -> Floats:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def conv(inputs: list[str], to: str, taps: int, pad: int = 0, stride: int = 1, dilation: int = 1) -> onnx.NodeProto:
    return helper.make_node(
        "Conv",
        inputs,
        [to],
        group=1,
        kernel_shape=[taps],
        pads=[pad, pad],
        strides=[stride],
        dilations=[dilation],
    )


def norm(x: str, to: str) -> Nodes:
    """Adaptive instance normalisation as PyTorch exports it."""
    node = helper.make_node
    return [
        node("ReduceMean", [x, "last"], [f"{to}_mean"]),
        node("Sub", [x, f"{to}_mean"], [f"{to}_sub"]),
        node("Mul", [f"{to}_sub", f"{to}_sub"], [f"{to}_square"]),
        node("ReduceMean", [f"{to}_square", "last"], [f"{to}_variance"]),
        node("Add", [f"{to}_variance", "epsilon"], [f"{to}_safe"]),
        node("Sqrt", [f"{to}_safe"], [f"{to}_root"]),
        node("Div", [f"{to}_sub", f"{to}_root"], [f"{to}_div"]),
        node("Mul", ["gamma", f"{to}_div"], [f"{to}_scaled"]),
        node("Add", [f"{to}_scaled", "beta"], [to]),
    ]


def snake(x: str, to: str) -> Nodes:
    node = helper.make_node
    return [
        node("Mul", ["alpha", x], [f"{to}_phase"]),
        node("Sin", [f"{to}_phase"], [f"{to}_sin"]),
        node("Pow", [f"{to}_sin", "two"], [f"{to}_power"]),
        node("Mul", ["reciprocal", f"{to}_power"], [f"{to}_wave"]),
        node("Add", [x, f"{to}_wave"], [to]),
    ]


def decoder() -> onnx.ModelProto:
    """Everything that Kokoro's has, once: the signal's spectrum, strided, wide and dilated convolutions, normalisation
    with a wave and without, what is added, joined, stretched and reflected."""
    node = helper.make_node
    constants: dict[str, npt.NDArray[Any]] = {
        "last": np.array([2]),
        "epsilon": np.array(1e-5, np.float32),
        "two": np.array(2, np.float32),
        "half": np.array(0.5, np.float32),
        "alpha": np.linspace(0.1, 2, CHANNELS, dtype=np.float32).reshape(1, -1, 1),
        "gamma": 1 + floats(1, CHANNELS, 1) / 4,
        "beta": floats(1, CHANNELS, 1),
        "step": np.array(5),
        "window": np.hanning(20).astype(np.float32),
        "size": np.array(20),
        "flat": np.array([1, 22, -1]),
        "w_strided": floats(CHANNELS, 22, 4) / 8,
        "w_wide": floats(CHANNELS, CHANNELS, 7) / 8,
        "w_dilated": floats(CHANNELS, CHANNELS, 3) / 4,
        "w_point": floats(CHANNELS, CHANNELS, 1) / 4,
        "w_one": floats(1, 2 * CHANNELS, 3) / 4,
        "w_up": floats(CHANNELS, CHANNELS, 4) / 4,
        "bias": floats(CHANNELS) / 10,
        "pads": np.array([0, 0, 1, 0, 0, 0]),
    }
    constants["reciprocal"] = (1 / constants["alpha"]).astype(np.float32)
    nodes = [
        node("STFT", ["signal", "step", "window", "size"], ["spectrum"], onesided=1),
        node("Reshape", ["spectrum", "flat"], ["bins"]),
        conv(["bins", "w_strided", "bias"], "x", 4, pad=1, stride=2),
        *norm("x", "normal"),
        *snake("normal", "waved"),
        conv(["waved", "w_wide", "bias"], "wide", 7, pad=9, dilation=3),
        *norm("wide", "again"),
        node("LeakyRelu", ["again"], ["relu"], alpha=0.2),
        conv(["relu", "w_dilated", "bias"], "dilated", 3, pad=2, dilation=2),
        node("Add", ["dilated", "x"], ["sum"]),
        node("Mul", ["sum", "half"], ["smaller"]),
        node("ConvTranspose", ["smaller", "w_up", "bias"], ["up"], pads=[1, 1], strides=[2], kernel_shape=[4]),
        node("Pad", ["up", "pads"], ["reflected"], mode="reflect"),
        *snake("reflected", "bent"),
        conv(["bent", "w_point"], "point", 1),
        node("Concat", ["point", "reflected"], ["both"], axis=1),
        conv(["both", "w_one"], "one", 3, pad=1),
        node("Tanh", ["one"], ["sound"]),
    ]
    signal = helper.make_tensor_value_info("signal", TensorProto.FLOAT, [1, "samples"])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("sound", "both")]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "decoder", [signal], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    folder: Path = tmp_path_factory.mktemp("quantised")
    onnx.save(decoder(), folder / "plain.onnx")
    quantize_dynamic(folder / "plain.onnx", folder / "int8.onnx", per_channel=False)
    return onnx.load(folder / "int8.onnx")


def run(model: onnx.ModelProto, samples: int = SIGNAL) -> tuple[Floats, Floats]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sound, both = session.run(None, {"signal": floats(1, samples)})
    return sound, both


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("samples", [60, SIGNAL, 20_000])
def test_the_same_within_a_rounding(quantised: onnx.ModelProto, signed: bool, samples: int) -> None:
    """As near to the floats as the file is: a value at the edge of a step of 8 bits may fall to the other side."""
    made = run(rewritten(quantised, signed=signed), samples)
    for exact, before, after in zip(run(decoder(), samples), run(quantised, samples), made, strict=True):
        assert after.shape == before.shape
        assert np.abs(after - exact).mean() < 1.3 * np.abs(before - exact).mean() + 0.01
        assert np.abs(after - before).mean() < 0.02 * np.abs(exact).max()


def test_long_sound_is_done_in_stretches(quantised: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(rewritten(quantised, signed=False))
    monkeypatch.setattr("voxtral_voice.engines.kokoro_graph.STRETCH_BYTES", STRETCH_BYTES // 2000)
    in_stretches = run(rewritten(quantised, signed=False))
    for one, other in zip(whole, in_stretches, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_slow_is_gone(quantised: onnx.ModelProto) -> None:
    made = rewritten(quantised, signed=True)
    onnx.checker.check_model(made)
    found = [node.op_type for node in made.graph.node]
    assert not {"STFT", "Sin", "Pow", "Sqrt", "ReduceMean", "ConvTranspose"} & set(found)
    assert found.count("ConvInteger") == 1, "the one with a single channel, for which a matrix is no gain"
    assert found.count("Scan") == 1
    assert not any(tensor.name == "w_wide_quantized" for tensor in made.graph.initializer)
    weights = {tensor.name: tensor for tensor in made.graph.initializer if tensor.name.endswith("_matrix")}
    assert {tensor.data_type for name, tensor in weights.items() if "quantized" in name} == {TensorProto.INT8}


def test_a_real_bin_that_is_negative_has_the_angle_pi(quantised: onnx.ModelProto) -> None:
    """Its imaginary part is nought, but never below."""
    model = onnx.ModelProto()
    model.CopyFrom(quantised)
    model.graph.output.append(helper.make_tensor_value_info("spectrum", TensorProto.FLOAT, None))
    made = rewritten(model, signed=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (spectrum,) = session.run(["spectrum"], {"signal": floats(1, SIGNAL)})
    real, imaginary = spectrum[0, :, [0, -1], 0], spectrum[0, :, [0, -1], 1]
    assert (real < 0).any()
    assert np.arctan2(imaginary, real)[real < 0] == pytest.approx(np.pi)


def test_a_graph_of_another_kind_is_said(quantised: onnx.ModelProto) -> None:
    node = helper.make_node("Tanh", ["signal"], ["sound"])
    graph = helper.make_graph([node], "other", list(quantised.graph.input), [quantised.graph.output[0]])
    with pytest.raises(ValueError, match="nothing in it is known"):
        rewritten(helper.make_model(graph), signed=True)


def test_a_wave_that_is_none_is_said(quantised: onnx.ModelProto) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(quantised)
    alpha = next(tensor for tensor in other.graph.initializer if tensor.name == "alpha")
    alpha.CopyFrom(numpy_helper.from_array(np.zeros((1, CHANNELS, 1), np.float32), "alpha"))
    with pytest.raises(ValueError, match="a Snake without a wave"):
        rewritten(other, signed=True)


@pytest.mark.models
def test_kokoro_speaks_as_before(model_files: Callable[[str], Path]) -> None:
    model = onnx.load(model_files("kokoro-v1.0-int8.onnx"))
    frames = "/encoder/Clip_output_0"
    model.graph.output.append(helper.make_tensor_value_info(frames, TensorProto.FLOAT, None))
    style = np.fromfile(model_files("voices/af_heart.bin"), "<f4").reshape(510, 1, 256)[8]
    tokens = np.array([[0, 50, 47, 54, 156, 31, 16, 35, 57, 0]], np.int64)
    feeds = {"tokens": tokens, "style": style, "speed": np.ones(1, np.float32)}
    heard: list[list[Floats]] = []
    for each in (model, rewritten(model, signed=True)):
        session = onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"])
        heard.append(session.run(["audio", frames], feeds))
    np.testing.assert_array_equal(heard[0][1], heard[1][1])
    bands = [_bands_db(audio) for audio, _ in heard]
    loud = bands[0] > bands[0].max() - 40
    assert np.abs(bands[0] - bands[1])[loud].mean() < 1.5


def _bands_db(audio: Floats) -> Floats:
    """Levels of 16 bands in stretches of 50 ms."""
    power = np.abs(np.fft.rfft(audio[: audio.size // 1200 * 1200].reshape(-1, 1200)))[:, :512] ** 2
    levels: Floats = 10 * np.log10(power.reshape(len(power), 16, 32).sum(axis=2) + 1e-9)
    return levels
