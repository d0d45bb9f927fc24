"""Cuts a stream of reply text into phrases that can be spoken one after the other.

Knows: where a voice may pause in the nine languages of the voices, which text is not said aloud. Does not know: voices,
audio, time.

The first phrase is kept short, since the user waits for its audio; the next ones grow, since long phrases sound better,
and each is made while the one before it plays. The concatenation of all phrases is the text, to the character. Where it
is cut does not depend on the pieces in which the text comes: each cut is made as soon as it is certain.

Code blocks (``` and ~~~) and rows of tables (|) are phrases of their own that nobody speaks, as are those without a
letter or digit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e no fig approx dept inc ltd co corp gen col sgt capt rev hon "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun a.m p.m u.s u.k डॉ श्री "
    "sra srta dra ud uds p.ej ee.uu pág núm tel aprox avda apdo mm mme mlle p.ex env sig dott avv ing ecc p.es av "
    "exmo exma".split()
)
"""Words whose full stop ends no sentence: English, Hindi, Spanish, French, Italian, Portuguese."""

_UNSPACED: Final = (
    r"\u3005\u3006\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufa6d\ufa70-\ufad9\uff66-\uff9f\U00020000-\U0002a6df"
)
"""Of a character class: kana and Han characters, all of them letters."""
_UNSPACED_LETTER: Final = re.compile(f"[{_UNSPACED}]")
_STOP: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’)\]»*_]*+(?=\s)"
    r"|[,;:—–][\"'”’)\]»*_]*+(?=\s)"
    rf"|(?<=[{_UNSPACED}])[.!?,;:]++(?=[{_UNSPACED}])"
    r"|(?<![।॥。！？｡．])[।॥。！？｡．]++[\"'”’)\]*_」』）】》〉]*+(?=[^\"'”’)\]*_」』）】》〉])"
    r"|[、，；：､][」』）】》〉]*+(?=[^」』）】》〉])"
    r"|(?<!\n)\n++(?=\S)",
)
"""A pause mark with closing quotes: with white space behind it (so "3.14", "1,000" and "10:30" hold none), but for the
danda and the marks of Chinese and Japanese, which need none.

Here and in `_WORD` each run of characters is looked at once, from its beginning: odd text costs no more than other."""
_WORD: Final = re.compile(r"(?<!\S)\S++\s")
_PART: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]++")
"""What is counted: a word, or a character of a text without spaces."""

_SENTENCE_MARKS: Final = ".!?…।॥。！？｡．\n"
JOINERS: Final = frozenset(
    "and but or so because which that when while if then with for to in on at और लेकिन या कि "
    "pero porque cuando para con sin mais parce quand pour avec sans perché quando quindi mas então também".split()
)
"""A phrase without any mark is cut in front of one of these."""
VERBS: Final = frozenset(
    "is are was were has have had can will would could should may might must does do did "
    "es está están puede est sont peut è sono può é são está pode".split()
)
"""The first phrase is also cut in front of one of these: "The largest ocean | is"."""
CLINGING: Final = VERBS | frozenset(
    "i you he she it we they that this there who what which these those my your his her its our their not no very a an"
    " the of to in on at by for with from as than about and or but so if because when while और या का की के एक"
    " el la los las un una de del por al su tu mi le les des du au aux une ce cette il lo gli di della nel"
    " os da dos das na um uma".split()
)
"""Words that belong to the next one: "the | capital" and "they | have" are not parted where there is a choice."""
OBJECTS: Final = frozenset("it me him them us".split())
"""Words that belong to the one before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In words; a character of a text without spaces is half a word."""

    min_clause: float
    """Shortest phrase that may end at a comma."""
    min_sentence: float
    """Shortest phrase that may end at a full stop; shorter ones join the next."""
    longest: int
    """Longest phrase without any mark."""
    min_joined: int | None = None
    """Shortest phrase that ends in front of a joining word or a verb as soon as one comes; None: such a place is only
    looked for when the phrase is too long."""


LONGEST_CHARS: Final = 500
"""A phrase is cut here wherever that is: no text, however odd, costs more than its length."""

STAGES: Final = (
    Limits(min_clause=2, min_sentence=1, longest=6, min_joined=3),
    Limits(min_clause=4, min_sentence=2, longest=12),
    Limits(min_clause=6, min_sentence=3, longest=24),
)
"""Of the first phrase, the second, and all others. On 40 questions SmolLM2's first phrase is whole after 7.1 tokens;
with longest=8 and no min_joined it takes 8.8. Each limit is at most twice the one before, so that a voice that takes
half as long as its speech is never waited for."""
FIRST, LATER = STAGES[0], STAGES[-1]
MIN_LETTERS: Final = 5
"""Shorter phrases join the next: alone, "Sure!" and "No." of Kokoro's af_heart and "हाँ।" of hf_alpha are heard by
Whisper as "Shu'er", "Now" and "हाभी"; what is longer is heard as what it is, and so are they in "Sure! It is easy.".
SmolLM2's first phrase (40 questions) is whole 0.05 tokens later so."""
LETTERS_OF_UNSPACED: Final = 2
LETTERS_OF_DIGIT: Final = 3
"""So many letters a character of Chinese or Japanese counts, or a digit."""
SLACK: Final = 2.0
"""A text without spaces is cut when it is so many words longer than it should be: a mark may come."""

_FENCES: Final = ("```", "~~~")
_BLOCK: Final = re.compile(r"\s*?(?P<line>^|\n)[ ]{0,3}(?P<mark>```|~~~|\|)")
"""At the beginning of what is left; `^` counts only where a line begins."""
_BLOCK_AHEAD: Final = re.compile(r"\n(?=([ ]{0,3}(?:```|~~~|\|)))")
_ROWS: Final = re.compile(r"\s*?(?:^|\n)(?:[ ]{0,3}\|[^\n]*+\n)++")
_CLOSING: Final = {mark: re.compile(rf"\n[ ]{{0,3}}{mark}{mark[0]}*+[ \t]*+\n") for mark in _FENCES}


def is_unspaced(letter: str) -> bool:
    """Of Chinese or Japanese, where no spaces part the words."""
    return _UNSPACED_LETTER.match(letter) is not None


def is_hiragana(letter: str) -> bool:
    return "\u3041" <= letter <= "\u3096"


@dataclass(frozen=True, slots=True)
class Cut:
    """A phrase."""

    text: str
    silent: bool = False
    """Nothing of it is said aloud."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the text may be cut."""

    known_at: int
    """So much of the text has to be there to be certain of it."""
    end: int


class PhraseSplitter:
    """Feed it deltas; it returns the phrases that are complete."""

    def __init__(self) -> None:
        self._text = ""
        self._stage = 0
        self._fence = ""
        """What the code block that goes on began with."""
        self._line_begins = True
        """With what is left."""

    @property
    def pending(self) -> str:
        """Of the text, what is in no phrase yet."""
        return self._text

    def feed(self, delta: str) -> list[Cut]:
        self._text += delta
        cuts, at = [], 0
        while (cut := self._next(self._text[at : at + LONGEST_CHARS + 1])) is not None:
            cuts.append(cut)
            at += len(cut.text)
        self._text = self._text[at:]
        return cuts

    def finish(self) -> list[Cut]:
        """The rest, when the text has ended."""
        rest, self._text = self._text, ""
        return [self._cut(rest, silent=bool(self._fence) or self._block(rest) is not None)] if rest else []

    def _next(self, text: str) -> Cut | None:
        """text: what is left, no more of it than is looked at."""
        start, silent = text[:LONGEST_CHARS], True
        if self._fence:
            end = self._end_of_code(start)
        elif (block := self._block(start)) is not None:
            end = self._end_of_block(start, block)
        else:
            end, silent = self._end_of_phrase(start), False
        if end is None and len(text) > LONGEST_CHARS:
            end = LONGEST_CHARS
        return None if end is None else self._cut(start[:end], silent=silent)

    def _cut(self, text: str, *, silent: bool) -> Cut:
        self._line_begins = text.endswith("\n")
        silent = silent or not any(map(str.isalnum, text))
        if not silent:
            self._stage = min(self._stage + 1, len(STAGES) - 1)
        return Cut(text, silent)

    # --- what is not said ---------------------------------------------------------------------------------------

    def _block(self, text: str) -> re.Match[str] | None:
        """The beginning of a code block or of rows, if that is what comes next."""
        block = _BLOCK.match(text)
        return block if block is not None and (self._line_begins or block["line"]) else None

    def _end_of_block(self, text: str, block: re.Match[str]) -> int | None:
        if block["mark"] in _FENCES:
            self._fence = block["mark"]
            return block.end()
        rows = _ROWS.match(text)
        return None if rows is None else rows.end()

    def _end_of_code(self, text: str) -> int | None:
        """Behind its closing line, or as many lines as there are."""
        before = "\n" if self._line_begins else ""
        closing = _CLOSING[self._fence].search(before + text)
        if closing is not None:
            self._fence = ""
            return closing.end() - len(before)
        return text.rfind("\n") + 1 or None

    # --- what is said -------------------------------------------------------------------------------------------

    @property
    def _limits(self) -> Limits:
        return STAGES[self._stage]

    def _end_of_phrase(self, text: str) -> int | None:
        """The cut that is certain first, so that the same text is cut alike however it comes."""
        places = (_before_block(text), self._before_a_word(text), self._between_characters(text))
        first = min(filter(None, places), key=lambda place: place.known_at, default=None)
        mark = self._mark(text, len(text) if first is None else first.known_at)
        return mark if mark is not None or first is None else first.end

    def _mark(self, text: str, known_at: int) -> int | None:
        """The end of the first pause that is certain as soon as so much of the text is there."""
        size, looked_to = 0.0, 0
        for mark in takewhile(lambda mark: mark.end() < known_at, _STOP.finditer(text)):
            size += sum(_size(part.group()) for part in _PART.finditer(text, looked_to, mark.end()))
            looked_to = mark.end()
            if self._pauses_at(text, mark, size):
                return mark.end()
        return None

    def _pauses_at(self, text: str, mark: re.Match[str], size: float) -> bool:
        """size: of the text up to there, in words."""
        if mark.group()[0] not in _SENTENCE_MARKS:
            shortest = self._limits.min_clause
        elif _is_abbreviation(text, mark):
            return False
        else:
            shortest = self._limits.min_sentence
        return size >= shortest and _has_letters(text[: mark.end()])

    def _before_a_word(self, text: str) -> _Place | None:
        """No mark in sight: cut in front of a joining word, or at the limit."""
        shortest, longest = self._limits.min_joined, self._limits.longest
        words = [*islice(_WORD.finditer(text), longest + 1)]
        said = [word.group()[:-1] for word in words]
        if shortest is not None and (joint := _joint(said, shortest)) is not None:
            return _Place(words[joint].end(), words[joint].start())
        if len(said) <= longest:
            return None
        count = _loose(said) if shortest is not None else _joined(said)
        return _Place(words[longest].end(), words[count].start())

    def _between_characters(self, text: str) -> _Place | None:
        """The same of a text without spaces; where hiragana end, a word does."""
        longest, size, end, place = self._limits.longest, 0.0, 0, 0
        is_word_end = False
        for part in _PART.finditer(text):
            unspaced = is_unspaced(part.group())
            if unspaced and part.start() == end and longest / 2 <= size <= longest:
                ends_word = is_hiragana(text[end - 1]) and not is_hiragana(text[end])
                if ends_word or not is_word_end:
                    place, is_word_end = end, is_word_end or ends_word
            size, end = size + _size(part.group()), part.end()
            if size >= longest + SLACK:
                return _Place(end, place) if place else None
        return None


def _before_block(text: str) -> _Place | None:
    ahead = _BLOCK_AHEAD.search(text)
    return None if ahead is None else _Place(ahead.end(1), ahead.end())


def _size(part: str) -> float:
    """In words; marks alone are none."""
    if is_unspaced(part):
        return 0.5
    return 1.0 if any(map(str.isalnum, part)) else 0.0


def _has_letters(text: str) -> bool:
    """Enough to be a phrase."""
    count = 0
    for character in text:
        count += _weight(character)
        if count >= MIN_LETTERS:
            return True
    return False


def _weight(character: str) -> int:
    if is_unspaced(character):
        return LETTERS_OF_UNSPACED
    if character.isdigit():
        return LETTERS_OF_DIGIT
    return int(unicodedata.category(character)[0] in "LM")


def _is_abbreviation(text: str, mark: re.Match[str]) -> bool:
    if mark.group() != ".":
        return False
    word = text[: mark.start()].rsplit(maxsplit=1)[-1:]
    last = word[0].lstrip("(\"'“‘[") if word else ""
    is_initial = len(last) == 1 and last.isalpha() and last != "I"
    is_list_number = last.isdigit() and text[: mark.start()].strip() == last
    return is_initial or is_list_number or last.lower() in ABBREVIATIONS


def _joint(words: Sequence[str], shortest: int) -> int | None:
    """How many of the words come before the first joint."""
    for count in range(shortest, len(words)):
        if words[count].lower() in JOINERS | VERBS and not _clings(words[count - 1], words[count]):
            return count
    return None


def _loose(words: Sequence[str]) -> int:
    """Of a phrase that is a word too long: as many as may be, but no two that cling to each other."""
    longest = len(words) - 1
    return next((n for n in range(longest, 1, -1) if not _clings(words[n - 1], words[n])), longest)


def _joined(words: Sequence[str]) -> int:
    """As many as may be up to a joining word."""
    longest = len(words) - 1
    return next((n for n in range(longest, longest // 2 - 1, -1) if words[n].lower() in JOINERS), longest)


def _clings(word: str, following: str) -> bool:
    """Also the words of a name, "F. | Scott", and an object, "make | it"."""
    if word.lower() in OBJECTS:
        return following.lower() not in JOINERS
    is_name = word[0].isupper() and following[0].isupper()
    return word.lower() in CLINGING or is_name or word.endswith(".") or following.lower() in OBJECTS
