"""An ONNX model of 8-bit integers as one of floats, which runs where integers do not: on a GPU.

Knows: the operators that dynamic quantisation writes (DynamicQuantizeLinear, ConvInteger, MatMulInteger and
DynamicQuantizeLSTM; onnxruntime.quantization), and that the weights are constants. Does not know: which model it is.

Weights keep the values that they were rounded to; inputs are not rounded any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Weights = npt.NDArray[np.float32]

LSTM_ATTRIBUTES: Final = ("direction", "hidden_size", "input_forget")
_FLOAT_OF: Final = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}


def dequantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A new model. Raises ValueError for a graph that is quantised in another way."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _Rewriter(made.graph).rewrite()
    return made


class _Rewriter:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._maker = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)
        self._new: dict[str, Weights] = {}
        """Initialisers by name: two operators may share one."""

    def rewrite(self) -> None:
        nodes: list[onnx.NodeProto] = []
        replaced: dict[str, onnx.NodeProto] = {}
        for node in self._graph.node:
            if node.op_type in _FLOAT_OF:
                made = self._float(node)
                replaced[made.output[0]] = made
        for node in self._graph.node:
            if node.op_type == "DynamicQuantizeLSTM":
                nodes.append(self._lstm(node))
            elif node.output and node.output[0] in replaced:
                nodes.append(replaced[node.output[0]])
            else:
                nodes.append(node)
        outputs = [output.name for output in self._graph.output]
        kept = _reached(nodes, outputs)
        del self._graph.node[:]
        self._graph.node.extend(kept)
        self._keep_constants({name for node in kept for name in node.input} | set(outputs))

    def _float(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The operator on floats, in the place of the last of the chain that gives its result back as floats:
        [+ bias as integers] -> Cast -> * scale."""
        quantised = self._maker[node.input[0]]
        _require(quantised.op_type == "DynamicQuantizeLinear", f"{node.op_type} on {quantised.op_type}")
        (after,) = self._users[node.output[0]]
        inputs = [quantised.input[0]]
        bias: str | None = None
        if after.op_type == "Add":
            bias = self._bias(next(name for name in after.input if name != node.output[0]))
            (after,) = self._users[after.output[0]]
        _require(after.op_type == "Cast", f"{node.op_type} before {after.op_type}")
        (scaled,) = self._users[after.output[0]]
        scales = self._maker[next(name for name in scaled.input if name != after.output[0])]
        _require(scales.op_type == "Mul", f"a scale from {scales.op_type}")
        scale = next(name for name in scales.input if name in self._constants)
        inputs += [self._weights(node.input[1], scale, node.input[3]), *([bias] if bias else [])]
        made = helper.make_node(_FLOAT_OF[node.op_type], inputs, list(scaled.output), name=node.name)
        made.attribute.extend(node.attribute)
        return made

    def _bias(self, name: str) -> str:
        """The floats that were made integers on the way: Reshape(Cast(Floor(bias / scale)))."""
        node = self._maker[name]
        for op_type in ("Reshape", "Cast", "Floor"):
            _require(node.op_type == op_type, f"a bias through {node.op_type}")
            node = self._maker[node.input[0]]
        _require(node.op_type == "Div" and node.input[0] in self._constants, "a bias that is no constant")
        return str(node.input[0])

    def _lstm(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Inputs: X, W, R, B, lengths, first h, first c, P, then scale and zero point of W and of R. Its weights are
        stored [directions, inputs, outputs], and the float one's the other way round."""
        weights = [self._lstm_weights(node.input[i], node.input[j], node.input[j + 1]) for i, j in ((1, 8), (2, 10))]
        made = helper.make_node("LSTM", [node.input[0], *weights, *node.input[3:8]], list(node.output), name=node.name)
        made.attribute.extend(attribute for attribute in node.attribute if attribute.name in LSTM_ATTRIBUTES)
        return made

    def _lstm_weights(self, name: str, scale: str, zero: str) -> str:
        made = f"{name}_float"
        directions = self._array(name)
        zeros, scales = (self._array(part).reshape(len(directions), 1, -1) for part in (zero, scale))
        self._new[made] = np.ascontiguousarray(((directions - zeros) * scales).transpose(0, 2, 1), dtype=np.float32)
        return made

    def _weights(self, name: str, scale: str, zero: str) -> str:
        made = f"{name}_float"
        self._new[made] = ((self._array(name) - self._array(zero)) * self._array(scale)).astype(np.float32)
        return made

    def _array(self, name: str) -> Weights:
        _require(name in self._constants, f"{name} is no constant")
        return numpy_helper.to_array(self._constants[name]).astype(np.float32)

    def _keep_constants(self, used: set[str]) -> None:
        old = [tensor for tensor in self._graph.initializer if tensor.name in used]
        made = [numpy_helper.from_array(array, name) for name, array in self._new.items()]
        del self._graph.initializer[:]
        self._graph.initializer.extend([*old, *made])
        del self._graph.value_info[:]


def _reached(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Those that the outputs need, in their order. Nodes stand behind what they take."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _require(fits: bool, found: str) -> None:
    if not fits:
        raise ValueError(f"The model is not quantised as it should be: {found}.")
