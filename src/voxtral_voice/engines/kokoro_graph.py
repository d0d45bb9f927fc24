"""Kokoro's ONNX file, written anew for a CPU: the same sums, in an order that this machine is fast at.

Knows: that steps before channels ("rows": [steps, channels], one row per step) suit a matrix product, and which ONNX
operators do in one pass what the file does in six. Does not know: files, sessions, sound.

The file spends three quarters of its time in ConvInteger, which ONNX runtime computes without the processor's 8-bit
products. Here

- a convolution is a product of the rows gathered around each step with a matrix of signed 8-bit weights, which ONNX
  runtime lays out once. The integers are the file's own, and so are the sums; only the bias is not rounded;
- adaptive instance normalisation is one pass (BatchNormalization, whose statistics are inputs), its mean and variance
  two products with a row of ones;
- Snake, x + sin(ax)^2 / a, is p - cos(p) with p = 2ax, which the normalisation gives at no cost;
- a transposed convolution of twice as many taps as its stride is one product too: each stretch takes two rows.

Where signed weights would overflow (AVX2 without 8-bit products adds pairs in 16 bits), unsigned ones stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from voxtral_voice.engines.onnx_patterns import (
    AdaptiveNorm,
    Array,
    Graph,
    QuantisedProduct,
    Snake,
    adaptive_norm,
    attributes,
    quantised_product,
    reached,
    require,
    snake,
    taken,
)

MICROSOFT: Final = "com.microsoft"
LEAST_ALPHA: Final = 1e-6
"""Of Snake, which is divided by it."""
LEAST_CHANNELS: Final = 8
"""Given out by a convolution, from which a matrix product is worth it."""
MANY_TAPS: Final = 5
"""From here on a convolution is done in stretches."""
STRETCH_BYTES: Final = 1_500_000
"""Gathered at once; a core's own cache has 1 or 2 MB."""
_EPSILON: Final = 1e-5
_ELEMENTWISE: Final = ("Add", "Sub", "Mul", "Div")


def rewritten(model: onnx.ModelProto, *, signed: bool) -> onnx.ModelProto:
    """A new model with the same inputs and outputs. signed: of the weights. Raises ValueError for a graph that is made
    in another way."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _Writer(made.graph, signed).write()
    if all(opset.domain != MICROSOFT for opset in made.opset_import):
        made.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return made


@dataclass(frozen=True, slots=True)
class _Statistics:
    """Of one normalisation: names of 1-D values, one number per channel."""

    rows: str
    scale: str
    shift: str
    mean: str
    variance: str
    epsilon: float


class _Writer:
    def __init__(self, graph: onnx.GraphProto, signed: bool) -> None:
        self._proto = graph
        self._graph = Graph(graph)
        self._signed = signed
        self._written: list[onnx.NodeProto] = []
        self._new: dict[str, Array] = {}
        self._rows: dict[str, str] = {}
        """A value [1, channels, steps] of the file -> its rows."""
        self._channels: set[str] = set()
        """Those of them that are there as in the file, too."""
        self._steps: dict[str, str] = {}
        """Rows -> how many, an int64 scalar; the same name where they are as many."""
        self._norms: dict[str, _Statistics] = {}
        self._made: dict[tuple[str, ...], str] = {}
        """What is made once and needed again."""
        self._named = 0

    def write(self) -> None:
        groups = self._groups()
        require(bool(groups), "nothing in it is known")
        for node in self._graph.nodes:
            if node.output and node.output[0] in groups:
                groups[node.output[0]]()
            elif not self._in_rows(node):
                self._as_it_was(node)
        for name in self._graph.outputs:
            self._in_channels(name)
        kept = reached(self._written, self._graph.outputs)
        del self._proto.node[:]
        self._proto.node.extend(kept)
        self._keep_constants({name for node in kept for name in taken(node)})

    def _groups(self) -> dict[str, Callable[[], None]]:
        """The last value of each group -> what writes the group."""
        found: dict[str, Callable[[], None]] = {}
        for node in self._graph.nodes:
            if (conv := quantised_product(self._graph, node)) and self._is_rows_product(conv):
                found[conv.output] = partial(self._conv, conv)
            elif norm := adaptive_norm(self._graph, node):
                found[norm.output] = partial(self._norm, norm)
            elif wave := snake(self._graph, node):
                found[wave.output] = partial(self._snake, wave)
            elif node.op_type == "ConvTranspose" and _is_sub_pixel(node):
                found[node.output[0]] = partial(self._sub_pixel, node)
            elif node.op_type == "STFT":
                found[node.output[0]] = partial(self._spectrum, node)
        return found

    # --- rows and channels

    def _as_rows(self, name: str) -> str:
        if name not in self._rows:
            squeezed = self._add("Squeeze", name, self._constant("zero_axis", np.array([0])))
            self._rows[name] = self._add("Transpose", squeezed, perm=[1, 0])
        return self._rows[name]

    def _in_channels(self, name: str) -> None:
        """The value as in the file, under its own name."""
        if name in self._rows and name not in self._channels:
            turned = self._add("Transpose", self._rows[name], perm=[1, 0])
            axis = self._constant("zero_axis", np.array([0]))
            self._put(helper.make_node("Unsqueeze", [turned, axis], [name]))

    def _as_it_was(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self._in_channels(name)
        self._put(node)

    def _in_rows(self, node: onnx.NodeProto) -> bool:
        """Write a node that does the same to rows. False: it is not one of those."""
        values = [name for name in node.input if not self._graph.is_constant(name)]
        if not values or not any(name in self._rows for name in values):
            return False
        if node.op_type == "LeakyRelu" or (node.op_type in _ELEMENTWISE and self._is_elementwise(node)):
            self._same_steps(node.output[0], self._on_rows(node), self._rows[values[0]])
        elif node.op_type == "Concat" and attributes(node)["axis"] == 1:
            first = next(name for name in values if name in self._rows)
            made = self._add("Concat", *(self._as_rows(name) for name in node.input), axis=1)
            self._same_steps(node.output[0], made, self._rows[first])
        elif node.op_type == "Pad" and attributes(node).get("mode") == b"reflect":
            before, after = (self._graph.constant(node.input[1]).reshape(2, 3)[:, [2, 1]]).tolist()
            pads = self._constant(f"{node.output[0]}_pads", np.array([*before, *after]))
            self._rows[node.output[0]] = self._add("Pad", self._rows[values[0]], pads, mode="reflect")
        else:
            return False
        return True

    def _is_elementwise(self, node: onnx.NodeProto) -> bool:
        return all(
            self._graph.constant(name).size == 1 if self._graph.is_constant(name) else name in self._rows
            for name in node.input
        )

    def _on_rows(self, node: onnx.NodeProto) -> str:
        return self._add(node.op_type, *(self._rows.get(name, name) for name in node.input), **attributes(node))

    def _same_steps(self, name: str, made: str, like: str) -> None:
        """made: the rows of the file's value `name`, as many as `like`."""
        self._rows[name] = made
        self._steps[made] = self._number(like)

    def _number(self, rows: str) -> str:
        if rows not in self._steps:
            shape = self._add("Shape", rows, start=0, end=1)
            self._steps[rows] = self._add("Squeeze", shape, self._constant("zero_axis", np.array([0])))
        return self._steps[rows]

    # --- the groups

    def _norm(self, norm: AdaptiveNorm) -> None:
        rows = self._as_rows(norm.input)
        scale, shift = (self._per_channel(name) for name in (norm.scale, norm.shift))
        mean, variance = self._moments(rows)
        found = _Statistics(rows, scale, shift, mean, variance, norm.epsilon)
        self._norms[norm.output] = found
        made = self._add("BatchNormalization", rows, scale, shift, mean, variance, epsilon=norm.epsilon)
        self._same_steps(norm.output, made, rows)

    def _moments(self, rows: str) -> tuple[str, str]:
        """Mean and variance of each channel."""
        if ("variance", rows) not in self._made:
            average = self._average(self._number(rows))
            mean = self._add("MatMul", average, rows)
            squares = self._add("MatMul", average, self._add("Mul", rows, rows))
            spread = self._add("Sub", squares, self._add("Mul", mean, mean))
            self._made["mean", rows], self._made["variance", rows] = mean, self._add("Relu", spread)
        return self._made["mean", rows], self._made["variance", rows]

    def _average(self, number: str) -> str:
        """As many times 1 / number."""
        if ("average", number) not in self._made:
            size = self._add("Unsqueeze", number, self._constant("zero_axis", np.array([0])))
            ones = self._add("ConstantOfShape", size, value=numpy_helper.from_array(np.ones(1, np.float32)))
            self._made["average", number] = self._add("Div", ones, self._add("Cast", number, to=onnx.TensorProto.FLOAT))
        return self._made["average", number]

    def _per_channel(self, name: str) -> str:
        """[1, channels, 1] -> [channels]."""
        return self._add("Reshape", name, self._constant("flat", np.array([-1])))

    def _snake(self, wave: Snake) -> None:
        alpha, reciprocal = (
            self._graph.constant(name).reshape(-1).astype(np.float32) for name in (wave.alpha, wave.reciprocal)
        )
        require(bool((np.abs(alpha) > LEAST_ALPHA).all()), "a Snake without a wave")
        twice = self._constant(f"{wave.output}_twice_alpha", 2 * alpha)
        half = self._constant(f"{wave.output}_half", reciprocal / 2)
        phase = self._phase(wave.input, twice)
        bent = self._add("Sub", phase, self._add("Cos", phase))
        none = self._constant(f"zeros_{alpha.size}", np.zeros(alpha.size, np.float32))
        one = self._constant(f"ones_{alpha.size}", np.full(alpha.size, 1 - _EPSILON, np.float32))
        made = self._add("BatchNormalization", bent, half, half, none, one, epsilon=_EPSILON)
        self._same_steps(wave.output, made, self._rows[wave.input])

    def _phase(self, name: str, factor: str) -> str:
        """Rows of `name` times a factor per channel, by the normalisation that made them if there is one."""
        norm = self._norms.get(name)
        if norm is None:
            return self._add("Mul", self._as_rows(name), factor)
        scale, shift = (self._add("Mul", part, factor) for part in (norm.scale, norm.shift))
        return self._add("BatchNormalization", norm.rows, scale, shift, norm.mean, norm.variance, epsilon=norm.epsilon)

    def _is_rows_product(self, conv: QuantisedProduct) -> bool:
        if conv.node.op_type != "ConvInteger":
            return False
        found, weights = attributes(conv.node), self._graph.constant(conv.weights)
        return found["group"] == 1 and weights.ndim == 3 and len(weights) >= LEAST_CHANNELS

    def _conv(self, conv: QuantisedProduct) -> None:
        rows, found = self._as_rows(conv.input), _Window.of(conv.node)
        bytes_, scale, zero = self._quantised(rows)
        number = self._number(rows) if found.keeps_steps else self._steps_after(rows, found)
        weights, weights_zero = self._matrix(conv)
        inputs = [weights, scale, conv.scale, zero, weights_zero, *([conv.bias] if conv.bias else [])]
        if found.taps < MANY_TAPS:
            made = self._product(self._gathered(bytes_, zero, number, found), inputs)
        else:
            made = self._in_stretches(self._padded(bytes_, zero, found), inputs, number, found, weights)
        self._rows[conv.output] = made
        self._steps[made] = number

    def _product(self, gathered: str, inputs: Sequence[str]) -> str:
        return self._add("MatMulIntegerToFloat", gathered, *inputs, domain=MICROSOFT)

    def _in_stretches(self, padded: str, inputs: Sequence[str], number: str, window: _Window, weights: str) -> str:
        """The same product, a stretch of rows at a time: what is gathered for one stays in the processor's cache."""
        wide, given = self._new[weights].shape
        outside, self._written = self._written, []
        gathered = self._add("Flatten", self._add("Gather", padded, "taps", axis=0), axis=1)
        product = self._product(gathered, inputs)
        inside, self._written = self._written, outside
        taps = helper.make_tensor_value_info("taps", onnx.TensorProto.INT64, None)
        result = helper.make_tensor_value_info(product, onnx.TensorProto.FLOAT, None)
        body = helper.make_graph(inside, "stretch", [taps], [result])
        stretches = self._stretches(number, window, wide)
        made = self._add("Scan", stretches, body=body, num_scan_inputs=1)
        flat = self._add("Reshape", made, self._constant(f"rows_{given}", np.array([-1, given])))
        end = self._add("Unsqueeze", number, self._constant("zero_axis", np.array([0])))
        return self._add("Slice", flat, self._constant("zero_axis", np.array([0])), end)

    def _stretches(self, number: str, window: _Window, wide: int) -> str:
        """int64 [stretches, rows, taps]: as `_taps`; the last row is repeated until the last stretch is full."""
        key = ("stretches", number, str(window), str(wide))
        if key not in self._made:
            one, wide_ = self._constant("1", np.array(1)), self._constant(f"wide_{wide}", np.array(wide))
            limit = self._constant("stretch_bytes", np.array(STRETCH_BYTES))
            count = self._add("Add", self._add("Div", self._add("Mul", number, wide_), limit), one)
            last = self._add("Sub", number, one)
            rows = self._add("Add", self._add("Div", last, count), one)
            every = self._add("Range", self._constant("0", np.array(0)), self._add("Mul", count, rows), one)
            taps = self._offset(self._add("Min", every, last), window)
            axis = self._constant("zero_axis", np.array([0]))
            sizes = [self._add("Unsqueeze", size, axis) for size in (count, rows)]
            taken = self._constant(f"size_{window.taps}", np.array([window.taps]))
            shape = self._add("Concat", *sizes, taken, axis=0)
            self._made[key] = self._add("Reshape", taps, shape)
        return self._made[key]

    def _quantised(self, rows: str) -> tuple[str, str, str]:
        """8-bit rows, their scale and their zero."""
        names = [self._name("rows_8_bit"), self._name("scale"), self._name("zero")]
        key = ("quantised", rows)
        if key not in self._made:
            self._put(helper.make_node("DynamicQuantizeLinear", [rows], names))
            self._made[key] = " ".join(names)
        bytes_, scale, zero = self._made[key].split(" ")
        return bytes_, scale, zero

    def _steps_after(self, rows: str, window: _Window) -> str:
        """(steps + padding - reach) / stride + 1."""
        taken = self._constant(f"reach_{window}", np.array(sum(window.pads) - window.reach))
        room = self._add("Add", self._number(rows), taken)
        whole = self._add("Div", room, self._constant(f"stride_{window.stride}", np.array(window.stride)))
        return self._add("Add", whole, self._constant("1", np.array(1)))

    def _gathered(self, bytes_: str, zero: str, number: str, window: _Window) -> str:
        """[steps, taps * channels]: what each step of the result is a product of."""
        if window.is_point:
            return bytes_
        taken = self._add("Gather", self._padded(bytes_, zero, window), self._taps(number, window), axis=0)
        return self._add("Flatten", taken, axis=1)

    def _padded(self, bytes_: str, zero: str, window: _Window) -> str:
        before, after = window.pads
        return self._add("Pad", bytes_, self._constant(f"pads_{before}_{after}", np.array([before, 0, after, 0])), zero)

    def _taps(self, number: str, window: _Window) -> str:
        """int64 [steps, taps]: rows of the padded input."""
        key = ("taps", number, str(window))
        if key not in self._made:
            nought, one = (self._constant(f"{value}", np.array(value)) for value in (0, 1))
            self._made[key] = self._offset(self._add("Range", nought, number, one), window)
        return self._made[key]

    def _offset(self, steps: str, window: _Window) -> str:
        """int64 [steps, taps] for some steps of the result."""
        starts = self._add("Mul", steps, self._constant(f"stride_{window.stride}", np.array(window.stride)))
        column = self._add("Unsqueeze", starts, self._constant("last_axis", np.array([-1])))
        offsets = np.arange(window.taps) * window.dilation
        return self._add("Add", column, self._constant(f"offsets_{window.taps}_{window.dilation}", offsets))

    def _matrix(self, conv: QuantisedProduct) -> tuple[str, str]:
        """The weights as [taps * in, out], and their zero."""
        weights, zero = (self._graph.constant(name).astype(np.int16) for name in (conv.weights, conv.zero))
        unsigned = self._graph.constant(conv.weights).dtype == np.uint8
        moved = 128 if self._signed and unsigned else 0
        kind = np.int8 if self._signed or not unsigned else np.uint8
        matrix = (weights - moved).transpose(2, 1, 0).reshape(-1, len(weights)).astype(kind)
        return (
            self._constant(f"{conv.weights}_matrix", matrix),
            self._constant(f"{conv.weights}_matrix_zero", (zero.reshape(()) - moved).astype(kind)),
        )

    def _sub_pixel(self, node: onnx.NodeProto) -> None:
        """Stretch i of the result takes rows i and i - 1."""
        weights = self._graph.constant(node.input[1])
        taken, given, taps = weights.shape
        stride = taps // 2
        halves = weights.reshape(taken, given, 2, stride).transpose(2, 0, 3, 1).reshape(2 * taken, stride * given)
        matrix = self._constant(f"{node.output[0]}_matrix", np.ascontiguousarray(halves))
        bias = np.tile(self._graph.constant(node.input[2]), stride)
        rows = self._as_rows(node.input[0])
        pads = (self._constant(f"pads_{a}_{b}", np.array([a, 0, b, 0])) for a, b in ((0, 1), (1, 0)))
        pairs = self._add("Concat", *(self._add("Pad", rows, pad) for pad in pads), axis=1)
        product = self._add("Gemm", pairs, matrix, self._constant(f"{node.output[0]}_bias", bias))
        stretched = self._add("Reshape", product, self._constant(f"rows_{given}", np.array([-1, given])))
        edge = stride // 2
        bounds = [self._constant(f"axis_{value}", np.array([value])) for value in (edge, -edge, 0)]
        self._rows[node.output[0]] = self._add("Slice", stretched, *bounds)

    def _spectrum(self, node: onnx.NodeProto) -> None:
        """Onesided, of a signal [1, samples]: [1, frames, bins, 2]. The first and the last bin are real; their
        imaginary part is the least positive one: the angle of a negative is pi, as in PyTorch, not by chance -pi."""
        step, window, size = (self._graph.constant(node.input[i]) for i in (1, 2, 3))
        taps, bins = int(size.reshape(())), int(size.reshape(())) // 2 + 1
        angles = 2 * np.pi * np.arange(taps)[:, None] * np.arange(bins)[None] / taps
        waves = np.stack((np.cos(angles), -np.sin(angles)), axis=-1) * window.reshape(-1, 1, 1)
        waves[:, [0, -1], 1] = 0.0
        least = np.zeros((bins, 2), np.float32)
        least[[0, -1], 1] = np.finfo(np.float32).tiny
        signal = self._add("Reshape", node.input[0], self._constant("column", np.array([-1, 1])))
        frame = _Window(taps, int(step.reshape(())), 1, (0, 0))
        taken = self._add("Gather", signal, self._taps(self._steps_after(signal, frame), frame), axis=0)
        matrix = self._constant("waves", waves.reshape(taps, -1).astype(np.float32))
        parts = self._add(
            "Gemm", self._add("Flatten", taken, axis=1), matrix, self._constant("least", least.reshape(-1))
        )
        shape = self._constant("spectrum", np.array([1, -1, bins, 2]))
        self._put(helper.make_node("Reshape", [parts, shape], [node.output[0]]))

    # --- writing

    def _add(self, op_type: str, *inputs: str, domain: str = "", **options: Any) -> str:
        name = self._name(op_type)
        self._put(helper.make_node(op_type, list(inputs), [name], name=name, domain=domain, **options))
        return name

    def _put(self, node: onnx.NodeProto) -> None:
        self._written.append(node)
        self._channels.update(node.output)

    def _name(self, kind: str) -> str:
        self._named += 1
        return f"rewritten/{kind}_{self._named}"

    def _constant(self, name: str, value: Array) -> str:
        """The same name is the same value."""
        made = f"rewritten/{name}"
        self._new[made] = value.astype(np.int64) if value.dtype.kind == "i" and value.dtype != np.int8 else value
        return made

    def _keep_constants(self, used: set[str]) -> None:
        old = [tensor for tensor in self._proto.initializer if tensor.name in used]
        made = [numpy_helper.from_array(array, name) for name, array in self._new.items() if name in used]
        del self._proto.initializer[:]
        self._proto.initializer.extend([*old, *made])
        del self._proto.value_info[:]


@dataclass(frozen=True, slots=True)
class _Window:
    """What a convolution takes around each step."""

    taps: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    @staticmethod
    def of(node: onnx.NodeProto) -> _Window:
        found = attributes(node)
        (taps,), (before, after) = found["kernel_shape"], found["pads"]
        return _Window(taps, found["strides"][0], found["dilations"][0], (before, after))

    @property
    def reach(self) -> int:
        return (self.taps - 1) * self.dilation + 1

    @property
    def is_point(self) -> bool:
        return self == _Window(1, 1, 1, (0, 0))

    @property
    def keeps_steps(self) -> bool:
        return self.stride == 1 and sum(self.pads) == self.reach - 1


def _is_sub_pixel(node: onnx.NodeProto) -> bool:
    """Its taps are twice its stride, and half a stride is cut off at both ends."""
    found = attributes(node)
    (taps,), (stride,) = found["kernel_shape"], found["strides"]
    plain = found.get("group", 1) == 1 and not any(found.get("output_padding", [0])) and len(node.input) == 3
    return plain and taps == 2 * stride and list(found["pads"]) == [stride // 2] * 2 and stride % 2 == 0
