"""Groups of nodes are found as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from voxtral_voice.engines.onnx_patterns import Graph, adaptive_norm, quantised_product, reached, snake, taken

node = helper.make_node


def graph(nodes: list[onnx.NodeProto], constants: Mapping[str, float], *outputs: str) -> Graph:
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs or ("out",)]
    tensors = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    return Graph(helper.make_graph(nodes, "g", [x], made, tensors))


def wave(power: str = "two", value: str = "x") -> list[onnx.NodeProto]:
    return [
        node("Mul", ["alpha", "x"], ["phase"]),
        node("Sin", ["phase"], ["sin"]),
        node("Pow", ["sin", power], ["power"]),
        node("Mul", ["reciprocal", "power"], ["wave"]),
        node("Add", [value, "wave"], ["out"]),
    ]


CONSTANTS = {"alpha": 0.5, "reciprocal": 2.0, "two": 2.0, "three": 3.0}


def test_a_snake() -> None:
    nodes = wave()
    found = snake(graph(nodes, CONSTANTS), nodes[1])
    assert found is not None
    assert (found.input, found.alpha, found.reciprocal, found.output) == ("x", "alpha", "reciprocal", "out")


@pytest.mark.parametrize("nodes", [wave(power="three"), wave(value="sin")])
def test_no_snake(nodes: list[onnx.NodeProto]) -> None:
    assert snake(graph(nodes, CONSTANTS), nodes[1]) is None


def test_no_snake_where_its_middle_is_wanted() -> None:
    nodes = wave()
    assert snake(graph(nodes, CONSTANTS, "out", "power"), nodes[1]) is None


NORM_CONSTANTS = {"epsilon": 0.25, "last": 2.0}


def norm(centre: str = "Sub", square: str = "sub") -> list[onnx.NodeProto]:
    return [
        node("ReduceMean", ["x", "last"], ["mean"]),
        node(centre, ["x", "mean"], ["sub"]),
        node("Mul", ["sub", square], ["square"]),
        node("ReduceMean", ["square", "last"], ["variance"]),
        node("Add", ["variance", "epsilon"], ["safe"]),
        node("Sqrt", ["safe"], ["root"]),
        node("Div", ["sub", "root"], ["div"]),
        node("Mul", ["gamma", "div"], ["scaled"]),
        node("Add", ["scaled", "beta"], ["out"]),
    ]


def test_an_adaptive_norm() -> None:
    nodes = norm()
    found = adaptive_norm(graph(nodes, NORM_CONSTANTS), nodes[6])
    assert found is not None
    assert (found.input, found.scale, found.shift, found.output) == ("x", "gamma", "beta", "out")
    assert found.epsilon == 0.25


@pytest.mark.parametrize("nodes", [norm(centre="Add"), norm(square="x"), norm()[:8]])
def test_no_adaptive_norm(nodes: list[onnx.NodeProto]) -> None:
    found = graph(nodes, NORM_CONSTANTS)
    assert [adaptive_norm(found, each) for each in nodes] == [None] * len(nodes)


def test_a_product_is_none_of_other_operators() -> None:
    nodes = wave()
    assert quantised_product(graph(nodes, CONSTANTS), nodes[0]) is None


def test_a_result_that_is_taken_twice_is_said() -> None:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["product"]),
        node("Cast", ["product"], ["a"], to=TensorProto.FLOAT),
        node("Cast", ["product"], ["out"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(ValueError, match="product is taken 2 times"):
        quantised_product(graph(nodes, {}), nodes[1])


def test_what_a_graph_inside_takes_is_kept() -> None:
    inner = helper.make_graph([node("Add", ["step", "outer"], ["sum"])], "inner", [], [])
    scan = node("Scan", ["x"], ["out"], body=inner, num_scan_inputs=1)
    assert taken(scan) == {"x", "step", "outer"}
    nodes = [node("Neg", ["x"], ["outer"]), node("Neg", ["x"], ["unused"]), scan]
    assert reached(nodes, ["out"]) == [nodes[0], scan]
