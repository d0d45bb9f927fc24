"""Reads a GGUF file, version 2 or 3 (ggml's docs/gguf.md): its fields, and weights in 8 bits.

Knows: the file's layout, the blocks of Q4_1 and Q8_0. Does not know: what the weights are for.

The `gguf` package reads them too, in 2.6 CPU seconds where this takes 0.2: a start waits for it.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BLOCK: Final = 32
"""Weights that share a scale."""
ZERO: Final = 128
"""The byte that stands for 0."""
ALIGNMENT: Final = 32
NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Kinds of fields, as `struct` calls them."""
STRING, ARRAY = 8, 9
F32, Q4_1, Q8_0 = 0, 3, 8
BYTES: Final = {F32: 4 * BLOCK, Q4_1: 20, Q8_0: 34}
"""Of 32 weights."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix in 8 bits: weight = (step - 128) * scale."""

    steps: Bytes
    """[rows, blocks, 32]"""
    scales: Floats
    """[rows, blocks]"""

    @property
    def rows(self) -> int:
        return len(self.steps)

    @property
    def columns(self) -> int:
        return BLOCK * int(self.steps.shape[1])


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: int
    shape: tuple[int, ...]
    """The rows first."""
    start: int


class GgufFile:
    """Close it when it is read; what was taken from it stays."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for another file or a damaged one, OSError."""
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read()
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            self.close()
            raise ValueError(f"it is damaged ({error})") from error
        except ValueError:
            self.close()
            raise

    def _read(self) -> None:
        cursor = _Cursor(self._data)
        if cursor.take(4) != b"GGUF" or cursor.number("I") not in (2, 3):
            raise ValueError("it is not a GGUF file of version 2 or 3")
        tensors, fields = cursor.number("Q"), cursor.number("Q")
        self.fields = {cursor.string(): cursor.value(cursor.number("I")) for _ in range(fields)}
        found = [self._tensor(cursor) for _ in range(tensors)]
        aligned = self.fields.get("general.alignment", ALIGNMENT)
        self._begin = math.ceil(cursor.at / aligned) * aligned
        self._tensors = dict(found)

    @staticmethod
    def _tensor(cursor: _Cursor) -> tuple[str, _Tensor]:
        name, dimensions = cursor.string(), cursor.number("I")
        shape = tuple(cursor.number("Q") for _ in range(dimensions))[::-1]
        return name, _Tensor(cursor.number("I"), shape, cursor.number("Q"))

    def close(self) -> None:
        self._data.close()

    def __contains__(self, tensor: str) -> bool:
        return tensor in self._tensors

    def floats(self, name: str) -> Floats:
        """Of a tensor that is not quantized. Raises KeyError, ValueError."""
        tensor = self._tensors[name]
        if tensor.kind != F32:
            raise ValueError(f"{name} is of kind {tensor.kind}, not F32")
        return self._raw(tensor).view(np.float32).reshape(tensor.shape)

    def blocks(self, *names: str) -> Blocks:
        """Of matrices that are quantized, one below the other. Raises KeyError, ValueError."""
        parts = [self._blocks(name) for name in names]
        if len(parts) == 1:
            return parts[0]
        return Blocks(np.concatenate([p.steps for p in parts]), np.concatenate([p.scales for p in parts]))

    def _blocks(self, name: str) -> Blocks:
        tensor = self._tensors[name]
        convert = _CONVERSIONS.get(tensor.kind)
        if convert is None:
            raise ValueError(f"{name} is of kind {tensor.kind}, not Q4_1 or Q8_0")
        rows, columns = tensor.shape
        return convert(self._raw(tensor).reshape(rows, columns // BLOCK, BYTES[tensor.kind]))

    def _raw(self, tensor: _Tensor) -> Bytes:
        """A copy. Raises ValueError when the file ends before."""
        start = self._begin + tensor.start
        length = math.prod(tensor.shape) // BLOCK * BYTES[tensor.kind]
        return np.frombuffer(self._data[start : start + length], np.uint8, length)


class _Cursor:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self._data[self.at - count : self.at]

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))
        return value

    def string(self) -> str:
        return self.take(self.number("Q")).decode()

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.number(NUMBERS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in NUMBERS:
            letters = f"<{count}{NUMBERS[inner]}"
            return list(struct.unpack(letters, self.take(struct.calcsize(letters))))
        return [self.value(inner) for _ in range(count)]


def _from_q8_0(raw: Bytes) -> Blocks:
    """A half as the scale, 32 signed bytes. Exact."""
    scales = raw[..., :2].copy().view(np.float16)[..., 0].astype(np.float32)
    return Blocks(raw[..., 2:] ^ np.uint8(ZERO), scales)


def _from_q4_1(raw: Bytes) -> Blocks:
    """Two halves, d and m, and 32 times 4 bits: d * bits + m. Each block has 16 levels, which are rounded to bytes."""
    halves = raw[..., :4].copy().view(np.float16).astype(np.float32)
    levels = halves[..., :1] * np.arange(16, dtype=np.float32) + halves[..., 1:]
    scales = np.abs(levels[..., [0, 15]]).max(-1) / 127
    scales[scales == 0] = 1
    steps = (np.rint(levels / scales[..., None]) + ZERO).astype(np.uint8)
    packed = raw[..., 4:]
    bits = np.concatenate([packed & 15, packed >> 4], axis=-1)
    return Blocks(np.take_along_axis(steps, bits, axis=-1), scales)


_CONVERSIONS: Final[dict[int, Callable[[Bytes], Blocks]]] = {Q4_1: _from_q4_1, Q8_0: _from_q8_0}
