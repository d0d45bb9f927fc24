"""A Llama model of random weights in a GGUF file, and the same model in plain numpy, to compare with."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F32, Q4_1, Q8_0 = 0, 3, 8
WORDS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    *"abcdefghijklmnopqrstuvwxyz0123456789.?,!",
    "Ġ",
    "Ċ",
    "Ġa",
    "yz",
)
"""The first three are marks. Ġ and Ċ are GPT-2's names of the space and the line's end."""
MERGES = ("Ġ a", "y z")
WIDTH, HEADS, KV_HEADS, FED, LAYERS = 64, 4, 2, 96, 2
BASE, EPSILON = 10_000.0, 1e-5


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def typed(value: Any) -> bytes:
    """A field's type and value."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    first = typed(value[0])
    return struct.pack("<I", 9) + first[:4] + struct.pack("<Q", len(value)) + b"".join(typed(v)[4:] for v in value)


def q8_0(weights: Array) -> bytes:
    blocks = weights.reshape(-1, 32)
    scales = (np.abs(blocks).max(-1) / 127).astype(np.float16)
    steps = np.rint(blocks / scales.astype(np.float32)[:, None]).astype(np.int8)
    return b"".join(s.tobytes() + q.tobytes() for s, q in zip(scales, steps, strict=True))


def q4_1(weights: Array) -> bytes:
    blocks = weights.reshape(-1, 32)
    least = blocks.min(-1).astype(np.float16)
    scales = ((blocks.max(-1) - least) / 15).astype(np.float16)
    steps = np.clip(np.rint((blocks - least[:, None]) / scales[:, None]), 0, 15).astype(np.uint8)
    packed = steps[:, :16] | steps[:, 16:] << 4
    return b"".join(s.tobytes() + m.tobytes() + q.tobytes() for s, m, q in zip(scales, least, packed, strict=True))


def from_q8_0(raw: bytes) -> Array:
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, 34)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return np.asarray(scales * blocks[:, 2:].view(np.int8))


def from_q4_1(raw: bytes) -> Array:
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, 20)
    halves = blocks[:, :4].copy().view(np.float16).astype(np.float32)
    return np.asarray(halves[:, :1] * np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], 1) + halves[:, 1:])


KINDS = {F32: lambda weights: weights.tobytes(), Q4_1: q4_1, Q8_0: q8_0}


@dataclass
class Tiny:
    """Weights as they are in the file."""

    head: bool = False
    """It has a head of its own."""
    kind: int = Q4_1
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Other than the usual ones."""
    weights: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(7)

        def matrix(rows: int, columns: int) -> Array:
            return draw.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

        kv = KV_HEADS * WIDTH // HEADS
        self.weights["token_embd.weight"] = matrix(len(WORDS), WIDTH) * 4
        for n in range(LAYERS):
            shapes = {"q": (WIDTH, WIDTH), "k": (kv, WIDTH), "v": (kv, WIDTH), "output": (WIDTH, WIDTH)}
            for name, shape in shapes.items():
                self.weights[f"blk.{n}.attn_{name}.weight"] = matrix(*shape)
            for name, shape in {"gate": (FED, WIDTH), "up": (FED, WIDTH), "down": (WIDTH, FED)}.items():
                self.weights[f"blk.{n}.ffn_{name}.weight"] = matrix(*shape)
            for name in ("attn_norm", "ffn_norm"):
                self.weights[f"blk.{n}.{name}.weight"] = draw.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        self.weights["output_norm.weight"] = draw.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        if self.head:
            self.weights["output.weight"] = matrix(len(WORDS), WIDTH) * 4
        for name, values in self.weights.items():
            if (kind := self._kind_of(name)) != F32:
                rounded = (from_q8_0 if kind == Q8_0 else from_q4_1)(KINDS[kind](values))
                self.weights[name] = rounded.reshape(values.shape)

    def _kind_of(self, name: str) -> int:
        return F32 if self.weights[name].ndim == 1 else Q8_0 if name.startswith("token") else self.kind

    def save(self, path: Path) -> Path:
        fields: dict[str, Any] = {
            "general.architecture": "llama",
            "llama.block_count": LAYERS,
            "llama.attention.head_count": HEADS,
            "llama.attention.head_count_kv": KV_HEADS,
            "llama.embedding_length": WIDTH,
            "llama.rope.freq_base": BASE,
            "llama.attention.layer_norm_rms_epsilon": EPSILON,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": list(WORDS),
            "tokenizer.ggml.token_type": [3, 3, 3, *[1] * (len(WORDS) - 3)],
            "tokenizer.ggml.merges": list(MERGES),
            **self.fields,
        }
        about, data = [], b""
        for name, values in self.weights.items():
            kind = self._kind_of(name)
            raw = KINDS[kind](values)
            shape = struct.pack(f"<I{values.ndim}Q", values.ndim, *values.shape[::-1])
            about.append(text(name) + shape + struct.pack("<IQ", kind, len(data)))
            data += raw + bytes(-len(raw) % 32)
        head = b"GGUF" + struct.pack("<IQQ", 3, len(about), len(fields))
        head += b"".join(text(name) + typed(value) for name, value in fields.items()) + b"".join(about)
        path.write_bytes(head + bytes(-len(head) % 32) + data)
        return path

    def logits(self, tokens: Sequence[int]) -> Array:
        """Behind the last token."""
        x = self.weights["token_embd.weight"][list(tokens)]
        for n in range(LAYERS):
            x = x + self._attended(n, self._normed(x, f"blk.{n}.attn_norm.weight"))
            x = x + self._fed(n, self._normed(x, f"blk.{n}.ffn_norm.weight"))
        head = self.weights.get("output.weight", self.weights["token_embd.weight"])
        logits: Array = (self._normed(x[-1:], "output_norm.weight") @ head.T)[0]
        return logits

    def _normed(self, x: Array, weight: str) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * self.weights[weight])

    def _attended(self, n: int, x: Array) -> Array:
        wide = WIDTH // HEADS
        q, k, v = (x @ self.weights[f"blk.{n}.attn_{part}.weight"].T for part in "qkv")
        q, k, v = (part.reshape(len(x), -1, wide).transpose(1, 0, 2) for part in (q, k, v))
        q, k = _rotated(q), _rotated(k)
        k, v = (part.repeat(HEADS // KV_HEADS, axis=0) for part in (k, v))
        scores = q @ k.transpose(0, 2, 1) * wide**-0.5
        scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (chances / chances.sum(-1, keepdims=True)) @ v
        return np.asarray(mixed.transpose(1, 0, 2).reshape(len(x), -1) @ self.weights[f"blk.{n}.attn_output.weight"].T)

    def _fed(self, n: int, x: Array) -> Array:
        gate, up, down = (self.weights[f"blk.{n}.ffn_{part}.weight"] for part in ("gate", "up", "down"))
        opened = x @ gate.T
        return np.asarray((opened / (1 + np.exp(-opened)) * (x @ up.T)) @ down.T)


def _rotated(x: Array) -> Array:
    """[heads, positions, width], pairs side by side."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    steps = BASE ** -(np.arange(pairs.shape[-2]) / pairs.shape[-2])
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * np.arange(x.shape[1])[:, None] * steps)
    return np.asarray(np.stack([turned.real, turned.imag], -1).reshape(x.shape))
