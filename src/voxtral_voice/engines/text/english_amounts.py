"""Money, percent and units in English.

Knows: how amounts are written and read. Does not know: any other numbers, the names of units.
"""

from __future__ import annotations

import re
from typing import Final

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.english_numbers import cardinal, number
from voxtral_voice.engines.text.rules import NUMBER, START, TAKEN, Match, Parts, Rule, one_of, rule

_SIGN: Final = one_of(words.CURRENCIES)
_CODE: Final = one_of(words.CURRENCY_CODES)
_SCALE_WORD: Final = r"hundred|thousand|million|billion|trillion|lakhs?|crores?"
_SCALE: Final = rf"(?:(\s?)({_SCALE_WORD}|bn|mn|tn|[Cc]r|[kKmMbBTL])(?![\w]))?+"
_UNIT: Final = rf"(?:{one_of(words.UNITS)})(?![\w°²³/]|-\w)"


def amount_rules() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w$])({_SIGN})({NUMBER})[-–](?:(?:{_SIGN}))?({NUMBER}){_SCALE}", _money_range),
        rule(rf"{START}(\d++),(\d\d)(\s?)(€)(?!\w)", lambda m: _money_behind(m[4], f"{m[1]}.{m[2]}", m[3])),
        rule(rf"(?<![\w$])({_SIGN})(\s?)({NUMBER}){_SCALE}", lambda m: _money(m[1], m[3], m[2], m[4], m[5])),
        rule(rf"(?<![\w$])({_SIGN})[-−]({NUMBER}){_SCALE}", _money_below_zero),
        rule(rf"(?<![\w.])({_CODE})(\s?)({NUMBER}){_SCALE}(?:/-)?", _code_money),
        rule(rf"{START}({NUMBER})(\s?)({_SIGN})(?!\w)", lambda m: _money_behind(m[3], m[1], m[2])),
        rule(
            rf"{START}({NUMBER})(\s?)({_CODE})(?!\w|\.\w|\s?\d)",
            lambda m: _money_behind(words.CURRENCY_CODES[m[3]], m[1], m[2]),
        ),
        rule(rf"{START}({NUMBER})\s?¢", lambda m: f"{number(m[1])} {'cent' if m[1] == '1' else 'cents'}"),
        rule(rf"{START}({NUMBER})(\s?)%", lambda m: (number(m[1]), "percent") if m[2] else f"{number(m[1])} percent"),
        rule(r"(?<![\w.])(\d{1,2})['′](?:\s?(\d{1,2})(?:\"|''|″)?)?(?![\w'])", _feet),
        rule(r"(?<![\w.\"])(\d{1,3}(?:\.\d+)?)\"(?=[\s.,;)x×]|$)", _inches),
        rule(rf"{START}({NUMBER})(\s?)({_UNIT})(?:(?<=[a-z])\.(?=\s[a-z]))?", _unit),
        rule(rf"{START}({NUMBER})-({one_of(u for u in words.UNITS if u.isalpha() and len(u) > 1)})(?![\w/])", _measure),
        rule(
            rf"(?<!\w)({one_of(unit for unit in words.UNITS if '/' in unit)})(?![\w/])", lambda m: words.UNITS[m[1]][1]
        ),
        rule(rf"(?<={TAKEN})\s?/\s?({one_of(words.PER)})(?![\w/])", lambda m: f"per {words.PER[m[1]]}"),
        rule(rf"(?<={TAKEN})/(?=[a-z]{{3,}})", "per"),
        rule(rf"{START}(?<!-)({NUMBER})([kKMB])(?![\w-])", _scaled),
    )


def _money_range(m: Match) -> Parts | str:
    """The currency is said once, behind the end."""
    names = words.CURRENCIES[m[1]]
    said = (f"{number(m[2])} to {number(m[3])}", f"{words.SCALES[m[5]]} {names[1]}" if m[5] else names[1])
    return said if m[4] else " ".join(said)


def _is_one(amount: str) -> bool:
    return amount in ("1", "1.0", "1.00")


def _money(sign: str, amount: str, gap: str, scale_gap: str | None, scale: str | None) -> Parts:
    one, many, cent, cents = words.CURRENCIES[sign]
    amount = amount.removeprefix("0") if amount.startswith("0.") else amount
    if scale:
        said: Parts = (number(amount), f"{words.SCALES[scale]} {many}")
        said = said if scale_gap else (" ".join(said),)
    else:
        said = (_amount(amount, one, many, cent, cents),)
    return ("", *said) if gap else said


def _money_below_zero(m: Match) -> Parts:
    first, *rest = _money(m[1], m[2], "", m[3], m[4])
    return (f"minus {first}", *rest)


def _amount(amount: str, one: str, many: str, cent: str, cents: str) -> str:
    whole, _, decimals = amount.replace(",", "").partition(".")
    if not decimals.strip("0"):
        return f"{number(whole or '0')} {one if _is_one(whole) else many}"
    if len(decimals) > 2 or not cent:
        return f"{number(amount)} {many}"
    small = int(decimals.ljust(2, "0"))
    coins = f"{cardinal(small)} {cent if small == 1 else cents}"
    return f"{number(whole)} {one if _is_one(whole) else many} and {coins}" if whole.strip("0") else coins


def _code_money(m: Match) -> Parts | str:
    return _money(words.CURRENCY_CODES[m[1]], m[3], m[2], m[4], m[5])


def _money_behind(sign: str, amount: str, gap: str) -> Parts | str:
    said = _money(sign, amount, "", None, None)
    first, _, name = (said if isinstance(said, str) else said[0]).rpartition(" ")
    return (first, name) if gap else f"{first} {name}"


def _feet(m: Match) -> Parts | str | None:
    if m[2] is None:
        follows = m.string[m.end() : m.end() + 1]
        return None if follows.isalpha() else f"{cardinal(int(m[1]))} {'foot' if m[1] == '1' else 'feet'}"
    said = (f"{cardinal(int(m[1]))} foot", cardinal(int(m[2])))
    return said if " " in m[0] else " ".join(said)


def _inches(m: Match) -> str | None:
    """Not the end of a quotation."""
    is_quoted = m.string.count('"', max(0, m.start() - 200), m.start()) % 2
    is_in_front = re.match(
        r"\s(?!(?:wide|tall|long|deep|high|and|or|by|x|in|of|to|at)\b)[a-z]", m.string[m.end() : m.end() + 6]
    )
    return None if is_quoted else f"{number(m[1])} {'inch' if m[1] == '1' or is_in_front else 'inches'}"


def _unit(m: Match) -> Parts | str | None:
    amount, gap, unit = m[1], m[2], m[3]
    if gap and unit in words.GLUED_ONLY and unit != "h":
        return None
    if unit == "s" and not gap and amount.endswith("0") and amount.isdigit() and _is_decade(m):
        return None
    one, many = words.UNITS[unit]
    said = (number(amount), one if _is_one(amount) else many)
    return said if gap else " ".join(said)


def _is_decade(m: Match) -> bool:
    before = m.string[max(0, m.start() - 12) : m.start()].lower().split()
    age = before[-1:] and before[-1] in (
        "the",
        "his",
        "her",
        "their",
        "my",
        "your",
        "our",
        "early",
        "mid",
        "late",
        "in",
    )
    is_part = m.string[max(0, m.start() - 6) : m.start()].lower().endswith(("mid-", "early-", "late-"))
    return len(m[1]) in (3, 4) or bool(age) or is_part or m.string[m.start() - 1 : m.start()] == "'"


def _measure(m: Match) -> str:
    """A 10-km run."""
    return f"{number(m[1])} {words.UNITS[m[2]][0]}"


def _behind(m: Match) -> str:
    return m.string[m.end() : m.end() + 16].lower()


def _scaled(m: Match) -> str | None:
    """100K followers; but 4K video, a 7B model, 5K runs."""
    value = float(m[1].replace(",", ""))
    counts = re.match(r"\s(?!(?:run|race|walk|video|screen|tv|monitor|display|resolution|gold)\b)[a-z]", _behind(m))
    if m[2] == "B" or ("." not in m[1] and value <= 10 and (m[2] == "K" or counts is None)):
        return None
    return f"{number(m[1])} {words.SCALES[m[2]]}"
