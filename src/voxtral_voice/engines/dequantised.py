"""An ONNX model of 8-bit integers as one of floats, which runs where integers do not: on a GPU.

Knows: the operators that dynamic quantisation writes (DynamicQuantizeLinear, ConvInteger, MatMulInteger and
DynamicQuantizeLSTM; onnxruntime.quantization), and that the weights are constants. Does not know: which model it is.

Weights keep the values that they were rounded to; inputs are not rounded any more.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from voxtral_voice.engines.onnx_patterns import Graph, QuantisedProduct, quantised_product, reached, taken

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
        self._proto = graph
        self._graph = Graph(graph)
        self._new: dict[str, Weights] = {}
        """Initialisers by name: two operators may share one."""

    def rewrite(self) -> None:
        nodes: list[onnx.NodeProto] = []
        products = (quantised_product(self._graph, node) for node in self._graph.nodes)
        replaced = {product.output: self._float(product) for product in products if product}
        for node in self._graph.nodes:
            if node.op_type == "DynamicQuantizeLSTM":
                nodes.append(self._lstm(node))
            else:
                nodes.append(replaced.get(node.output[0], node) if node.output else node)
        kept = reached(nodes, self._graph.outputs)
        del self._proto.node[:]
        self._proto.node.extend(kept)
        self._keep_constants({name for node in kept for name in taken(node)} | set(self._graph.outputs))

    def _float(self, product: QuantisedProduct) -> onnx.NodeProto:
        """The operator on floats, in the place of the last of the chain that gives its result back as floats."""
        weights = self._weights(product.weights, product.scale, product.zero)
        inputs = [product.input, weights, *([product.bias] if product.bias else [])]
        made = helper.make_node(_FLOAT_OF[product.node.op_type], inputs, [product.output], name=product.node.name)
        made.attribute.extend(product.node.attribute)
        return made

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
        return self._graph.constant(name).astype(np.float32)

    def _keep_constants(self, used: set[str]) -> None:
        old = [tensor for tensor in self._proto.initializer if tensor.name in used]
        made = [numpy_helper.from_array(array, name) for name, array in self._new.items()]
        del self._proto.initializer[:]
        self._proto.initializer.extend([*old, *made])
        del self._proto.value_info[:]
