"""Dates and times of day in English.

Knows: how they are written and read. Does not know: any other numbers.
"""

from __future__ import annotations

from typing import Final

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.english_numbers import cardinal, number, ordinal, year
from voxtral_voice.engines.text.rules import TAKEN, Match, Parts, Rule, one_of, rule

_MONTH: Final = rf"(?:{one_of([*words.MONTHS, *words.SHORT_MONTHS])})"


def date_rules(*, day_first: bool) -> tuple[Rule, ...]:
    return (
        rule(
            r"(?<![\w./:-])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
            lambda m: _date(m[3], m[2], m[1], day_first=day_first),
        ),
        rule(
            r"(?<![\w./-])(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\w-]|/\d)",
            _iso_date,
        ),
        rule(r"(?<![\w./-])(\d{4})/(\d{1,2})/(\d{1,2})(?![\w/-])", lambda m: _date(m[1], m[2], m[3], day_first=False)),
        rule(
            r"(?<![\w./-])(\d{1,2})([/-])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-])",
            lambda m: _numbers_date(m[1], m[3], m[4], day_first=day_first),
        ),
        rule(r"(?<![\w./-])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\w/-])", _month_of_year),
        rule(rf"\b({_MONTH})\.?(\s)(\d{{1,2}})[-–](\d{{1,2}})(,?\s\d{{4}})?+(?![\w:%/])", _month_days),
        rule(rf"\b({_MONTH})\.?(\s)(\d{{1,2}})(?:st|nd|rd|th)?(,?\s\d{{4}})?+(?![\w:%]|[.,]\d|/)", _month_day),
        rule(
            rf"(?<![\w./:-])(\d{{1,2}})(?:st|nd|rd|th)?(\sof)?\s({_MONTH})\b\.?(,?\s\d{{4}}(?!\w))?+",
            _day_month,
        ),
        rule(rf"\b({one_of(words.SHORT_MONTHS)})\b\.?(?=,?\s(?:19|20)\d\d\b)", lambda m: _month(m[1])),
        rule(
            rf"\b({one_of(words.SHORT_DAYS)})\b\.?(?=,?\s(?:{_MONTH}\b|\d|{TAKEN}))", lambda m: words.SHORT_DAYS[m[1]]
        ),
    )


def _month(name: str) -> str:
    return words.MONTHS[words.month(name) - 1]


def is_day(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _year(written: str) -> str:
    if len(written) == 2:
        written = f"{'20' if int(written) < 40 else '19'}{written}"
    return year(int(written)) if int(written) >= 1000 else cardinal(int(written))


def _date(y: str, m: str, d: str, *, day_first: bool) -> str | None:
    month, day = int(m), int(d)
    if not is_day(month, day):
        return None
    if day_first:
        return f"the {ordinal(day)} of {words.MONTHS[month - 1]}, {_year(y)}"
    return f"{words.MONTHS[month - 1]} {ordinal(day)}, {_year(y)}"


def _numbers_date(first: str, second: str, y: str, *, day_first: bool) -> str | None:
    if int(first) > 12 or (day_first and int(second) <= 12):
        return _date(y, second, first, day_first=day_first)
    return _date(y, first, second, day_first=day_first)


def _iso_date(m: Match) -> str | None:
    said = _date(m[1], m[2], m[3], day_first=False)
    return f"{said}, {_clock(int(m[4]), int(m[5]))}" if said and m[4] else said


def _month_day(m: Match) -> Parts | None:
    if not 1 <= int(m[3]) <= 31:
        return None
    day = ordinal(int(m[3]))
    return (_month(m[1]), f"{day},", _year(m[4][-4:])) if m[4] else (_month(m[1]), day)


def _month_of_year(m: Match) -> str:
    return f"{words.MONTHS[int(m[1]) - 1]} {_year(m[2])}"


def _month_days(m: Match) -> Parts | None:
    if not 1 <= int(m[3]) < int(m[4]) <= 31:
        return None
    days = f"{ordinal(int(m[3]))} to {ordinal(int(m[4]))}"
    return (_month(m[1]), f"{days},", _year(m[5][-4:])) if m[5] else (_month(m[1]), days)


def _day_month(m: Match) -> Parts | None:
    if not 1 <= int(m[1]) <= 31:
        return None
    has_article = m.string[max(0, m.start() - 4) : m.start()].strip().lower() == "the"
    day = ordinal(int(m[1])) if has_article else f"the {ordinal(int(m[1]))}"
    year_parts = (_year(m[4][-4:]),) if m[4] else ()
    months = f"{_month(m[3])}{',' if m[4] else ''}"
    return (day, "of", months, *year_parts) if m[2] else (f"{day} of", months, *year_parts)


# --- times ------------------------------------------------------------------------------------------------------

_NOON: Final = r"(?:[AaPp]\.[Mm](?:\.(?!\s*$|\s+[A-Z]))?|[AaPp][Mm])(?![A-Za-z])"


def time_rules() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w.:/-])(\d{{1,2}}):(\d{{2}}):(\d{{2}})(?:\.\d+)?(\s?)({_NOON})?(?![\w:])", _clock_with_seconds),
        rule(rf"(?<![\w.:/$])(\d{{1,2}})[:.](\d{{2}})(\s?)({_NOON})", _clock_at_noon),
        rule(r"(?<![\w.:/$])(\d{1,2}):00(?=\s(?:noon|midnight|o'clock)\b)", lambda m: cardinal(int(m[1]))),
        rule(r"(?<![\w.:/$])(\d{1,2}):(\d{2})(?![\w:]|\.\d|%)", lambda m: _clock_or_none(int(m[1]), int(m[2]))),
        rule(rf"(?<![\w.:/$])(\d{{1,2}})(\s?)({_NOON})", _hour),
        rule(r"(?<![\w.:/])(\d{1,4}):(\d{1,4})(?![\w:]|\.\d)", lambda m: f"{number(m[1])} to {number(m[2])}"),
    )


def _clock(hour: int, minute: int, *, noon: bool = False) -> str:
    if minute == 0:
        if noon or hour == 0:
            return cardinal(hour) if noon else "midnight"
        return f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def _clock_or_none(hour: int, minute: int) -> str | None:
    return _clock(hour, minute) if hour <= 24 and minute < 60 else None


def _noon(written: str) -> str:
    return f"{written[0].upper()}M"


def _clock_at_noon(m: Match) -> Parts | str | None:
    hour, minute = int(m[1]), int(m[2])
    if hour > 24 or minute > 59:
        return None
    said = (_clock(hour, minute, noon=True), _noon(m[4]))
    return said if m[3] else " ".join(said)


def _clock_with_seconds(m: Match) -> Parts | str | None:
    hour, minute, second = int(m[1]), int(m[2]), int(m[3])
    if hour > 24 or minute > 59 or second > 59:
        return None
    said = f"{_clock(hour, minute, noon=True)} and {cardinal(second)} {'second' if second == 1 else 'seconds'}"
    if not m[5]:
        return said
    return (said, _noon(m[5])) if m[4] else f"{said} {_noon(m[5])}"


def _hour(m: Match) -> Parts | str | None:
    if not 1 <= int(m[1]) <= 24:
        return None
    said = (cardinal(int(m[1])), _noon(m[3]))
    return said if m[2] else " ".join(said)
