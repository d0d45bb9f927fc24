"""Cuts a stream of reply text into phrases that can be spoken one after the other.

Knows: where a voice may pause in Latin and Devanagari text. Does not know: voices, audio, time.

The first phrase is kept short, since the user waits for its audio; later ones are longer, since long phrases sound
better and are made while the earlier ones play. The concatenation of all phrases is the text, to the character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e no fig approx dept inc ltd co corp gen col sgt capt rev hon "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun a.m p.m u.s u.k डॉ श्री".split()
)
"""Words whose full stop ends no sentence."""

_STOP = re.compile(
    r"(?<![.!?…।॥])[.!?…।॥]++[\"'”’)\]]*+(?=\s)|[,;:—–][\"'”’)\]]*+(?=\s)|(?<!\n)\n++(?=\S)",
)
"""A pause mark, with closing quotes, and white space behind it (so "3.14", "1,000" and "10:30" hold none).

Here and in `_WORD` each run of characters is looked at once, from its beginning: odd text costs no more than other."""
_WORD = re.compile(r"(?<!\S)\S++\s+")

_SENTENCE_MARKS: Final = ".!?…।॥\n"
JOINERS: Final = frozenset(
    "and but or so because which that when while if then with for to in on at और लेकिन या कि".split()
)
"""A phrase without any mark is cut in front of one of these."""
VERBS: Final = frozenset("is are was were has have had can could will would should may might must does do did".split())
"""The first phrase is also cut in front of one of these: "The largest ocean | is"."""
CLINGING: Final = VERBS | frozenset(
    "i you he she it we they that this there who what which these those my your his her its our their not no very a an"
    " the of to in on at by for with from as than about and or but so if because when while और या का की के एक".split()
)
"""Words that belong to the next one: "the | capital" and "they | have" are not parted where there is a choice."""
OBJECTS: Final = frozenset("it me him them us".split())
"""Words that belong to the one before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In words."""

    min_clause: int
    """Shortest phrase that may end at a comma."""
    min_sentence: int
    """Shortest phrase that may end at a full stop; shorter ones join the next (alone they sound clipped)."""
    longest: int
    """Longest phrase without any mark."""
    min_joined: int | None = None
    """Shortest phrase that ends in front of a joining word or a verb as soon as one comes; None: such a place is only
    looked for when the phrase is too long."""


LONGEST_CHARS: Final = 500
"""A phrase is cut here wherever that is: no text, however odd, costs more than its length."""

FIRST: Final = Limits(min_clause=2, min_sentence=1, longest=6, min_joined=3)
"""On 40 questions SmolLM2's first phrase is whole after 7.1 tokens; with longest=8 and no min_joined it takes 8.8."""
LATER: Final = Limits(min_clause=4, min_sentence=2, longest=24)


class PhraseSplitter:
    """Feed it deltas; it returns the phrases that are complete."""

    def __init__(self) -> None:
        self._text = ""
        self._limits = FIRST

    @property
    def pending(self) -> str:
        """Of the text, what is in no phrase yet."""
        return self._text

    def feed(self, delta: str) -> list[str]:
        self._text += delta
        phrases = []
        while (end := self._end_of_phrase()) is not None:
            phrases.append(self._take(end))
        return phrases

    def finish(self) -> list[str]:
        """The rest, when the text has ended."""
        return [self._take(len(self._text))] if self._text else []

    def _take(self, end: int) -> str:
        phrase, self._text = self._text[:end], self._text[end:]
        if phrase.strip():
            self._limits = LATER
        return phrase

    def _end_of_phrase(self) -> int | None:
        start = self._text[:LONGEST_CHARS]
        for mark in _STOP.finditer(start):
            if self._pauses_at(mark):
                return mark.end()
        end = self._cut_in_long_run(start)
        return LONGEST_CHARS if end is None and len(self._text) > LONGEST_CHARS else end

    def _pauses_at(self, mark: re.Match[str]) -> bool:
        if mark.group()[0] not in _SENTENCE_MARKS:
            return self._words_to(mark) >= self._limits.min_clause
        return not self._is_abbreviation(mark) and self._words_to(mark) >= self._limits.min_sentence

    def _words_to(self, mark: re.Match[str]) -> int:
        return len(self._text[: mark.end()].split())

    def _is_abbreviation(self, mark: re.Match[str]) -> bool:
        if mark.group() != ".":
            return False
        word = self._text[: mark.start()].rsplit(maxsplit=1)[-1:]
        last = word[0].lstrip("(\"'“‘[") if word else ""
        is_initial = len(last) == 1 and last.isalpha() and last != "I"
        is_list_number = last.isdigit() and self._text[: mark.start()].strip() == last
        return is_initial or is_list_number or last.lower() in ABBREVIATIONS

    def _cut_in_long_run(self, text: str) -> int | None:
        """No mark in sight: cut in front of a joining word, or at the limit."""
        words = list(_WORD.finditer(text))
        longest = self._limits.longest
        if self._limits.min_joined is not None:
            joint = _joint([word.group().strip() for word in words], self._limits.min_joined, longest)
            return None if joint is None else words[joint].start()
        if len(words) <= longest:
            return None
        for word in reversed(words[longest // 2 : longest + 1]):
            if word.group().strip().lower() in JOINERS:
                return word.start()
        return words[longest].start()


def _joint(words: Sequence[str], shortest: int, longest: int) -> int | None:
    """How many of the words make the phrase: up to the first joint, or else as many as may be."""
    for count in range(shortest, min(len(words), longest + 1)):
        if words[count].lower() in JOINERS | VERBS and not _clings(words[count - 1], words[count]):
            return count
    if len(words) <= longest:
        return None
    loose = (n for n in range(longest, 1, -1) if not _clings(words[n - 1], words[n]))
    return next(loose, longest)


def _clings(word: str, following: str) -> bool:
    """Also the words of a name, "F. | Scott", and an object, "make | it"."""
    if word.lower() in OBJECTS:
        return following.lower() not in JOINERS
    is_name = word[0].isupper() and following[0].isupper()
    return word.lower() in CLINGING or is_name or word.endswith(".") or following.lower() in OBJECTS
