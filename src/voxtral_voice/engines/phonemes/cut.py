"""A long phrase into utterances that the model speaks well.

Knows: where a phrase may be cut. Does not know: languages, readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from voxtral_voice.engines.phonemes.symbols import MAX_SYMBOLS, Utterance, WordSpan

_ENDS: Final = (re.compile("(?<=[.!?…]) "), re.compile("(?<=[,;:—]) "), re.compile(" "))
"""Where a piece may end, best first: behind a sentence, a clause, a word."""


def cut(symbols: str, spans: tuple[WordSpan, ...]) -> Iterator[Utterance]:
    """Pieces of at most MAX_SYMBOLS, none of them much shorter than it must be. Pieces without a sound are left out."""
    start = 0
    while start < len(symbols):
        end = start + _cut_at(symbols[start:])
        piece = symbols[start:end]
        if any(symbol.isalpha() for symbol in piece):
            yield Utterance(piece.strip(), tuple(_within(spans, start, start + len(piece.rstrip()))))
        start = end + (symbols[end : end + 1] == " ")


def _cut_at(symbols: str) -> int:
    """Length of the first piece."""
    if len(symbols) <= MAX_SYMBOLS:
        return len(symbols)
    for end in _ENDS:
        at = max((match.start() for match in end.finditer(symbols[: MAX_SYMBOLS + 1])), default=0)
        if at > MAX_SYMBOLS // 3:
            return at
    return MAX_SYMBOLS


def _within(spans: tuple[WordSpan, ...], start: int, end: int) -> Iterator[WordSpan]:
    """The words that begin in [start, end), counted from start; one that is cut belongs to its first piece."""
    for span in spans:
        if start <= span.first < end:
            yield WordSpan(span.word, span.first - start, min(span.end, end) - start)
