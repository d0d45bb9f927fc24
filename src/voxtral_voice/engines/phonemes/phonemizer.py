"""A phrase as written to what the model speaks.

Knows: the way from text to utterances: words as said, the lexicon, stretches, readers, spans of words, cuts. Does not
know: how any language is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from voxtral_voice.engines.phonemes.chinese import Chinese
from voxtral_voice.engines.phonemes.cut import cut
from voxtral_voice.engines.phonemes.english import English
from voxtral_voice.engines.phonemes.espeak import ByEspeak
from voxtral_voice.engines.phonemes.japanese import Japanese
from voxtral_voice.engines.phonemes.lexicon import NO_LEXICON, Lexicon
from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.spoken import stops_around
from voxtral_voice.engines.phonemes.stretches import Language, Stretch, language_of_tag, stretches
from voxtral_voice.engines.phonemes.symbols import STOPS, SYMBOL_IDS, Reading, WordSpan
from voxtral_voice.engines.text import Said, as_spoken


class _Reader(Protocol):
    def read(self, stretches: Sequence[Stretch]) -> list[Sound]:
        """stretches: of its language, in a row. Sounds in order."""


_READERS: Final[Mapping[Language, _Reader]] = MappingProxyType(
    {
        "en": English(british=False),
        "en-GB": English(british=True),
        "es": ByEspeak("es"),
        "fr": ByEspeak("fr"),
        "hi": ByEspeak("hi"),
        "it": ByEspeak("it"),
        "ja": Japanese(),
        "pt": ByEspeak("pt"),
        "zh": Chinese(),
    }
)
_WARM_UP: Final[Mapping[Language, str]] = MappingProxyType({"hi": "नमस्ते", "ja": "Aです", "zh": "你好"})


class Phonemizer:
    """Reads nine languages. Stateless; safe from several threads. Loads a reader at its first use; see `warm`."""

    def __init__(self, lexicon: Lexicon = NO_LEXICON) -> None:
        """lexicon: the user's own words."""
        self._lexicon = lexicon

    def warm(self, language: str) -> None:
        """Load the reader of a language (code or tag), so that its first phrase need not wait: 0.3 to 0.5 s for
        English, Japanese and Chinese, nothing to speak of for the others. Raises EngineError."""
        self.read(_WARM_UP.get(language_of_tag(language), "hello"), language=language)

    def read(self, text: str, *, language: str) -> Reading:
        """text: one phrase as written. language: ISO 639-1 code or BCP 47 tag ("en-GB" is read as the British do), in
        which to read what the script does not tell. Raises EngineError when a reader cannot be loaded."""
        reader = language_of_tag(language)
        said = [
            Said(token.written, token.written) if self._lexicon.holds(token.written) else token
            for token in as_spoken(text, reader)
        ]
        parts, unread = stretches(said, reader)
        parts = [part for stretch in parts for part in self._lexicon.applied(stretch)]
        sounds = list(_sounds(parts))
        symbols, spans = _joined(sounds, parts, [token.written for token in said])
        unknown = {c for sound in sounds for c in sound.symbols if c not in SYMBOL_IDS}
        return Reading(tuple(cut(symbols, spans)), "".join(sorted({*unread} | unknown)))


def _sounds(parts: Sequence[Stretch]) -> Iterator[Sound]:
    """Consecutive stretches of one language go to its reader together. Sound.stretch counts all parts."""
    first = 0
    for language, run in groupby(parts, key=lambda part: part.language):
        stretched = list(run)
        for sound in _READERS[language].read(stretched):
            yield Sound(first + sound.stretch, sound.symbols, sound.glued, sound.written)
        first += len(stretched)


def _joined(
    sounds: Sequence[Sound], parts: Sequence[Stretch], written: Sequence[str]
) -> tuple[str, tuple[WordSpan, ...]]:
    """All symbols that the model knows, and where the words of the text lie in them."""
    symbols = ""
    found: list[_Found] = []
    for sound in sounds:
        if kept := "".join(c for c in sound.symbols if c in SYMBOL_IDS):
            symbols += kept if sound.glued or not symbols else f" {kept}"
            start = len(symbols) - len(kept)
            part = parts[sound.stretch]
            end = start + (len(kept.rstrip(STOPS)) or len(kept))
            found.append(_Found(part.token, sound.written or stops_around(part.text)[1], start, end))
    tokens = groupby(found, key=lambda word: word.token)
    return symbols, tuple(span for token, words in tokens for span in _spans(written[token], list(words)))


_OPENING: Final = "「『《〈【〔（“(«"
"""Stands before the word that it belongs to."""


class _Found(NamedTuple):
    """A word among the symbols."""

    token: int
    written: str
    first: int
    end: int


def _spans(token: str, found: Sequence[_Found]) -> Iterator[WordSpan]:
    """Of one white-space token: of those of its words that stand in it as they were read, each with all up to the next
    one of them; one span, when there are none."""
    edges, groups = [0], [[found[0]]]
    at = max(token.find(found[0].written), 0) + len(found[0].written)
    for word in found[1:]:
        start = token.find(word.written, at) if word.written else -1
        if start < 0:
            groups[-1].append(word)
            continue
        at = start + len(word.written)
        while token[start - 1] in _OPENING:
            start -= 1
        edges, groups = [*edges, start], [*groups, [word]]
    for first, end, words in zip(edges, [*edges[1:], len(token)], groups, strict=True):
        yield WordSpan(token[first:end], words[0].first, words[-1].end)
