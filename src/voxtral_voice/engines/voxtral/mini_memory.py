"""What the model remembers of prompts it has read, found again for the next ones. On the model's thread only.

Knows: which tokens each sequence of the decoder holds, the longest common beginning. Does not know: what tokens mean.

Places are few. One that nobody uses keeps what was read into it until it is needed for something else; the one not used
for the longest time goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from voxtral_voice.engines.voxtral.mini_prompt import Key

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.voxtral.decoder import Decoder, Written


LITTLE: Final = 64
"""Tokens that are forgotten without a copy: they are read again with the next prompt at hardly any cost."""


@dataclass(slots=True, eq=False)
class Memory:
    written: Written
    keys: list[Key] = field(default_factory=list)
    """Of all tokens read so far."""
    after: Tensor | None = None
    """Logits behind the last of them, while they are known."""

    def cut(self, length: int) -> None:
        """To a beginning that more is going to be read behind."""
        del self.keys[length:]
        self.written.length = length
        self.after = None


class Memories:
    """places: sequences of the decoder. No more than so many are in use at once."""

    def __init__(self, decoder: Decoder, places: int) -> None:
        self._decoder = decoder
        self._free = places
        self._idle: list[Memory] = []
        """The one that was used last is the last."""

    def take(self, keys: Sequence[Key], *, keep: bool) -> Memory:
        """One that holds a beginning of `keys`, as long as can be had: perhaps all of it, when the logits behind it are
        known. keep: the prompt is going to be remembered; it may take the place of one that it goes on from."""
        best = max(self._idle, key=lambda memory: _common(memory.keys, keys), default=None)
        shared = _common(best.keys, keys) if best else 0
        if best is not None and keep and len(best.keys) - shared <= min(LITTLE, shared):
            self._idle.remove(best)
            memory = best
        else:
            memory = self._other(best if shared else None)
        if memory.after is None or not shared == len(keys) == len(memory.keys):
            memory.cut(min(shared, len(keys) - 1))
        return memory

    def give_back(self, memory: Memory, *, keep: bool) -> None:
        if keep:
            self._idle.append(memory)
        else:
            self._end(memory)

    def _other(self, source: Memory | None) -> Memory:
        """A place of its own, with what the source holds in it. Of idle places the oldest is freed, the source last."""
        if not self._free:
            oldest = next((memory for memory in self._idle if memory is not source), source)
            if oldest is not None:
                self._idle.remove(oldest)
                if oldest is source:
                    return oldest
                self._end(oldest)
        if source is None:
            memory = Memory(self._decoder.begin())
        else:
            memory = Memory(self._decoder.copy(source.written), list(source.keys), source.after)
        self._free -= 1
        return memory

    def _end(self, memory: Memory) -> None:
        self._decoder.end(memory.written)
        self._free += 1


def _common(one: Sequence[Key], other: Sequence[Key]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
