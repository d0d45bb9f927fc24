"""English words to Kokoro's symbols, as Americans or the British say them.

Knows: hibari's port of misaki (dictionary, rules, a small network for unknown words; no spaCy, no download), which
Kokoro's English was trained with. Does not know: other languages, models.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from voxtral_voice.engines.phonemes.sounds import Sound, in_groups
from voxtral_voice.engines.phonemes.spoken import digits_by_one, stops_around
from voxtral_voice.engines.phonemes.stretches import Stretch

_LONG_WORD: Final = re.compile(r"\S{30}(?=\S)")
"""Read in pieces: what the reader takes for one compound grows with the square of its parts, to minutes."""

_LETTER_AT_END: Final = re.compile(r"(?<!\w)[A-Z]\.$")
"""Taken for an abbreviation by the reader: its dot would be no stop."""


class _Reader(Protocol):
    def __call__(self, text: str) -> str: ...


class English:
    """Loads in about 0.4 s at the first use, for each of the two accents."""

    def __init__(self, *, british: bool) -> None:
        self._british = british

    def read(self, stretches: Sequence[Stretch]) -> list[Sound]:
        sounds = in_groups([_marked(stretch) for stretch in stretches], _loaded(self._british))
        if sounds and _LETTER_AT_END.search(stretches[-1].text) and not sounds[-1].symbols.endswith("."):
            sounds[-1] = replace(sounds[-1], symbols=f"{sounds[-1].symbols}.")
        return sounds


@functools.cache
def _loaded(british: bool) -> _Reader:
    from hibari.g2p import G2P

    reader: _Reader = G2P(british=british)
    return reader


def _marked(stretch: Stretch) -> str:
    """What the reader is given. It takes [word](/symbols/) for a word that is said so: from the lexicon alone."""
    if stretch.symbols is not None:
        before, word, behind = stops_around(stretch.text)
        return f"{before}[{word}](/{stretch.symbols}/){behind}"
    return _LONG_WORD.sub(r"\g<0> ", digits_by_one(stretch.text).replace("](", "] ("))
