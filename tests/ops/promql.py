"""Enough of PromQL to know what an expression asks for. Syntax is promtool's business.

Knows: names, selectors, groupings. Does not know: which metrics there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

WORDS: Final = frozenset(
    """and bool by group_left group_right ignoring offset on or unless without
    abs avg avg_over_time ceil changes clamp_max clamp_min count deriv delta floor histogram_quantile increase irate
    label_replace max max_over_time min quantile rate round scalar sum time topk vector""".split()
)
"""Of the language itself, as far as we use it."""
TOKEN: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*")|(?P<variable>\$\w+|\$\{\w+\})|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"""
    r"""|(?P<range>\[[^\]]*\])|(?P<number>\d[\d.e+]*)|(?P<sign>=~|!~|!=|==|>=|<=|[^\s])""",
    re.VERBOSE,
)
GROUPINGS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


@dataclass(frozen=True, slots=True)
class Matcher:
    label: str
    sign: str
    value: str


@dataclass(frozen=True, slots=True)
class Asked:
    """By an expression."""

    selectors: tuple[tuple[str, tuple[Matcher, ...]], ...]
    """Metric and its matchers."""
    groupings: frozenset[str]
    """Labels that are grouped by, or matched on."""


def asked(expression: str) -> Asked:
    """ValueError for a word that is neither of the language nor followed by what a metric may be followed by."""
    tokens = [(match.lastgroup or "", match.group()) for match in TOKEN.finditer(expression)]
    selectors: list[tuple[str, tuple[Matcher, ...]]] = []
    groupings: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        follows = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind != "name":
            at += 1
        elif text in GROUPINGS and follows == "(":
            end = _closing(tokens, at + 1)
            groupings |= {name for kind, name in tokens[at + 2 : end] if kind == "name"}
            at = end + 1
        elif text in WORDS:
            at += 1
        elif follows == "(":
            raise ValueError(f"{text} is no function that is known here")
        else:
            end = _closing(tokens, at + 1) if follows == "{" else at
            selectors.append((text, tuple(_matchers(tokens[at + 2 : end]))))
            at = end + 1
    return Asked(tuple(selectors), frozenset(groupings))


def _closing(tokens: list[tuple[str, str]], at: int) -> int:
    closing = {"(": ")", "{": "}"}[tokens[at][1]]
    return next(i for i in range(at, len(tokens)) if tokens[i][1] == closing)


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[Matcher]:
    for i, (kind, text) in enumerate(tokens):
        if kind == "name":
            yield Matcher(text, tokens[i + 1][1], tokens[i + 2][1].strip('"'))
