"""What a text looks like without what is only there for the eye: markdown, HTML, emoji, control characters.

Knows: markdown's marks, HTML's tags and entities, Unicode's categories. Does not know: languages, numbers, words.

Every character that is left knows which white-space token of the written text it stands in. Code blocks and tables are
left out whole: read aloud they are noise. Each line is looked at by itself, and each pattern scans the text once, so
that odd text costs no more than other.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and where it was written."""

    text: str
    tokens: Sequence[int]
    """Of each character, the number of its white-space token; of white space, that of the token before (or -1)."""

    def edited(self, edits: Iterable[tuple[int, int, str]]) -> Marked:
        """edits: (start, end, put there instead), in order, without overlaps."""
        texts: list[str] = []
        tokens: list[int] = []
        at = 0
        for start, end, new in edits:
            texts += (self.text[at:start], new)
            tokens += self.tokens[at:start]
            tokens += [self.tokens[min(start, len(self.tokens) - 1)] for _ in new]
            at = end
        return Marked("".join([*texts, self.text[at:]]), [*tokens, *self.tokens[at:]]) if at or texts else self


def without_marks(text: str) -> Marked:
    """The words and signs that are there to be said."""
    marked = _of(text)
    for edits in (_unreadable, _blocks, _inline, _entities, _emphasis):
        marked = marked.edited(edits(marked.text))
    return marked


def _of(text: str) -> Marked:
    tokens: list[int] = []
    number = -1
    for number, match in enumerate(re.finditer(r"\S+", text)):
        tokens += [number - 1] * (match.start() - len(tokens))
        tokens += [number] * (match.end() - match.start())
    return Marked(text, tokens + [number] * (len(text) - len(tokens)))


# --- characters -------------------------------------------------------------------------------------------------

_ALIKE: Final = {
    **dict.fromkeys("‘’ʼ′`´", "'"), **dict.fromkeys("‐‑‒﹣－", "-"), **dict.fromkeys("―⸺", "—"),
    **dict.fromkeys("„«‟", "“"),
    "»": "”", "″": '"', "⁄": "/", "∕": "/", "∗": "*", "·": "⋅", "¡": "", "¿": "", "™": "", "®": "", "ª": "ª", "º": "º",
    "\u20e3": "", "‚": ",", "℃": "°C", "℉": "°F", "№": "No. ",
}  # fmt: skip
"""Written in several ways, read in one; the backtick is left as it is until code is found."""
_READ_SYMBOLS: Final = frozenset("°©★⭐→←⇒↔")
"""Of Unicode's "other symbols" (with the emoji), those that have a reading."""
_FOLDED: Final = re.compile(r"[\U0001d400-\U0001d7ff\uff01-\uff5e\ufb00-\ufb06\u2460-\u2473\u3000]")
"""Letters and digits in fancy dress: mathematical, full-width, ligatures, circled."""
_INVISIBLE: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk")
_UNREADABLE: Final = re.compile(r"[^\n\x20-\x5f\x61-\x7ea-z\u0900-\u0965\u0970-\u097f\u3040-\u30ff\u4e00-\u9fff]")


def _unreadable(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _UNREADABLE.finditer(text):
        new = _character(match.group())
        if new in "\u200c\u200d" and new and not _in_devanagari(text, match.start()):
            new = ""
        if new != match.group():
            yield match.start(), match.end(), new


def _in_devanagari(text: str, at: int) -> bool:
    """There a joiner shapes a letter; elsewhere it only glues emoji."""
    return "\u0900" <= text[at - 1 : at] <= "\u097f"


@lru_cache(maxsize=4096)
def _character(c: str) -> str:
    if c.isspace() or c in "`\u200c\u200d":
        return c
    if c in _ALIKE:
        return _ALIKE[c]
    if c.isdecimal() or "₀" <= c <= "₉" or (c.isdigit() and ord(c) > 0x2500):
        return str(unicodedata.digit(c))
    if _FOLDED.match(c):
        return unicodedata.normalize("NFKC", c)
    silent = unicodedata.category(c) in _INVISIBLE or "\ufe00" <= c <= "\ufe0f"
    return "" if silent and c not in _READ_SYMBOLS else c


# --- blocks -----------------------------------------------------------------------------------------------------

_FENCE: Final = re.compile(r"[ \t]*(?:>[ \t]*)*(```|~~~)")
_TABLE_ROW: Final = re.compile(r"\s*+\|.*\|\s*$")
_TABLE_RULE: Final = re.compile(
    r"\s*+\|?+\s*+:?-{2,}+:?\s*+(?:\|\s*+:?-{2,}+:?\s*+)++\|?\s*$|\s*+\|\s*+:?-++:?\s*+\|\s*$"
)
_RULE: Final = re.compile(r"\s{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:=[ \t]*){2,})$")
_DEFINITION: Final = re.compile(r"\s{0,3}\[[^\[\]]+\]:\s*\S+")
_LEAD: Final = re.compile(
    r"[ \t]*(?:>[ \t]?)*+"
    r"(?P<item>(?P<heading>#{1,6}(?=\s|$))|(?:[-*+•◦‣▪●][ \t]+(?:\[[ xX]\][ \t]+)?)|(?=\d{1,3}[.)]\s))?"
)
"""What stands in front of the words of a quotation, a heading, or an item of a list (whose number is read)."""
_NUMBERED: Final = re.compile(r"\d{1,3}\)(?=\s)")
_STOPPED: Final = re.compile(r"[.!?…।॥,;:—|][\"'”’)\]*_`]*$|^$")
_CLOSERS: Final = " \t\r*_#`"


def _blocks(text: str) -> Iterator[tuple[int, int, str]]:
    """Lines that are not spoken go; marks in front of others go; where a block ends, the voice stops."""
    lines = text.split("\n")
    is_code = list(_code_lines(lines))
    at = 0
    for number, line in enumerate(lines):
        if is_code[number] or _is_silent(lines, number):
            yield at, at + len(line), ""
        else:
            following = lines[number + 1] if number + 1 < len(lines) else None
            yield from _line_edits(line, at, following)
        at += len(line) + 1


def _code_lines(lines: Sequence[str]) -> Iterator[bool]:
    fence = ""
    for line in lines:
        match = _FENCE.match(line)
        if match is None:
            yield bool(fence)
            continue
        yield True
        rest = line[match.end() :]
        if fence:
            fence = "" if match.group(1) == fence else fence
        elif match.group(1) not in rest:
            fence = match.group(1)


def _is_silent(lines: Sequence[str], number: int) -> bool:
    line = lines[number]
    if _TABLE_ROW.match(line) and line.count("|") > 2:
        return True
    if _TABLE_RULE.match(line) or _RULE.match(line) or _DEFINITION.match(line):
        return True
    around = lines[max(0, number - 1) : number + 2]
    return "|" in line and any(_TABLE_RULE.match(other) for other in around)


def _line_edits(line: str, at: int, following: str | None) -> Iterator[tuple[int, int, str]]:
    """following: the next line, if there is one."""
    lead = _LEAD.match(line)
    assert lead is not None
    start = at + lead.end()
    yield at, start, ""
    body = line[lead.end() :].rstrip(_CLOSERS)
    if number := _NUMBERED.match(body):
        yield start + number.end() - 1, start + number.end(), "."
    is_item = lead["heading"] is not None or (lead["item"] is not None and following is not None)
    ends = following is not None and (not following.strip() or _RULE.match(following) is not None)
    if body and (is_item or ends) and not _STOPPED.search(body[-8:]):
        yield start + len(body), start + len(body), "."


# --- inside a line ----------------------------------------------------------------------------------------------

_INLINE: Final = re.compile(
    r"<!--(?:[^-]|-(?!->))*+(?:-->|$)"
    r"|!?\[(?P<link>[^\[\]\n]*+)\](?:\((?:[^()\s]|\([^()\s]*+\))*+(?:\s+[^()\n]*+)?\)|\[[^\[\]\n]*+\])"
    r"|(?P<note>\[\^[^\[\]\s]{1,40}\]|(?<=[\w\u0900-\u0963।.,!?\"')])\[\d{1,3}(?:[,–-]\s?\d{1,3})*+\])"
    r"|<(?P<address>(?:https?://|mailto:)?[^\s<>]{1,200}[@:.][^\s<>]{1,2000})>"
    r"|</?(?P<tag>[A-Za-z][A-Za-z0-9]{0,15})(?:[\s/][^<>]{0,2000})?>"
)
_WORD_BEFORE: Final = re.compile(r"(?:[^\W_]|[\u0900-\u0963])\s*\Z")
"""The vowel signs of Devanagari are part of a word, and no letters to `re`."""
_INSIDE_WORDS: Final = frozenset(
    "a abbr b big code del em i ins kbd mark q s small span strike strong sub sup tt u var".split()
)
"""Tags that part no words."""


def _inline(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _INLINE.finditer(text):
        for group in ("link", "address"):
            if match.group(group) is not None:
                yield match.start(), match.start(group), ""
                yield match.end(group), match.end(), ""
                break
        else:
            tag = match.group("tag")
            parts = tag is not None and tag.lower() not in _INSIDE_WORDS
            is_behind_word = _WORD_BEFORE.search(text, max(0, match.start() - 2), match.start()) is not None
            yield match.start(), match.end(), ("," if is_behind_word else "") + " " if parts else ""


_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def _entities(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _ENTITY.finditer(text):
        character = html.unescape(match.group())
        if character != match.group():
            yield match.start(), match.end(), "".join(map(_character, character))


_EMPHASIS: Final = re.compile(
    r"(?<![\w\\*])\*{1,3}+(?=[^\s*])|(?<=[^\s\\*])\*{1,3}+(?![\w*])"
    r"|(?<![^\W_])_++(?=\w)|(?<=[^\W_])_++(?![^\W_])"
    r"|~~++|(?<![\w=])==(?=\w)|(?<=\w)==(?![\w=])|`++|\\(?=[\\`*_{}\[\]()#+.!|<>~$-])"
)


def _emphasis(text: str) -> Iterator[tuple[int, int, str]]:
    return ((match.start(), match.end(), "") for match in _EMPHASIS.finditer(text))
