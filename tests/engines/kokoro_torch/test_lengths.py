"""A phrase takes as long as its speed says, to the frame, and nothing in it is left out."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from voxtral_voice.engines.even_speed import speeds, with_even_speed
from voxtral_voice.engines.kokoro_torch.lengths import frames

NATURAL = np.random.default_rng(0).gamma(2.0, 1.5, 60).astype(np.float32)


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.25, 1.5, 2.0])
def test_the_whole_is_as_long_as_the_speed_says(speed: float) -> None:
    found = frames(NATURAL, speed)
    wanted = (np.maximum(NATURAL, 1) / speeds(NATURAL.size, speed)).sum()
    assert min(found) >= 1
    assert sum(found) == pytest.approx(wanted, rel=0.02)


def test_at_natural_speed_a_token_begins_where_it_would() -> None:
    begins = np.cumsum(np.maximum(NATURAL, 1))
    assert np.abs(np.cumsum(frames(NATURAL, 1.0)) - begins).max() <= 0.51


def test_what_is_too_short_for_a_frame_has_one() -> None:
    assert frames(NATURAL, 1000.0) == (1,) * NATURAL.size


def test_one_token_is_enough() -> None:
    assert frames(np.array([2.4], np.float32), 1.0) == (2,)


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.6])
def test_the_graph_for_onnx_runtime_has_the_same_rule(speed: float) -> None:
    size = NATURAL.size
    nodes = [
        helper.make_node("Div", ["natural", "speed"], ["divided"]),
        helper.make_node("Round", ["divided"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "least"], ["frames"]),
    ]
    graph = helper.make_graph(
        nodes,
        "durations",
        [
            helper.make_tensor_value_info("natural", TensorProto.FLOAT, [1, size]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor("least", TensorProto.FLOAT, [], [1.0])],
    )
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    model = with_even_speed(plain, "frames")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["frames"], {"natural": NATURAL[None], "speed": speeds(size, speed)})
    assert tuple(found[0].astype(int).tolist()) == frames(NATURAL, speed)
