"""Durations that keep to the speed that was asked for.

Knows: how Kokoro, and its student, round the length of each token to frames of 25 ms. Does not know: anything else of
their graphs.

Both round each token by itself, and a phrase has many short ones: at 1.25 it came out 10 % too long, at 1.5 10 % too
short. Here the running sum is rounded instead: a token begins where the sum before it says, to the nearest frame. No
token is shorter than a frame, and what that adds to a fast phrase is taken from the longer ones.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from voxtral_voice.engines.onnx_patterns import Graph, require

SPEED: Final = "speed"
FITTING_STEPS: Final = 8
_MADE: Final = "even_speed"
_ONE: Final = f"{_MADE}/one"
_AXIS: Final = f"{_MADE}/axis"
_FITTED: Final = f"{_MADE}/fitted"


def with_even_speed(model: onnx.ModelProto, frames: str) -> onnx.ModelProto:
    """A new model whose input `speed` has one value per token. frames: the value [1, tokens] that is at least one frame
    per token. Raises ValueError for a graph that is made in another way."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph(made.graph)
    least = graph.maker.get(frames)
    rounded = graph.maker.get(least.input[0]) if least is not None and least.op_type == "Clip" else None
    require(rounded is not None and rounded.op_type == "Round", "durations that are not rounded")
    assert rounded is not None
    divided = graph.maker[rounded.input[0]]
    require(divided.op_type == "Div" and divided.input[1] == SPEED, "durations that no speed divides")
    at = graph.nodes.index(rounded)
    fitted = [*_fitted(divided.input[0], divided.output[0]), *_running(_FITTED, rounded.output[0])]
    nodes = [*graph.nodes[:at], *fitted, *graph.nodes[at + 1 :]]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(
        (numpy_helper.from_array(np.array(1, np.float32), _ONE), numpy_helper.from_array(np.array(-1), _AXIS))
    )
    _per_token(made.graph)
    return made


def speeds(tokens: int, speed: float) -> npt.NDArray[np.float32]:
    """What such a model is fed. The silence at both ends stays as it is: sound grows into a longer one, and what
    is near a shorter one is swallowed."""
    each = np.full(tokens, speed, np.float32)
    each[[0, -1]] = 1.0
    return each


def _fitted(natural: str, divided: str) -> list[onnx.NodeProto]:
    """Frames of each token, at least one, with the sum of those at natural speed, divided. A few steps come near it."""
    nodes = [
        helper.make_node("Max", [natural, _ONE], [f"{_MADE}/natural"]),
        helper.make_node("Div", [f"{_MADE}/natural", SPEED], [f"{_MADE}/wanted_each"]),
        helper.make_node("ReduceSum", [f"{_MADE}/wanted_each"], [f"{_MADE}/wanted"], keepdims=0),
    ]
    for step in range(FITTING_STEPS):
        long, total, ratio, next_ = (f"{_MADE}/{name}_{step}" for name in ("long", "total", "ratio", "divided"))
        nodes += [
            helper.make_node("Max", [divided, _ONE], [long]),
            helper.make_node("ReduceSum", [long], [total], keepdims=0),
            helper.make_node("Div", [f"{_MADE}/wanted", total], [ratio]),
            helper.make_node("Mul", [long, ratio], [next_]),
        ]
        divided = next_
    return [*nodes, helper.make_node("Max", [divided, _ONE], [_FITTED])]


def _running(long: str, result: str) -> list[onnx.NodeProto]:
    """Round(sum to its end) - Round(sum to its beginning)."""
    ends, starts = f"{_MADE}/ends", f"{_MADE}/starts"
    return [
        helper.make_node("CumSum", [long, _AXIS], [ends]),
        helper.make_node("CumSum", [long, _AXIS], [starts], exclusive=1),
        helper.make_node("Round", [ends], [f"{ends}_rounded"]),
        helper.make_node("Round", [starts], [f"{starts}_rounded"]),
        helper.make_node("Sub", [f"{ends}_rounded", f"{starts}_rounded"], [result]),
    ]


def _per_token(graph: onnx.GraphProto) -> None:
    (speed,) = (value for value in graph.input if value.name == SPEED)
    (size,) = speed.type.tensor_type.shape.dim
    size.Clear()
    size.dim_param = "tokens"
