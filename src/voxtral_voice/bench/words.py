"""How far a transcript is from what was said.

Knows: how spellings are made comparable, edit distance, which languages are counted in characters. Does not know:
turns.

Normalised, in the manner of Whisper's English and basic normalisers: NFKC (of Devanagari that is NFC), lower case,
remarks in brackets dropped, invisible joiners and apostrophes deleted (don't -> dont), commas inside numbers deleted
(1,000 -> 1000), all other punctuation and symbols to spaces, English fillers (um, uh, hmm, mm, mhm) dropped, spaces
single. Vowel signs and accents stay. Numerals stay as they are: "two" and "2" differ, and so do "it's" and "it is".

A transcript comes from the server that is measured, and may be anything: what takes longer than its length is not done
with all of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

SPACELESS: Final = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
IN_CHARACTERS: Final = SPACELESS | {"hi"}
"""Where words are not told apart by spaces, and Hindi, whose word boundaries are written in more than one way."""
REMARK: Final = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>")
"""Up to the next bracket of its kind only, so that brackets which are never closed cost no more than other letters."""
COMMA_IN_NUMBER: Final = re.compile(r"(?<=\d),(?=\d{3})")
APOSTROPHES: Final = re.compile(r"['’ʼ`]")
FILLERS: Final = frozenset({"um", "uh", "hmm", "mm", "mmm", "mhm"})
HEARD_AT_MOST: Final = (20, 2_000)
"""Characters of a transcript that are compared: so many times those of what was said, and so many more."""
ANSWER_AT_MOST: Final = 10_000
"""Characters of a reply that are searched; they take ten minutes to say."""

Unit = Literal["word", "character"]


@dataclass(frozen=True, slots=True)
class Distance:
    """errors: least number of replacements, insertions and deletions; length: of what was really said."""

    errors: int
    length: int


def normalised(text: str, language: str) -> str:
    """language: ISO 639-1, with or without a region."""
    text = REMARK.sub(" ", unicodedata.normalize("NFKC", text).lower())
    text = COMMA_IN_NUMBER.sub("", APOSTROPHES.sub("", text))
    words = "".join(_plain(character) for character in text).split()
    if _base(language) == "en":
        words = [word for word in words if word not in FILLERS]
    return " ".join(words)


def unit(language: str) -> Unit:
    return "character" if _base(language) in IN_CHARACTERS else "word"


def distance(said: str, heard: str, language: str, counted: Unit) -> Distance:
    """Of the normalised texts. In characters, spaces count where the language has them. What goes beyond HEARD_AT_MOST
    is not looked at, so that there are no more errors than that."""
    times, more = HEARD_AT_MOST
    reference, written = normalised(said, language), normalised(_first(heard, times * len(said) + more), language)
    if counted == "word":
        return Distance(edits(reference.split(), written.split()), len(reference.split()))
    if _base(language) in SPACELESS:
        reference, written = reference.replace(" ", ""), written.replace(" ", "")
    return Distance(edits(reference, written), len(reference))


def holds(text: str, answer: str, language: str) -> bool:
    """Whether the words of the answer stand in the text, side by side, in its first ANSWER_AT_MOST characters."""
    words, wanted = normalised(_first(text, ANSWER_AT_MOST), language), normalised(answer, language)
    if _base(language) in SPACELESS:
        return wanted.replace(" ", "") in words.replace(" ", "")
    return f" {wanted} " in f" {words} "


def edits(reference: Sequence[str], written: Sequence[str]) -> int:
    """Levenshtein distance."""
    return edits_of_beginnings(reference, written)[-1]


def edits_of_beginnings(reference: Sequence[str], written: Sequence[str]) -> list[int]:
    """Levenshtein distance of each beginning of `reference`, from none of it to all; one row of the table at a time."""
    names = {item: number for number, item in enumerate({*reference, *written})}
    there = np.array([names[item] for item in written], np.int64)
    steps = np.arange(len(written) + 1)
    row, last = steps, [len(written)]
    for item in reference:
        best = np.concatenate(([row[0] + 1], np.minimum(row[1:] + 1, row[:-1] + (there != names[item]))))
        row = np.minimum.accumulate(best - steps) + steps  # insertions, from left to right
        last.append(int(row[-1]))
    return last


@dataclass(frozen=True, slots=True)
class HeardWords:
    """Of a reply that was broken off."""

    played: int
    """Words of the reply of which the player played at least the half."""
    told: int
    """Words that the server says were heard."""
    off: int
    """Words to replace, insert or delete, from the one to the other."""


def heard_words(reply: str, by_ear: str, told: str, language: str) -> HeardWords | None:
    """reply: all of its text. by_ear: what a transcriber heard of the part that was played. told: the server's word.

    Played is that beginning of the reply, in whole words, whose letters are nearest to those heard by ear; the shorter
    one of two that are equally near. None where words are not told apart by spaces, and when nothing was heard by ear.
    """
    if _base(language) in SPACELESS:
        return None
    whole, heard, said = (normalised(_first(text, ANSWER_AT_MOST), language).split() for text in (reply, by_ear, told))
    if not heard:
        return None
    away = edits_of_beginnings("".join(whole), "".join(heard))
    ends = np.cumsum([0, *map(len, whole)])
    played = min(range(len(whole) + 1), key=lambda count: away[int(ends[count])])
    return HeardWords(played, len(said), edits(whole[:played], said))


def _first(text: str, most: int) -> str:
    """Cut twice: there are characters of which NFKC makes eighteen."""
    return unicodedata.normalize("NFKC", text[:most])[:most]


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return " " if category[0] in "PSZC" else character


def _base(language: str) -> str:
    return language.lower().split("-")[0]
