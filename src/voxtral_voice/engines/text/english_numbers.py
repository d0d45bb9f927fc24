"""Numbers in English words.

Knows: how numbers are named. Does not know: where they stand in a text.
"""

from __future__ import annotations

from typing import Final

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS: Final = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES: Final = ("", " thousand", " million", " billion", " trillion")
_ORDINALS: Final = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
LONGEST: Final = 15
"""Digits of a number that is named; a longer one is read digit by digit."""


def cardinal(n: int) -> str:
    """0 <= n < 10**LONGEST."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{_ONES[n // 100]} hundred" + (f" {cardinal(n % 100)}" if n % 100 else "")
    groups: list[str] = []
    for scale in _SCALES:
        n, group = divmod(n, 1000)
        if group:
            groups.append(cardinal(group) + scale)
    return " ".join(reversed(groups))


def ordinal(n: int) -> str:
    words = cardinal(n)
    at = max(words.rfind(" "), words.rfind("-")) + 1
    return words[:at] + _as_ordinal(words[at:])


def _as_ordinal(word: str) -> str:
    if word in _ORDINALS:
        return _ORDINALS[word]
    return f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"


def plural(words: str) -> str:
    """twenties, hundreds, sixes."""
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return words + ("es" if words.endswith("x") else "s")


def year(n: int) -> str:
    """1000 <= n < 10000, in pairs: nineteen oh five, twenty twenty-six, two thousand five."""
    high, low = divmod(n, 100)
    if n % 1000 < 10:
        return cardinal(n)
    if low == 0:
        return f"{cardinal(high)} hundred"
    return f"{cardinal(high)} {'oh ' if low < 10 else ''}{cardinal(low)}"


def pairs(digits: str) -> str:
    """A number that names a thing: four oh four, forty ninety, seven forty-seven."""
    if len(digits) == 3 and digits[0] != "0" and digits[1:] != "00":
        low = int(digits[1:])
        return f"{_ONES[int(digits[0])]} {'oh ' if low < 10 else ''}{cardinal(low)}"
    if len(digits) == 4 and digits[0] != "0" and int(digits) % 1000 >= 10:
        return year(int(digits))
    return number(digits)


def one_by_one(digits: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in digits if digit.isdecimal())


def number(written: str) -> str:
    """Digits with thousands separators and a decimal point: "1,234.50", ".5", "007"."""
    whole, point, decimals = written.replace(",", "").partition(".")
    if not point and (len(whole) > LONGEST or (whole.startswith("0") and len(whole) > 1)):
        return one_by_one(whole)
    words = one_by_one(whole) if len(whole) > LONGEST else cardinal(int(whole)) if whole else ""
    return f"{words} point {one_by_one(decimals)}".strip() if decimals else words
