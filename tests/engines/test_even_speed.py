"""Fast or slow, a phrase lasts as long as was asked; no token is shorter than a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from voxtral_voice.engines.even_speed import speeds, with_even_speed

TOKENS = 60


def predictor(divided: str = "speed") -> onnx.ModelProto:
    """As in Kokoro: natural / speed, rounded, at least 1."""
    nodes = [
        helper.make_node("Div", ["natural", divided], ["divided"]),
        helper.make_node("Round", ["divided"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "one"], ["frames"]),
    ]
    inputs = [
        helper.make_tensor_value_info("natural", TensorProto.FLOAT, [1, "n"]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, "n"])]
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    graph = helper.make_graph(nodes, "predictor", inputs, outputs, [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def natural() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).gamma(2.0, 1.5, (1, TOKENS)).astype(np.float32)


def frames(model: onnx.ModelProto, speed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"natural": natural(), "speed": speed})
    made: npt.NDArray[np.float32] = result[0]
    return made


@pytest.mark.parametrize("speed", [0.5, 0.75, 1.0, 1.25, 1.5, 2.0])
def test_the_sum_is_what_was_asked(speed: float) -> None:
    made = frames(with_even_speed(predictor(), "frames"), np.full(TOKENS, speed, np.float32))
    wanted = np.maximum(natural(), 1).sum() / speed
    assert made.sum() == pytest.approx(wanted, rel=0.03)
    assert made.min() >= 1
    assert (made == np.round(made)).all()


def test_the_file_by_itself_is_off() -> None:
    """Why all this is there."""
    made = frames(predictor(), np.array([2.0], np.float32))
    assert made.sum() > 1.05 * np.maximum(natural(), 1).sum() / 2


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_the_silence_at_the_ends_stays(speed: float) -> None:
    each = speeds(5, speed)
    assert each.dtype == np.float32
    assert each.tolist() == pytest.approx([1, speed, speed, speed, 1])


@pytest.mark.parametrize(("value", "found"), [("divided", "not rounded"), ("none", "not rounded")])
def test_durations_of_another_kind_are_said(value: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        with_even_speed(predictor(), value)


def test_durations_that_no_speed_divides_are_said() -> None:
    with pytest.raises(ValueError, match="no speed divides"):
        with_even_speed(predictor(divided="one"), "frames")
