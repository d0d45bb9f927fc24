"""Sums and fractions in English.

Knows: how they are written and read. Does not know: any other numbers.
"""

from __future__ import annotations

from typing import Final
from unicodedata import digit

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.english_dates import is_day
from voxtral_voice.engines.text.english_numbers import cardinal, number, ordinal, plural
from voxtral_voice.engines.text.rules import TAKEN, Match, Parts, Rule, one_of, rule


def sum_rules() -> tuple[Rule, ...]:
    """Signs between two numbers or letters; spaces around a sign are its own tokens' business."""
    return (
        rule(r"(?<=\d)-(?=\d++(?:\.\d++)?\s?=)|(?<=[\w)²³] )[-−](?= [\w(√][^\n=]{0,60}=)", "minus"),
        rule(r"(?<==)[-−](?=\d)|(?<== )[-−](?=\d)", "minus"),
        rule(r"(?<=[\w)²³])−(?=[\w(])|(?<=[\w)²³] )−(?= [\w(])", "minus"),
        rule(r"(?<=\d)/(?=\d++(?:\.\d++)?\s?=)|(?<=[\d)] )/(?= [\d(])", "divided by"),
        rule(r"(?<=[\w)])\*(?=[\w(])|(?<=[\w)] )\*(?= [\w(])", "times"),
        rule(r"(?<=[\w)])(⁻?)((?<=⁻)[⁰¹²³⁴-⁹]{1,9}|[⁰¹²³⁴-⁹]{2,9}|[⁰¹⁴-⁹])", _power),
        rule(r"(?<![\w.])(\d{1,9}(?:\.\d{1,9})?)[eE]([+-]?)(\d{1,3})(?!\w)", _scientific),
        rule(r"\^\{?2\}?(?!\d)", "squared"),
        rule(r"\^\{?3\}?(?!\d)", "cubed"),
        rule(r"(?<=[\w)])(?:\^|\*\*)(?=[\w({-])", "to the power of"),
        rule(r"(?<![\w])[a-z]{2,3}(?=[²³])", lambda m: " ".join(m[0])),
        rule(r"(?<![\w])a(?=[²³^]|\s[-+*/=×÷−]\s)", "eh"),
        rule(r"(?<=\w)\s?(?:<=|=<)\s?(?=[\w-])", "less than or equal to"),
        rule(r"(?<=\w)\s?>=\s?(?=[\w-])", "greater than or equal to"),
        rule(r"(?<=\w)\s?(?:!=|≠)\s?(?=[\w-])", "is not equal to"),
        rule(rf"(?<=[\w{TAKEN}])\s?==+\s?(?=[\w{TAKEN}-])", "equals"),
    )


def _scientific(m: Match) -> str:
    return (
        f"{number(m[1])} times ten to the power of {'minus ' if m[2] == '-' else ''}{number(m[3].lstrip('0') or '0')}"
    )


def _power(m: Match) -> str:
    """A raised number behind a word is the number of a note."""
    if m.string[max(0, m.start() - 2) : m.start()].isalpha() and m.start() > 1:
        return ""
    return f"to the power of {'minus ' if m[1] else ''}{number(''.join(str(digit(c)) for c in m[2]))}"


_LONG_UNITS: Final = one_of(unit for unit in words.UNITS if unit.isalpha() and len(unit) > 1 and unit != "in")
_UNIT: Final = rf"(?:(?P<gap>\s?)(?P<unit>{_LONG_UNITS})(?![\w/]))?+"
_PARTS: Final = {2: "half", 4: "quarter"}


def fraction_rules() -> tuple[Rule, ...]:
    glyphs = one_of(words.FRACTIONS)
    return (
        rule(rf"(\d++)?({glyphs}){_UNIT}", _glyph),
        rule(rf"(?<![\w./:-])(\d{{1,3}})(\s)(\d{{1,2}})/(\d{{1,3}})(?![\w/]|[.-]\d){_UNIT}", _written_mixed),
        rule(rf"(?<![\w./:-])(\d{{1,3}})/(\d{{1,3}})(?![\w/]|[.-]\d){_UNIT}", _slashed),
    )


def _unit(m: Match, *, is_one: bool) -> Parts:
    """Of the fraction in front of it."""
    name = m["unit"]
    return (words.UNITS[name][0 if is_one else 1],) if name else ()


def _glyph(m: Match) -> Parts | str:
    said = (_mixed(m[1], *words.FRACTIONS[m[2]]), *_unit(m, is_one=not m[1]))
    return said if m["gap"] else " ".join(said)


def _fraction(upper: int, lower: int) -> str:
    name = _PARTS.get(lower) or ordinal(lower)
    return f"{cardinal(upper)} {name if upper == 1 else 'halves' if lower == 2 else plural(name)}"


def _mixed(whole: str | None, upper: int, lower: int) -> str:
    if not whole:
        return _fraction(upper, lower)
    article = upper == 1 and lower in (2, 4)
    return f"{number(whole)} and {f'a {_PARTS[lower]}' if article else _fraction(upper, lower)}"


def _written_mixed(m: Match) -> Parts | None:
    upper, lower = int(m[3]), int(m[4])
    if not 0 < upper < lower or lower not in (2, 3, 4, 5, 6, 8, 10, 16, 32, 64):
        return None
    return (number(m[1]), _mixed("0", upper, lower).removeprefix("zero "), *_unit(m, is_one=False))


def _slashed(m: Match) -> Parts | None:
    """A fraction, else a day of the year, else one number over another."""
    said = _over(int(m[1]), int(m[2]))
    return (said, *_unit(m, is_one=True))


def _over(upper: int, lower: int) -> str:
    if lower == 10 and upper <= 10:
        return f"{cardinal(upper)} out of ten"
    if 0 < upper < lower and lower in (2, 3, 4, 5, 6, 7, 8, 9, 16, 32, 64, 100):
        return _fraction(upper, lower)
    if is_day(upper, lower):
        return f"{words.MONTHS[upper - 1]} {ordinal(lower)}"
    if is_day(lower, upper):
        return f"{words.MONTHS[lower - 1]} {ordinal(upper)}"
    return f"{number(str(upper))} over {number(str(lower))}"
