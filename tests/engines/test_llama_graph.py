"""The graph computes what the model's definition says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engines.tiny_llama import Q4_1, Q8_0, WORDS, Tiny
from voxtral_voice.engines import llama_graph
from voxtral_voice.engines.llama import Model
from voxtral_voice.errors import EngineError


def chances(tiny: Tiny, tokens: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    logits = tiny.logits(tokens)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("kind", [Q4_1, Q8_0])
def test_the_probabilities_are_those_of_the_definition(tmp_path: Path, kind: int, head: bool) -> None:
    """But for the rounding to 8 bits, of activations too."""
    tiny = Tiny(head=head, kind=kind)
    model = Model(tiny.save(tmp_path / "m.gguf"), context=64, threads=1, memories=2)
    prompt = "<|im_start|>abc 12 ab.\nhello a world? "
    tokens = llama_graph.read(tmp_path / "m.gguf", 64).tokenizer.encode(prompt).ids
    found = model.next_tokens(prompt, lambda: False)
    assert found is not None
    exact = chances(tiny, tokens)
    assert np.abs(found - exact).max() < 0.05
    assert np.corrcoef(found, exact)[0, 1] > 0.99


def test_the_tokenizer_is_that_of_the_file(tmp_path: Path) -> None:
    tokenizer = llama_graph.read(Tiny().save(tmp_path / "m.gguf"), 64).tokenizer
    tokens = tokenizer.encode("<|im_start|>a 12 a yz.<|im_end|>").tokens
    assert tokens == ["<|im_start|>", "a", "Ġ", "1", "2", "Ġa", "Ġ", "yz", ".", "<|im_end|>"]
    assert tokenizer.decode(tokenizer.encode("a 12\n<|im_end|>ab.").ids) == "a 12\nab."
    assert tokenizer.get_vocab_size() == len(WORDS)


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"tokenizer.ggml.pre": "llama-bpe"}, "its tokenizer is gpt2, llama-bpe"), ({"llama.block_count": 3}, "blk.2")],
)
def test_another_model_is_an_error_that_says_why(tmp_path: Path, fields: dict[str, str], what: str) -> None:
    path = Tiny(fields=fields).save(tmp_path / "m.gguf")
    with pytest.raises(EngineError, match=f"cannot be read as a Llama model .*{what}.*; run: .* models verify"):
        llama_graph.read(path, 64)
