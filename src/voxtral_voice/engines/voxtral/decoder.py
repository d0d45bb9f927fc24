"""A language model of transformers that writes several sequences, a token at a time, without waiting for Python.

Knows: keys and values, positions, CUDA graphs. Does not know: what is heard or written, threads: one call at a time.

The keys and values of all sequences lie in one block of memory. A step of some of them is then always the same work on
the same addresses, and on CUDA it is recorded once (a graph) and replayed: launching the thousand kernels of a step
from Python takes longer than the kernels. The next tokens stay on the device, so that a run of steps waits once, at its
end. Without CUDA the same code runs as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from voxtral_voice.engines.voxtral.graphs import BATCHES, filled, recorded
from voxtral_voice.errors import BusyError, EngineError

SHORTEST: Final = 512
"""A step looks at 512, 1024, ... places for keys, whichever holds its longest sequence."""
GUESSES: Final = 8
"""Tokens that are looked at in one pass when most of them can be guessed: as long as the weights are what takes the
time, eight cost little more than one."""


@dataclass(slots=True, eq=False)
class Written:
    """One sequence under way."""

    place: int
    length: int = 0
    """Tokens read and written so far."""


class Decoder:
    """body: the model without its head, called with embeddings. head: states -> logits. sequences: at most, at once.
    tokens: of the longest. fixed: what the body is told besides, the same at every step."""

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        *,
        sequences: int,
        tokens: int,
        seam: str,
        fixed: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._body, self._head, self._seam = body, head, seam
        self._fixed = dict(fixed or {})
        self._embedding = body.get_input_embeddings()
        config: Any = body.config
        weight: Tensor = self._embedding.weight
        self.device, self.dtype, self.width = weight.device, weight.dtype, weight.shape[1]
        self.tokens = tokens
        heads, head_dim = config.num_key_value_heads, config.head_dim
        shape = (config.num_hidden_layers, sequences + 1, heads, tokens, head_dim)
        self._keys = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._values = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._free = list(range(sequences))
        self._spare = sequences
        """The place of what only fills up a batch."""
        self._steps: dict[tuple[int, int, int], _Step] = {}

    # --- sequences ----------------------------------------------------------------------------------------------

    def begin(self) -> Written:
        if not self._free:
            raise BusyError(self._seam, full(self._spare))
        return Written(self._free.pop())

    def end(self, sequence: Written) -> None:
        """Safe to call twice."""
        if sequence.place != self._spare:
            self._free.append(sequence.place)
            sequence.place, sequence.length = self._spare, 0

    def copy(self, sequence: Written) -> Written:
        """One that goes on from here by itself."""
        with ExitStack() as undone:
            other = self.begin()
            undone.callback(self.end, other)
            other.length = sequence.length
            for block in (self._keys, self._values):
                block[:, other.place, :, : other.length] = block[:, sequence.place, :, : other.length]
            undone.pop_all()
        return other

    # --- reading ------------------------------------------------------------------------------------------------

    def embed(self, ids: Sequence[int]) -> Tensor:
        """[n, width]."""
        embedded: Tensor = self._embedding(torch.tensor(ids, device=self.device))
        return embedded

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def read(self, sequence: Written, embedded: Tensor) -> Tensor:
        """embedded: [n, width], the next of the sequence, all at once. Returns the logits behind the last: [words]."""
        count, start = embedded.shape[0], sequence.length
        self._require_room(sequence, count)
        end = start + count
        positions = torch.arange(start, end, device=self.device)
        mask = torch.arange(end, device=self.device) <= positions[:, None]
        memory = _Row(self._keys, self._values, sequence.place, start, end)
        states = self._states(embedded[None], positions[None], mask[None, None], memory)
        sequence.length = end
        logits: Tensor = self._head(states[0, -1])
        return logits

    # --- writing ------------------------------------------------------------------------------------------------

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self, sequences: Sequence[Written], last: Sequence[int], added: Tensor | None = None) -> Tensor:
        """One token more for each. last: the newest token of each, not read yet. added: [n, width], to its embedding.
        Returns logits [n, words], valid until the next call."""
        step = self._placed(sequences, [[token] for token in last], 1)
        step.run(None if added is None else added[:, None])
        self._lengthen(sequences, 1)
        return step.logits[: len(sequences), 0]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def follow(self, sequences: Sequence[Written], last: Sequence[int], added: Tensor) -> list[list[int]]:
        """Several tokens more for each, always the likeliest. added: [steps, n, width]. Returns ids per sequence."""
        step = self._placed(sequences, [[token] for token in last], added.shape[0])
        chosen = torch.empty((added.shape[0], len(sequences)), dtype=torch.long, device=self.device)
        for index in range(added.shape[0]):
            step.run(added[index][:, None])
            chosen[index] = step.chosen[: len(sequences), 0]
            step.go_on()
        self._lengthen(sequences, added.shape[0])
        ids: list[list[int]] = chosen.T.tolist()
        return ids

    def follow_guessing(self, sequence: Written, last: int, added: Tensor, usual: int) -> list[int]:
        """As `follow`, for one sequence in which the token `usual` comes most of the time."""
        self._require_room(sequence, added.shape[0])
        ids: list[int] = []
        while len(ids) < added.shape[0]:
            ids += self.guess(sequence, ids[-1] if ids else last, added[len(ids) :], usual)
        return ids

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def guess(self, sequence: Written, last: int, added: Tensor, usual: int) -> list[int]:
        """GUESSES tokens are looked at in one pass as if all were the usual one, and those stand that come out so, with
        the first that does not. At least one of added: [k, width], and no more than k."""
        if sequence.length + GUESSES > self.tokens:
            only: list[int] = self.follow([sequence], [last], added[:1, None])[0]
            return only
        step = self._placed([sequence], [[last, *[usual] * (GUESSES - 1)]], GUESSES)
        step.run(added[None, :GUESSES])
        found = _agreed(step.chosen[0].tolist(), usual)[: added.shape[0]]
        self._lengthen([sequence], len(found))
        return found

    def warm(self, batches: int, tokens: int, *, guessing: bool = False) -> None:
        """Record the steps of up to so many sequences of up to so many tokens, so that no user waits for that."""
        sizes = [(size, 1) for size in BATCHES if size <= filled(batches)]
        for size, count in [*sizes, *([(1, GUESSES)] if guessing else [])]:
            places = SHORTEST
            while places < 2 * tokens:
                self._step(size, count, min(places, self.tokens))
                places *= 2

    def _lengthen(self, sequences: Sequence[Written], count: int) -> None:
        for sequence in sequences:
            sequence.length += count

    def _placed(self, sequences: Sequence[Written], tokens: Sequence[Sequence[int]], count: int) -> _Step:
        """A step ready to run, on these tokens of each. count: so many tokens are read from here on."""
        for sequence in sequences:
            self._require_room(sequence, count)
        longest = max(sequence.length for sequence in sequences) + count
        places = SHORTEST
        while places < longest:
            places *= 2
        step = self._step(filled(len(sequences)), len(tokens[0]), min(places, self.tokens))
        empty = step.size - len(sequences)
        step.place(
            [sequence.place for sequence in sequences] + [self._spare] * empty,
            [sequence.length for sequence in sequences] + [0] * empty,
            [*map(list, tokens), *[[0] * len(tokens[0])] * empty],
        )
        return step

    def _step(self, size: int, count: int, places: int) -> _Step:
        key = (size, count, places)
        if key not in self._steps:
            self._steps[key] = _Step(self, size, count, places)
        return self._steps[key]

    def _require_room(self, sequence: Written, count: int) -> None:
        if sequence.length + count > self.tokens:
            raise EngineError(self._seam, f"The model has room for {self.tokens} tokens, and this needs more.")

    def _states(self, embedded: Tensor, positions: Tensor, mask: Tensor, memory: object) -> Tensor:
        states: Tensor = self._body(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=memory,
            use_cache=True,
            **self._fixed,
        ).last_hidden_state
        return states


class _Step:
    """`count` tokens more of `size` sequences that look at the first `places` places; on CUDA a recorded one."""

    def __init__(self, decoder: Decoder, size: int, count: int, places: int) -> None:
        self._decoder, self.size = decoder, size
        device = decoder.device
        self._tokens = torch.zeros((size, count), dtype=torch.long, device=device)
        self.chosen = torch.zeros((size, count), dtype=torch.long, device=device)
        """The likeliest token behind each."""
        self._places = torch.full((size,), decoder._spare, dtype=torch.long, device=device)
        self._starts = torch.zeros(size, dtype=torch.long, device=device)
        self._added = torch.zeros((size, count, decoder.width), dtype=decoder.dtype, device=device)
        self._range = torch.arange(places, device=device)
        self._count = torch.arange(count, device=device)
        self.logits: Tensor = torch.empty(0)
        """[size, count, words]."""
        self._graph = recorded(self._work, device)

    def place(self, places: list[int], starts: list[int], tokens: list[list[int]]) -> None:
        self._places.copy_(torch.tensor(places))
        self._starts.copy_(torch.tensor(starts))
        self._tokens.copy_(torch.tensor(tokens))

    def run(self, added: Tensor | None) -> None:
        """added: [sequences, tokens, width], no more than there are here."""
        self._added.zero_()
        if added is not None:
            self._added[: added.shape[0], : added.shape[1]] = added
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()

    def go_on(self) -> None:
        """The next run takes what was chosen; for one token at a time."""
        self._tokens.copy_(self.chosen)
        self._starts.add_(1)

    def _work(self) -> None:
        decoder = self._decoder
        embedded = decoder._embedding(self._tokens) + self._added
        positions = self._starts[:, None] + self._count
        mask = self._range <= positions[:, :, None]
        memory = _Rows(decoder._keys, decoder._values, self._places, positions, len(self._range))
        states = decoder._states(embedded, positions, mask[:, None], memory)
        self.logits = decoder._head(states)
        self.chosen.copy_(self.logits.argmax(-1))


class _Row:
    """What transformers asks of a cache, for the next tokens [start, end) of one sequence."""

    def __init__(self, keys: Tensor, values: Tensor, place: int, start: int, end: int) -> None:
        self._keys, self._values, self._place, self._start, self._end = keys, values, place, start, end

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        return self._put(self._keys, keys, layer), self._put(self._values, values, layer)

    def _put(self, block: Tensor, new: Tensor, layer: int) -> Tensor:
        block[layer, self._place, :, self._start : self._end] = new[0]
        return block[layer, self._place, :, : self._end][None]

    def get_seq_length(self, *_: object) -> int:
        return self._start


class _Rows:
    """The same, for tokens of several sequences. positions: [size, tokens]; most: places that are looked at."""

    def __init__(self, keys: Tensor, values: Tensor, places: Tensor, positions: Tensor, most: int) -> None:
        self._keys, self._values, self._places, self._positions, self._most = keys, values, places, positions, most

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        return self._put(self._keys[layer], keys), self._put(self._values[layer], values)

    def _put(self, block: Tensor, new: Tensor) -> Tensor:
        """new: [size, heads, tokens, width]."""
        block[self._places[:, None], :, self._positions] = new.transpose(1, 2)
        return block[:, :, : self._most].index_select(0, self._places)

    def get_seq_length(self, *_: object) -> int:
        return 0


def full(places: int) -> str:
    return f"All {places} places of the model are taken: try again in a moment, or let vLLM run it, which has more."


def _agreed(chosen: list[int], usual: int) -> list[int]:
    """The tokens up to the first that is not the usual one, that one too: behind it a wrong one was looked at."""
    count = next((i for i, token in enumerate(chosen) if token != usual), len(chosen) - 1)
    return chosen[: count + 1]
