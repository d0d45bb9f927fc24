"""How rules turn what is written into what is said.

Knows: text, patterns, which white-space token a character stands in. Does not know: any language.

A rule finds something in the text and says it. What one rule has said, the next ones see as TAKEN characters only, so
that the first rule that knows something has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from voxtral_voice.engines.text.marks import Marked

TAKEN: Final = "\ue000"
"""Stands for each character that is said already; of a private range, so that no text holds it (see `marks`)."""

Parts = tuple[str, ...]
"""What is said for the white-space tokens of a match, in order; for tokens beyond the last part nothing is said."""
Match = re.Match[str]
Say = Callable[[Match], Parts | str | None]
"""None: this is not what the rule is about."""


@dataclass(frozen=True, slots=True)
class Rule:
    pattern: re.Pattern[str]
    """Takes linear time on any text: bounded or possessive repeats, and no start inside of what it repeats."""
    say: Say


def rule(pattern: str, say: Say | str, flags: int = 0) -> Rule:
    """say: a word stands for itself."""
    return Rule(re.compile(pattern, flags), say if callable(say) else lambda _: say)


WHOLE: Final = r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d{1,2}(?:,\d{2}){1,5},\d{3}(?!\d)|\d++)"
"""With thousands separators, or in lakhs and crores."""
NUMBER: Final = rf"{WHOLE}(?:\.\d++)?+|\.\d++"
START: Final = rf"(?<![\w.{TAKEN}])(?<!\d,)"
"""Of a number: not inside of a word or of another one."""


def one_of(names: Iterable[str]) -> str:
    """A pattern for any of them, the longest first."""
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


class Work:
    """A text on its way from written to said."""

    def __init__(self, marked: Marked) -> None:
        self._tokens = marked.tokens
        self._written = marked.text
        self.text = marked.text
        """With TAKEN where a rule has spoken."""
        self._said: dict[int, str] = {}
        """Position -> what is said from there on."""

    def apply(self, rules: Sequence[Rule], applies: Callable[[int], bool]) -> None:
        """applies: whether the rules are for the token of this number."""
        for each in rules:
            taken: list[tuple[int, int]] = []
            for match in each.pattern.finditer(self.text):
                start, end = match.span()
                if start == end or not applies(self._tokens[start]) or TAKEN in self.text[start:end]:
                    continue
                parts = each.say(match)
                if parts is not None:
                    self._say(start, end, (parts,) if isinstance(parts, str) else parts)
                    taken.append((start, end))
            self._take(taken)

    def _say(self, start: int, end: int, parts: Parts) -> None:
        starts = [
            at
            for at in range(start, end)
            if not self.text[at].isspace() and (at == start or self._tokens[at] != self._tokens[at - 1])
        ]
        kept = [*parts[: len(starts) - 1], " ".join(parts[len(starts) - 1 :])]
        for at, part in zip(starts, kept, strict=False):
            self._said[at] = part

    def _take(self, spans: Sequence[tuple[int, int]]) -> None:
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            pieces += (self.text[at:start], *(c if c.isspace() else TAKEN for c in self.text[start:end]))
            at = end
        if spans:
            self.text = "".join([*pieces, self.text[at:]])

    def said(self, tokens: int) -> list[str]:
        """Of each token, what was said and what no rule has found, in order; not tidied."""
        out: list[list[str]] = [[] for _ in range(tokens)]
        for at, (c, token) in enumerate(zip(self.text, self._tokens, strict=True)):
            if at in self._said:
                out[token] += (" ", self._said[at], " ")
            elif c != TAKEN and token >= 0:
                out[token].append(c)
        return ["".join(pieces) for pieces in out]
