"""Small things that all readers need: digits of any script, the stops around a word.

Knows: text. Does not know: languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import digit

from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.symbols import STOPS

_LONG_NUMBER: Final = re.compile(r"\d(?:,?\d){15,}")
"""Read digit by digit, as people do; as one number it is more than the readers can name."""
_SIGNS: Final = " ;:,.!?—…\"“”()[]{}<>*'‚„-"
"""What may stand around a word."""


def digits_by_one(text: str) -> str:
    """The readers know the digits 0 to 9 only; ४, ٤ and ² are digits too."""
    plain = "".join(str(digit(c)) if c.isdigit() else c for c in text)
    return _LONG_NUMBER.sub(lambda number: " ".join(number.group().replace(",", "")), plain)


def stops_around(text: str) -> tuple[str, str, str]:
    """What stands before the word, the word, what stands behind it."""
    word = text.lstrip(_SIGNS)
    before, word = text[: len(text) - len(word)], word.rstrip(_SIGNS)
    behind = text[len(before) + len(word) :]
    return (before[:-1], f"-{word}", behind) if before[-1:] == "-" and word[:1].isdigit() else (before, word, behind)


def spread(words: Sequence[tuple[str, str]], before: str, behind: str, number: int) -> Iterator[Sound]:
    """words: (as written, symbols) of one stretch, with the stops around it. number: of the stretch."""
    opened, closed = ("".join(c for c in signs if c in STOPS) for signs in (before, behind))
    if not words and opened + closed:
        yield Sound(number, opened + closed, glued=True)
    last = ""
    for i, (written, symbols) in enumerate(words):
        said = (opened if i == 0 else "") + symbols + (closed if i == len(words) - 1 else "")
        yield Sound(number, said, "ʔ" in (symbols[:1], last) and i > 0, written)
        last = symbols[-1:]
