"""PL-BERT is the ALBERT of transformers."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.voxtral


def test_it_computes_what_transformers_compute() -> None:
    import torch
    from transformers import AlbertConfig, AlbertModel

    from voxtral_voice.engines.kokoro_torch.albert import Albert, PlBert
    from voxtral_voice.engines.kokoro_torch.rows import Rows
    from voxtral_voice.engines.kokoro_torch.weights import ours

    torch.manual_seed(0)
    shape = Albert(symbols=30, positions=20, embedding=8, width=16, inner=24, heads=2, layers=3)
    config = AlbertConfig(
        vocab_size=30,
        embedding_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=2,
        num_hidden_layers=3,
        max_position_embeddings=20,
    )
    theirs = AlbertModel(config, add_pooling_layer=False).eval()
    made = PlBert(shape).eval()
    made.load_state_dict(
        {ours(f"encoder.bert.{name}").removeprefix("bert."): w for name, w in theirs.named_parameters()}
    )
    tokens, lengths = torch.randint(1, 30, (2, 12)), (12, 7)
    seen = (torch.arange(12) < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        mine = made(tokens, Rows(lengths, torch.device("cpu")))
        expected = theirs(tokens, attention_mask=seen).last_hidden_state
    for row, length in enumerate(lengths):
        torch.testing.assert_close(mine[row, :length], expected[row, :length], rtol=1e-5, atol=1e-5)
