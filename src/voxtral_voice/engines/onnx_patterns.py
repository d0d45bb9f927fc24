"""Groups of ONNX nodes that are one thing: what a quantiser, or an exporter, wrote out in small steps.

Knows: a dynamically quantised convolution (onnxruntime.quantization), adaptive instance normalisation (StyleTTS 2) and
the Snake activation as PyTorch exports them. Does not know: which model it is, what is put in their place.

Every finder returns None for what is not the beginning of its group; none of them changes the graph.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class QuantisedProduct:
    """`output` = Conv(`input`, weights, bias), or MatMul: quantise, ConvInteger [+ bias as integers], Cast, * scale."""

    node: onnx.NodeProto
    """The ConvInteger or MatMulInteger."""
    input: str
    """Floats, before they were quantised."""
    weights: str
    """Constant, 8 bits; of a convolution [out, in / group, taps]."""
    zero: str
    """Constant scalar of the weights' type."""
    scale: str
    """Constant scalar of the weights."""
    bias: str | None
    """Constant floats [out]."""
    output: str


@dataclass(frozen=True, slots=True)
class AdaptiveNorm:
    """`output` = scale * (x - mean(x)) / sqrt(var(x) + epsilon) + shift, over the last axis of x [1, channels, steps].
    scale and shift: [1, channels, 1]."""

    input: str
    scale: str
    shift: str
    epsilon: float
    output: str


@dataclass(frozen=True, slots=True)
class Snake:
    """`output` = x + reciprocal * sin(alpha * x)^2; alpha, reciprocal: constants [1, channels, 1]."""

    input: str
    alpha: str
    reciprocal: str
    output: str


class Graph:
    """What makes and what takes each value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.outputs = [output.name for output in graph.output]
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self.maker = {name: node for node in self.nodes for name in node.output}

    @cached_property
    def _users(self) -> dict[str, list[onnx.NodeProto]]:
        users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                users[name].append(node)
        return users

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def constant(self, name: str) -> Array:
        require(name in self._constants, f"{name} is no constant")
        array: Array = numpy_helper.to_array(self._constants[name])
        return array

    def only_user(self, name: str) -> onnx.NodeProto:
        """Raises ValueError when there are several, or none."""
        users = self._users.get(name, [])
        require(len(users) == 1, f"{name} is taken {len(users)} times")
        return users[0]

    def follow(self, name: str, *op_types: str) -> list[onnx.NodeProto] | None:
        """The nodes that take one another's first output, each as the only one."""
        chain: list[onnx.NodeProto] = []
        for op_type in op_types:
            users = self._users.get(name, [])
            if [node.op_type for node in users] != [op_type] or name in self.outputs:
                return None
            chain += users
            name = users[0].output[0]
        return chain


def other_input(node: onnx.NodeProto, name: str) -> str:
    """Of a node of two inputs."""
    return str(node.input[1] if node.input[0] == name else node.input[0])


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def quantised_product(graph: Graph, node: onnx.NodeProto) -> QuantisedProduct | None:
    """node: its ConvInteger or MatMulInteger. Raises ValueError when it is quantised in another way."""
    if node.op_type not in ("ConvInteger", "MatMulInteger"):
        return None
    quantise = graph.maker[node.input[0]]
    require(quantise.op_type == "DynamicQuantizeLinear", f"{node.op_type} on {quantise.op_type}")
    after, bias = graph.only_user(node.output[0]), None
    if after.op_type == "Add":
        bias = _bias(graph, other_input(after, node.output[0]))
        after = graph.only_user(after.output[0])
    require(after.op_type == "Cast", f"{node.op_type} before {after.op_type}")
    scaled = graph.only_user(after.output[0])
    scales = graph.maker[other_input(scaled, after.output[0])]
    require(scales.op_type == "Mul", f"a scale from {scales.op_type}")
    scale = next(name for name in scales.input if graph.is_constant(name))
    return QuantisedProduct(node, quantise.input[0], node.input[1], node.input[3], scale, bias, scaled.output[0])


def _bias(graph: Graph, name: str) -> str:
    """The floats that were made integers on the way: Reshape(Cast(Floor(bias / scale)))."""
    node = graph.maker[name]
    for op_type in ("Reshape", "Cast", "Floor"):
        require(node.op_type == op_type, f"a bias through {node.op_type}")
        node = graph.maker[node.input[0]]
    require(node.op_type == "Div" and graph.is_constant(node.input[0]), "a bias that is no constant")
    return str(node.input[0])


def adaptive_norm(graph: Graph, node: onnx.NodeProto) -> AdaptiveNorm | None:
    """node: its Div, by the deviation."""
    if node.op_type != "Div" or node.input[0] not in graph.maker or node.input[1] not in graph.maker:
        return None
    centre, root = graph.maker[node.input[0]], graph.maker[node.input[1]]
    if centre.op_type != "Sub" or root.op_type != "Sqrt":
        return None
    add = graph.maker[root.input[0]]
    mean = graph.maker.get(centre.input[1])
    scaled = graph.follow(node.output[0], "Mul", "Add")
    if add.op_type != "Add" or mean is None or mean.op_type != "ReduceMean" or scaled is None:
        return None
    if mean.input[0] != centre.input[0] or not _is_variance(graph, add.input[0], centre.output[0]):
        return None
    times, plus = scaled
    epsilon = float(graph.constant(add.input[1]).reshape(()))
    return AdaptiveNorm(
        centre.input[0],
        other_input(times, node.output[0]),
        other_input(plus, times.output[0]),
        epsilon,
        plus.output[0],
    )


def _is_variance(graph: Graph, name: str, centred: str) -> bool:
    mean = graph.maker.get(name)
    square = graph.maker.get(mean.input[0]) if mean is not None and mean.op_type == "ReduceMean" else None
    return square is not None and square.op_type == "Mul" and list(square.input) == [centred, centred]


def snake(graph: Graph, node: onnx.NodeProto) -> Snake | None:
    """node: its Sin."""
    if node.op_type != "Sin" or node.input[0] not in graph.maker:
        return None
    inner = graph.maker[node.input[0]]
    chain = graph.follow(node.output[0], "Pow", "Mul", "Add")
    if inner.op_type != "Mul" or chain is None:
        return None
    power, scaled, added = chain
    alphas = [name for name in inner.input if graph.is_constant(name)]
    if len(alphas) != 1 or float(graph.constant(power.input[1]).reshape(())) != 2.0:
        return None
    value, reciprocal = other_input(inner, alphas[0]), other_input(scaled, power.output[0])
    if other_input(added, scaled.output[0]) != value or not graph.is_constant(reciprocal):
        return None
    return Snake(value, alphas[0], reciprocal, added.output[0])


def reached(nodes: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    """Those that the outputs need, in their order. Nodes stand behind what they take."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= taken(node)
            kept.append(node)
    return kept[::-1]


def taken(node: onnx.NodeProto) -> set[str]:
    """What it takes, and what a graph inside it takes."""
    inside = (inner for attribute in node.attribute for inner in attribute.g.node)
    return {name for each in (node, *inside) for name in each.input}


def require(fits: bool, found: str) -> None:
    """Raises ValueError."""
    if not fits:
        raise ValueError(f"The model is not quantised as it should be: {found}.")
