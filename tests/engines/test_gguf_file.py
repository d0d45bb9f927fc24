"""GGUF files: fields, weights, and what is no such file."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.engines.tiny_llama import F32, Q4_1, Q8_0, WORDS, Tiny, q4_1, q8_0, text, typed
from voxtral_voice.engines.gguf_file import ZERO, Blocks, GgufFile


def opened(blocks: Blocks) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return ((blocks.steps.astype(np.float32) - ZERO) * blocks.scales[..., None]).reshape(blocks.rows, blocks.columns)


def test_fields_of_every_kind_are_read(tmp_path: Path) -> None:
    fields = {"a.text": "नमस्ते", "a.number": 7, "a.float": 0.5, "a.texts": ["x", ""], "a.numbers": [1, 2, 3]}
    with closing(GgufFile(Tiny(fields=fields).save(tmp_path / "m.gguf"))) as file:
        assert {name: file.fields[name] for name in fields} == fields
        assert file.fields["tokenizer.ggml.tokens"] == list(WORDS)


@pytest.mark.parametrize(("kind", "most"), [(Q8_0, 0.0001), (Q4_1, 0.005)])
def test_weights_come_out_as_they_went_in(tmp_path: Path, kind: int, most: float) -> None:
    tiny = Tiny(kind=kind)
    with closing(GgufFile(tiny.save(tmp_path / "m.gguf"))) as file:
        assert "output.weight" not in file
        name = "blk.0.ffn_gate.weight"
        whole = tiny.weights[name]
        assert np.abs(opened(file.blocks(name)) - whole).max() <= most * np.abs(whole).max() + 1e-6
        np.testing.assert_array_equal(file.floats("output_norm.weight"), tiny.weights["output_norm.weight"])


def test_the_step_from_4_to_8_bits_loses_next_to_nothing(tmp_path: Path) -> None:
    tiny = Tiny()
    name = "blk.1.attn_q.weight"
    raw = np.frombuffer(q4_1(tiny.weights[name]), np.uint8).reshape(-1, 20)
    halves = raw[:, :4].copy().view(np.float16).astype(np.float32)
    bits = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], 1)
    four = (halves[:, :1] * bits + halves[:, 1:]).reshape(64, 64)
    with closing(GgufFile(tiny.save(tmp_path / "m.gguf"))) as file:
        assert np.abs(opened(file.blocks(name)) - four).max() <= np.abs(four).max() / 254 * 1.01


def test_matrices_are_put_below_one_another(tmp_path: Path) -> None:
    names = [f"blk.0.attn_{part}.weight" for part in "qkv"]
    with closing(GgufFile(Tiny().save(tmp_path / "m.gguf"))) as file:
        both = file.blocks(*names)
        np.testing.assert_array_equal(both.steps, np.concatenate([file.blocks(name).steps for name in names]))
        assert (both.rows, both.columns) == (128, 64)


def test_a_block_of_zeros_is_zeros() -> None:
    from voxtral_voice.engines.gguf_file import _from_q4_1

    blocks = _from_q4_1(np.zeros((1, 1, 20), np.uint8))
    assert not opened(blocks).any()
    assert q8_0(np.ones((1, 32), np.float32))[2:] == bytes([127] * 32)


@pytest.mark.parametrize(("name", "kind", "what"), [("output_norm.weight", 0, "Q4_1 or Q8_0"), ("x", 1, "not F32")])
def test_a_tensor_of_another_kind_is_named(tmp_path: Path, name: str, kind: int, what: str) -> None:
    with closing(GgufFile(Tiny().save(tmp_path / "m.gguf"))) as file, pytest.raises(ValueError, match=what):
        file.blocks(name) if kind == F32 else file.floats("token_embd.weight")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"NOPE" + bytes(100), "not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(100), "of version 2 or 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 5), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 99), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + typed("é")[:-1] + b"a", "damaged"),
    ],
)
def test_what_is_no_such_file_is_a_value_error(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what):
        GgufFile(path)


def test_a_file_that_was_cut_off_says_so_when_its_weights_are_read(tmp_path: Path) -> None:
    path = Tiny().save(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:-4000])
    with closing(GgufFile(path)) as file, pytest.raises(ValueError, match="buffer"):
        file.floats("output_norm.weight")


def test_an_alignment_of_its_own_is_kept(tmp_path: Path) -> None:
    """The writer aligns by 32, so that 32 named is the same and 64 is half the time not."""
    tiny = Tiny(fields={"general.alignment": 32})
    with closing(GgufFile(tiny.save(tmp_path / "m.gguf"))) as file:
        np.testing.assert_array_equal(file.floats("output_norm.weight"), tiny.weights["output_norm.weight"])
