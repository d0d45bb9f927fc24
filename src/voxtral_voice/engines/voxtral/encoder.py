"""Voxtral Realtime's ear: several streams of sound into one embedding per 80 ms each, as they come.

Knows: the convolutions' memory, the window of keys and values, CUDA graphs. Does not know: mel frames' making, text,
threads: one call at a time.

As in `decoder`, the keys and values of all streams lie in one block and the work is recorded once per size on CUDA. Of
them only the model's window is kept, in a ring: what lies in a cell of it follows from how far the stream is. Several
tokens are taken at once where they are there (a stream's beginning, the padding behind its end): each frame still sees
what it would have seen alone.

The ring is longer than the window, so that an end can be tried without a copy (`fork`): what the trial writes lies
behind the stream's own frames, and the stream writes over it when it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from voxtral_voice.engines.voxtral.decoder import full
from voxtral_voice.engines.voxtral.graphs import BATCHES, filled, recorded
from voxtral_voice.errors import BusyError

PIECES: Final = (16, 8, 4, 2, 1)
"""Tokens that are heard at once: their number is made up of these, since each has a graph of its own."""
TOGETHER: Final = 2
"""More than those only one stream hears at once."""


@dataclass(slots=True, eq=False)
class Heard:
    """One stream."""

    place: int
    tails: tuple[Tensor, ...]
    """What each convolution has seen last: [channels, frames]."""
    frames: int = 0
    """Of the encoder, heard so far."""


class Encoder:
    """model: VoxtralRealtimeModel. streams: at most, at once. ahead: tokens that a fork may go beyond its stream.
    often: numbers of tokens, besides PIECES, that are heard in one step."""

    def __init__(self, model: Any, *, streams: int, seam: str, ahead: int = 0, often: Sequence[int] = ()) -> None:
        self._model, self._tower, self._seam = model, model.audio_tower, seam
        config = model.config.audio_config
        self._window: int = config.sliding_window
        self._per_token: int = model.config.downsample_factor
        weight: Tensor = self._tower.embedder.conv1.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.width: int = model.config.text_config.hidden_size
        self._pieces = sorted({*PIECES, *often}, reverse=True)
        self.cells = self._window + max(*self._pieces, ahead) * self._per_token
        shape = (config.num_hidden_layers, streams + 1, config.num_key_value_heads, self.cells, config.head_dim)
        self._keys = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._values = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._silence = tuple(self._tail(conv) for conv in self._convolutions)
        self._free = list(range(streams))
        self._spare = streams
        """The place of what only fills up a batch."""
        self._steps: dict[tuple[int, int], _Step] = {}

    @property
    def _convolutions(self) -> tuple[Any, Any]:
        return self._tower.embedder.conv1, self._tower.embedder.conv2

    def _tail(self, conv: Any) -> Tensor:
        """What a convolution has seen before anything."""
        return torch.zeros((conv.in_channels, conv.left_pad), dtype=self.dtype, device=self.device)

    # --- streams ------------------------------------------------------------------------------------------------

    def begin(self) -> Heard:
        if not self._free:
            raise BusyError(self._seam, full(self._spare))
        return Heard(self._free.pop(), self._silence)

    def end(self, stream: Heard) -> None:
        """Safe to call twice."""
        if stream.place != self._spare:
            self._free.append(stream.place)
            stream.place, stream.frames = self._spare, 0

    def copy(self, stream: Heard) -> Heard:
        """One that goes on from here by itself."""
        with ExitStack() as undone:
            other = self.begin()
            undone.callback(self.end, other)
            other.frames, other.tails = stream.frames, stream.tails
            used = min(stream.frames, self.cells)
            for block in (self._keys, self._values):
                block[:, other.place, :, :used] = block[:, stream.place, :, :used]
            undone.pop_all()
        return other

    def fork(self, stream: Heard) -> Heard:
        """One that goes up to `ahead` tokens on from here, to see what comes of it, while the stream waits. It has the
        stream's place and is not ended; when the stream goes on, its forks are over."""
        return replace(stream)

    # --- hearing ------------------------------------------------------------------------------------------------

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def hear(self, streams: Sequence[Heard], mel: Tensor) -> Tensor:
        """mel: [n, bins, frames], the next of each stream, of whole tokens. Returns [n, tokens, width]."""
        frames = 2 * self._per_token  # of mel in a token; the second convolution halves them
        tokens = mel.shape[2] // frames
        heard, done = [], 0
        for piece in self._parts(tokens):
            step = self._step(filled(len(streams)), piece)
            heard.append(step.run(streams, mel[:, :, done * frames : (done + piece) * frames]).clone())
            for stream, *tails in zip(streams, *step.tails, strict=False):
                stream.tails = tuple(tail.clone() for tail in tails)
                stream.frames += piece * self._per_token
            done += piece
        return torch.cat(heard, dim=1)

    def warm(self, batches: int) -> None:
        """Record the steps of up to so many streams, of up to TOGETHER tokens, and the longer pieces of one, so that no
        user waits for that."""
        for size in (size for size in BATCHES if size <= filled(batches)):
            for piece in (piece for piece in self._pieces if piece <= TOGETHER):
                self._step(size, piece)
        for piece in self._pieces:
            self._step(1, piece)

    def _parts(self, tokens: int) -> list[int]:
        parts = []
        for piece in self._pieces:
            parts += [piece] * (tokens // piece)
            tokens %= piece
        return parts

    def _step(self, size: int, tokens: int) -> _Step:
        key = (size, tokens)
        if key not in self._steps:
            self._steps[key] = _Step(self, size, tokens)
        return self._steps[key]

    def _embed(self, mel: Tensor, tails: Sequence[Tensor]) -> Tensor:
        """Both convolutions, each behind what it saw last, which becomes what it sees now. Returns [size, frames,
        channels]."""
        sound = mel
        for conv, tail in zip(self._convolutions, tails, strict=True):
            sound = torch.cat([tail, sound], dim=2)
            tail.copy_(sound[:, :, sound.shape[2] - conv.left_pad :])
            sound = nn.functional.gelu(nn.functional.conv1d(sound, conv.weight, conv.bias, stride=conv.stride))
        return sound.transpose(1, 2)

    def _project(self, states: Tensor) -> Tensor:
        """The frames of a token side by side. Returns [size, tokens, width]."""
        size, frames, channels = states.shape
        joined = states.reshape(size, frames // self._per_token, channels * self._per_token)
        projected: Tensor = self._model.multi_modal_projector(joined)
        return projected


class _Step:
    """The next `tokens` tokens of `size` streams; on CUDA recorded."""

    def __init__(self, encoder: Encoder, size: int, tokens: int) -> None:
        self._encoder, self._size = encoder, size
        device, frames = encoder.device, tokens * encoder._per_token
        bins = encoder._convolutions[0].in_channels
        self._mel = torch.zeros((size, bins, 2 * frames), dtype=encoder.dtype, device=device)
        self.tails = [tail.expand(size, -1, -1).clone() for tail in encoder._silence]
        self._places = torch.full((size,), encoder._spare, dtype=torch.long, device=device)
        self._starts = torch.zeros(size, dtype=torch.long, device=device)
        self._frames = torch.arange(frames, device=device)
        self._cells = torch.arange(encoder.cells, device=device)
        self._heard: Tensor = torch.empty(0)
        self._graph = recorded(self._work, device)

    def run(self, streams: Sequence[Heard], mel: Tensor) -> Tensor:
        """[streams, tokens, width], valid until the next call."""
        encoder, empty = self._encoder, self._size - len(streams)
        self._places.copy_(torch.tensor([stream.place for stream in streams] + [encoder._spare] * empty))
        self._starts.copy_(torch.tensor([stream.frames for stream in streams] + [0] * empty))
        self._mel.zero_()
        self._mel[: len(streams)] = mel
        for tails, seen in zip(self.tails, zip(*(stream.tails for stream in streams), strict=True), strict=True):
            tails[: len(streams)] = torch.stack(seen)
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
        return self._heard[: len(streams)]

    def _work(self) -> None:
        encoder = self._encoder
        embedded = encoder._embed(self._mel, self.tails)
        positions = self._starts[:, None] + self._frames
        states = encoder._tower(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=self._mask(positions),
            past_key_values=_Ring(encoder, self._places, positions % encoder.cells),
            use_cache=True,
        ).last_hidden_state
        self._heard = encoder._project(states)

    def _mask(self, positions: Tensor) -> Tensor:
        """[size, 1, frames, cells]: a frame sees itself and the window before it."""
        newest = positions[:, -1:]
        held = newest - (newest - self._cells) % self._encoder.cells  # the frame whose keys lie in each cell
        asking, held = positions[:, :, None], held[:, None, :]
        seen = (held >= 0) & (held <= asking) & (held > asking - self._encoder._window)
        return seen[:, None]


class _Ring:
    """What transformers asks of a cache. cells: [size, frames], where the new keys and values go."""

    def __init__(self, encoder: Encoder, places: Tensor, cells: Tensor) -> None:
        self._keys, self._values, self._places, self._cells = encoder._keys, encoder._values, places, cells

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        return self._put(self._keys[layer], keys), self._put(self._values[layer], values)

    def _put(self, block: Tensor, new: Tensor) -> Tensor:
        """block: [places, heads, cells, width]; new: [size, heads, frames, width]."""
        block[self._places[:, None], :, self._cells] = new.transpose(1, 2)
        return block.index_select(0, self._places)

    def get_seq_length(self, *_: object) -> int:
        return 0
