"""Voices mixed of others: "af_heart:0.6,af_bella:0.4".

Knows: how a blend is written, and what is wrong with one. Does not know: styles, gains, which voices there are.

Parts are parted by commas; the weight behind a colon says how much of a voice is in it, against the other weights, and
is 1 where there is none. A blend is known everywhere by one spelling: weights in thousandths of the whole, the heaviest
first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from voxtral_voice.engines.base import Voice
from voxtral_voice.errors import RequestError

MOST_PARTS: Final = 8
SHOWN_CHARS: Final = 40
"""Of a part that a client made up, in an error."""
_WHOLE: Final = 1000
_WEIGHT: Final = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)

Find = Callable[[str], Voice]
"""By name. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class Part:
    voice: Voice
    weight: float
    """Of all parts together 1."""


@dataclass(frozen=True, slots=True)
class Blend:
    parts: tuple[Part, ...]
    """The heaviest first; of equal ones the one that was written first."""

    @property
    def voice(self) -> Voice:
        """Named by all parts; language, gender and grade are those of the heaviest."""
        if len(self.parts) == 1:
            return self.parts[0].voice
        return replace(self.parts[0].voice, id=",".join(f"{part.voice.id}:{part.weight:g}" for part in self.parts))


def is_blend(name: str) -> bool:
    return "," in name or ":" in name


def names_in(name: str) -> tuple[str, ...]:
    """Of the voices in a blend, or of the one voice that it is."""
    return tuple(part.partition(":")[0].strip() for part in name.split(","))


def parse(name: str, find: Find) -> Blend:
    """Raises RequestError saying which part is wrong; what `find` raises."""
    written = name.split(",")
    if len(written) > MOST_PARTS:
        raise _wrong(f"A blend has {MOST_PARTS} voices at most, and this one has {len(written)}")
    found = [_part(text.strip(), find) for text in written]
    names = [voice.id for voice, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _wrong(f"The blend has {twice} twice: add its weights up")
    return Blend(_weighed([voice for voice, _ in found], [weight for _, weight in found]))


def _part(text: str, find: Find) -> tuple[Voice, float]:
    name, colon, weight = (word.strip() for word in text.partition(":"))
    if not name:
        raise _wrong(f"A part of the blend has no voice ({_shown(text)})")
    if not colon:
        return find(name), 1.0
    if not _WEIGHT.fullmatch(weight) or not float(weight):
        raise _wrong(f"The weight in {_shown(text)} is no number above 0")
    return find(name), float(weight)


def _weighed(voices: Sequence[Voice], weights: Sequence[float]) -> tuple[Part, ...]:
    """In whole thousandths that add up: what rounding down leaves goes to those that lost most."""
    total = math.fsum(weights)
    exact = [_WHOLE * weight / total for weight in weights]
    shares = [math.floor(share) for share in exact]
    losers = sorted(range(len(exact)), key=lambda i: shares[i] - exact[i])
    for i in losers[: _WHOLE - sum(shares)]:
        shares[i] += 1
    if light := next((voice.id for voice, share in zip(voices, shares, strict=True) if share < 1), None):
        raise _wrong(f"The weight of {light} is less than a thousandth of the blend: leave it out")
    parts = [Part(voice, share / _WHOLE) for voice, share in zip(voices, shares, strict=True)]
    return tuple(sorted(parts, key=lambda part: -part.weight))


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...")


def _wrong(what: str) -> RequestError:
    return RequestError("speaker", f"{what}; a blend looks like this: af_heart:0.6,af_bella:0.4.")
