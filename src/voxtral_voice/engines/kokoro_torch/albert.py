"""PL-BERT: symbols in the light of their neighbours. An ALBERT, whose layers share one set of weights.

Knows: the architecture (Lan et al. 2020, as `AlbertModel` of transformers computes it; Li et al. 2023 trained it on
phonemes). Does not know: what its output is for.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, arange, nn
from torch.nn import functional

from voxtral_voice.engines.kokoro_torch.rows import Rows

EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Albert:
    symbols: int = 178
    positions: int = 512
    embedding: int = 128
    width: int = 768
    inner: int = 2048
    heads: int = 12
    layers: int = 12


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """real: bool [rows, 1, 1, steps], what may be looked at; None: all."""
        query, key, value = (part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self._parts())
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=real)
        return self.LayerNorm(x + self.dense(seen.transpose(1, 2).flatten(2)))

    def _parts(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.query, self.key, self.value


class Layer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.ffn = nn.Linear(width, inner)
        self.ffn_output = nn.Linear(inner, width)
        self.full_layer_layer_norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        x = self.attention(x, real)
        return self.full_layer_layer_norm(x + self.ffn_output(functional.gelu(self.ffn(x), approximate="tanh")))


class PlBert(nn.Module):
    def __init__(self, shape: Albert) -> None:
        super().__init__()
        self.layers = shape.layers
        self.word_embeddings = nn.Embedding(shape.symbols, shape.embedding)
        self.position_embeddings = nn.Embedding(shape.positions, shape.embedding)
        self.token_type_embeddings = nn.Embedding(2, shape.embedding)
        self.LayerNorm = nn.LayerNorm(shape.embedding, eps=EPSILON)
        self.embedding_hidden_mapping_in = nn.Linear(shape.embedding, shape.width)
        self.layer = Layer(shape.width, shape.inner, shape.heads)

    def forward(self, tokens: Tensor, rows: Rows) -> Tensor:
        """tokens: [rows, steps] -> [rows, steps, width]. Padding of the result is anything."""
        places = self.position_embeddings(arange(tokens.shape[1], device=tokens.device))
        x = self.word_embeddings(tokens) + places + self.token_type_embeddings.weight[0]
        x = self.embedding_hidden_mapping_in(self.LayerNorm(x))
        real = None if rows.even else rows.real[:, None]
        for _ in range(self.layers):
            x = self.layer(x, real)
        return x
