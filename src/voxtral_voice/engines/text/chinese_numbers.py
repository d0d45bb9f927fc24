"""Numbers in Chinese words.

Knows: how numbers are named. Does not know: where they stand in a text.
"""

from __future__ import annotations

from typing import Final

_DIGITS: Final = "零一二三四五六七八九"
LONGEST: Final = 12
"""Digits of a number that is named; a longer one is read digit by digit."""


def one_by_one(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits if digit.isdecimal())


def cardinal(n: int) -> str:
    """0 <= n < 10**LONGEST."""
    if n == 0:
        return _DIGITS[0]
    said, rest = "", n
    for size, name in ((10**8, "亿"), (10**4, "万"), (1, "")):
        count, rest = divmod(rest, size)
        if count:
            said += ("零" if said and count < 1000 else "") + _below_10000(count) + name
    return said[1:] if 10 <= n < 20 else said


def _below_10000(n: int) -> str:
    said, zero = "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, n = divmod(n, size)
        if digit:
            said += ("零" if zero and said else "") + _DIGITS[digit] + name
        zero = not digit
    return said


def number(written: str) -> str:
    """Digits with separators and a decimal point."""
    whole, _, decimals = written.replace(",", "").partition(".")
    is_named = len(whole) <= LONGEST and not (len(whole) > 1 and whole[0] == "0" and not decimals)
    words = cardinal(int(whole or "0")) if is_named else one_by_one(whole)
    return f"{words}点{one_by_one(decimals)}" if decimals else words


def count(written: str) -> str:
    """In front of what is counted two is 两."""
    return "两" if written == "2" else number(written)
