"""A Llama model in a GGUF file -> a graph for ONNX runtime, its embeddings and its tokenizer.

Knows: the Llama architecture (Touvron et al. 2023) in GGUF's names (ggml's gguf.md), ONNX runtime's contributed
operators. Does not know: prompts, sampling, sessions.

Weights come out in 8 bits, in blocks of 32 with a scale each, which ONNX runtime multiplies with the widest integer
instructions that the processor has, found out when it runs. The file's 4 bits fit into them nearly without loss.

Of each run the graph gives the logits behind the last position. Its keys and values stay in buffers of the caller's:
`past.*` and `present.*` are bound to the same memory, so that nothing is copied.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from voxtral_voice.engines.gguf_file import BLOCK, ZERO, Blocks, Floats, GgufFile
from voxtral_voice.errors import EngineError

OURS: Final = "com.microsoft"
OPSET: Final = 21
IR_VERSION: Final = 10
CONTROL: Final = 3
"""Type of the tokens that are marks, in the file."""


@dataclass(frozen=True, slots=True)
class Shape:
    layers: int
    heads: int
    kv_heads: int
    width: int
    context: int
    """Most tokens."""

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Embeddings:
    table: Blocks

    def of(self, tokens: list[int]) -> Floats:
        """[1, n, width]."""
        rows = self.table.steps[tokens].astype(np.float32) - ZERO
        return (rows * self.table.scales[tokens][..., None]).reshape(1, len(tokens), -1)


@dataclass(frozen=True, slots=True)
class Llama:
    graph: bytes
    shape: Shape
    embeddings: Embeddings
    tokenizer: Tokenizer


def read(path: Path, context: int) -> Llama:
    """Raises EngineError when the file is not such a model."""
    try:
        with closing(GgufFile(path)) as file:
            return _llama(file, context)
    except (ValueError, KeyError, OSError) as error:
        raise EngineError(
            "responder", f"{path} cannot be read as a Llama model ({error}); run: voxtral-voice models verify"
        ) from error


def _llama(file: GgufFile, context: int) -> Llama:
    shape = Shape(
        layers=file.fields["llama.block_count"],
        heads=file.fields["llama.attention.head_count"],
        kv_heads=file.fields["llama.attention.head_count_kv"],
        width=file.fields["llama.embedding_length"],
        context=context,
    )
    table = file.blocks("token_embd.weight")
    graph = _Graph(file, shape).serialized(table)
    return Llama(graph, shape, Embeddings(table), _tokenizer(file))


@dataclass(slots=True)
class _Graph:
    """The stream of the residuals is `x` plus, when there is one, `delta`: the norms add them up."""

    file: GgufFile
    shape: Shape
    x: str = "x"
    delta: str | None = None
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def serialized(self, head: Blocks) -> bytes:
        """head: the embeddings, which also give the logits unless the file has a head of its own."""
        self._rotation()
        for layer in range(self.shape.layers):
            self._attention(layer)
            self._feed_forward(layer)
        if "output.weight" in self.file:
            head = self.file.blocks("output.weight")
        self._logits(head)
        graph = helper.make_graph(self.nodes, "llama", self._inputs(), self._outputs(head.rows), self.weights)
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(OURS, 1)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _add(self, name: str, values: npt.NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, kind: str, inputs: list[str], outputs: list[str], domain: str = OURS, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def _rotation(self) -> None:
        """RoPE (Su et al. 2021): angles by position."""
        width = self.shape.head_width
        base = float(self.file.fields["llama.rope.freq_base"])
        steps = 1 / base ** (np.arange(0, width, 2) / width)
        angles = np.arange(self.shape.context)[:, None] * steps
        self._add("cos", np.cos(angles).astype(np.float32))
        self._add("sin", np.sin(angles).astype(np.float32))

    def _norm(self, output: str, weight: str) -> str:
        """RMS norm of the stream."""
        self._add(weight, self.file.floats(weight))
        epsilon = float(self.file.fields["llama.attention.layer_norm_rms_epsilon"])
        if self.delta is None:
            return self._node("SimplifiedLayerNormalization", [self.x, weight], [output], "", epsilon=epsilon, axis=-1)
        inputs, total = [self.x, self.delta, weight], f"{output}.sum"
        self._node("SkipSimplifiedLayerNormalization", inputs, [output, "", "", total], epsilon=epsilon)
        self.x, self.delta = total, None
        return output

    def _times(self, x: str, output: str, weights: Blocks) -> str:
        """accuracy_level 4: the activations in 8 bits too."""
        inputs = [x, self._add(f"{output}.q", weights.steps), self._add(f"{output}.s", weights.scales.reshape(-1))]
        n, k = weights.rows, weights.columns
        return self._node("MatMulNBits", inputs, [output], N=n, K=k, bits=8, block_size=BLOCK, accuracy_level=4)

    def _attention(self, layer: int) -> None:
        """GGUF has the rows of queries and keys in the order of interleaved rotation."""
        shape, at = self.shape, f"blk.{layer}."
        normed = self._norm(f"{at}normed", f"{at}attn_norm.weight")
        qkv = self._times(normed, f"{at}qkv", self.file.blocks(*(f"{at}attn_{part}.weight" for part in "qkv")))
        inputs = [qkv, "", "", f"past.{layer}.k", f"past.{layer}.v", "last", "total", "cos", "sin"]
        heads = {"num_heads": shape.heads, "kv_num_heads": shape.kv_heads, "scale": shape.head_width**-0.5}
        outputs = [f"{at}attended", f"present.{layer}.k", f"present.{layer}.v"]
        attended = self._node("GroupQueryAttention", inputs, outputs, do_rotary=1, rotary_interleaved=1, **heads)
        self.delta = self._times(attended, f"{at}mixed", self.file.blocks(f"{at}attn_output.weight"))

    def _feed_forward(self, layer: int) -> None:
        """SwiGLU (Shazeer 2020)."""
        at = f"blk.{layer}."
        normed = self._norm(f"{at}normed2", f"{at}ffn_norm.weight")
        both = self._times(normed, f"{at}both", self.file.blocks(f"{at}ffn_gate.weight", f"{at}ffn_up.weight"))
        gate = self._node("Split", [both], [f"{at}gate", f"{at}up"], "", axis=-1, num_outputs=2)
        silu = self._node("QuickGelu", [gate], [f"{at}silu"], alpha=1.0)
        hidden = self._node("Mul", [silu, f"{at}up"], [f"{at}hidden"], "")
        self.delta = self._times(hidden, f"{at}fed", self.file.blocks(f"{at}ffn_down.weight"))

    def _logits(self, head: Blocks) -> None:
        """Behind the last position alone."""
        assert self.delta is not None
        for name, value in (("from", -1), ("to", np.iinfo(np.int64).max), ("axis", 1)):
            self._add(name, np.array([value], np.int64))
        self.x = self._node("Slice", [self.x, "from", "to", "axis"], ["last.x"], "")
        self.delta = self._node("Slice", [self.delta, "from", "to", "axis"], ["last.delta"], "")
        self._times(self._norm("normed", "output_norm.weight"), "logits", head)

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "new", self.shape.width]),
            helper.make_tensor_value_info("last", TensorProto.INT32, [1]),
            helper.make_tensor_value_info("total", TensorProto.INT32, []),
            *self._memory("past"),
        ]

    def _outputs(self, tokens: int) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, tokens]), *self._memory("present")]

    def _memory(self, when: str) -> list[onnx.ValueInfoProto]:
        shape = [1, self.shape.kv_heads, self.shape.context, self.shape.head_width]
        names = [f"{when}.{layer}.{part}" for layer in range(self.shape.layers) for part in "kv"]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]


def _tokenizer(file: GgufFile) -> Tokenizer:
    """SmolLM's: byte pairs (Sennrich et al. 2016) over GPT-2's bytes, digits one by one. Another is a ValueError."""
    kind, variant = file.fields["tokenizer.ggml.model"], file.fields["tokenizer.ggml.pre"]
    if (kind, variant) != ("gpt2", "smollm"):
        raise ValueError(f"its tokenizer is {kind}, {variant}")
    tokens, types = file.fields["tokenizer.ggml.tokens"], file.fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ", 1)) for pair in file.fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_of])
    tokenizer.decoder = decoders.ByteLevel()
    marks = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return tokenizer
