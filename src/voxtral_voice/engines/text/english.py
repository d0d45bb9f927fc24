"""How a person reads English out.

Knows: the rules, in the order in which they are tried. Does not know: the words of signs and short forms
(`english_words`), markdown, phonemes.

Numbers are read the American way (no "and"); of a date in digits the month stands first unless the text is British or
the number cannot be a month.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final
from unicodedata import digit

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.addresses import Wording, address_rules, phone_rules
from voxtral_voice.engines.text.english_numbers import cardinal, number, one_by_one, ordinal, pairs, plural, year
from voxtral_voice.engines.text.rules import TAKEN, Parts, Rule, rule

Match = re.Match[str]

WORDING: Final = Wording(number=number, digits=one_by_one, endings=words.FILE_ENDINGS, names=words.FILE_NAMES)

WHOLE: Final = r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d{1,2}(?:,\d{2}){1,5},\d{3}(?!\d)|\d++)"
"""With thousands separators, or in lakhs and crores."""
NUMBER: Final = rf"{WHOLE}(?:\.\d++)?+|\.\d++"
START: Final = rf"(?<![\w.{TAKEN}])(?<!\d,)"


def one_of(names: Iterable[str]) -> str:
    """A pattern for any of them, the longest first."""
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


@cache
def english_rules(*, day_first: bool) -> tuple[Rule, ...]:
    """In order: what knows most of its match comes first."""
    return (
        *_fixed(),
        rule(
            r"(?<![\w./:-])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
            lambda m: _date(m[3], m[2], m[1], day_first=day_first),
        ),
        *address_rules(WORDING),
        *phone_rules(one_by_one, "plus"),
        *_codes(),
        *_dates(day_first),
        *_times(),
        *_sums(),
        *_fractions(),
        *_quantities(),
        *_short_forms(),
        *_counts(),
        *_joined(),
        *_plain_numbers(),
        *_signs(),
    )


# --- what is known by its letters -------------------------------------------------------------------------------


def _fixed() -> tuple[Rule, ...]:
    return (
        rule(r"(?<![\w)])(?:[:;=]['-]?[)(\]\[DPpOo/|*]+|<3|[xX]D)(?![\w/])", ""),
        rule(rf"(?<![\w/.$])(?:{one_of(words.ACRONYMS)})(?![\w/+#%]|[-.]\d|\.[a-z])", lambda m: words.ACRONYMS[m[0]]),
        rule(r"(?<=[a-z] )A(?=[.,;:!?)]|\s+(?:is|was|or|and|to)\b|\s*$)|(?<!\w)A(?=\s(?:to|and|or)\s[B-Z]\b)", "eh"),
    )


def _codes() -> tuple[Rule, ...]:
    """Digits that count nothing."""
    return (
        rule(r"(?i)(?<=call |dial )\d{3}(?!\w|[.,-]\d)", lambda m: one_by_one(m[0])),
        rule(r"(?<![\w.-])\d{4}(?:[ -]\d{4}){2,4}(?![\w-])", _grouped),
        rule(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])", _grouped),
        rule(r"(?<![\d.,])\d(?:,?\d){15,}+", lambda m: one_by_one(m[0])),
        rule(
            r"(?i)(?:(?<=code )|(?<=otp: )|(?<=otp )|(?<=otp is )|(?<=pin )|(?<=pin is )|(?<=zip ))"
            r"\d{4,8}(?![\w.,-]*\d)",
            lambda m: one_by_one(m[0]),
        ),
    )


def _grouped(m: Match) -> Parts:
    said = [", ".join(one_by_one(group) for group in token.split("-")) for token in m[0].split()]
    return (*(f"{part}," for part in said[:-1]), said[-1])


# --- dates ------------------------------------------------------------------------------------------------------

_MONTH: Final = rf"(?:{one_of([*words.MONTHS, *words.SHORT_MONTHS])})"


def _dates(day_first: bool) -> tuple[Rule, ...]:
    return (
        rule(
            r"(?<![\w./-])(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\w-]|/\d)",
            _iso_date,
        ),
        rule(r"(?<![\w./-])(\d{4})/(\d{1,2})/(\d{1,2})(?![\w/-])", lambda m: _date(m[1], m[2], m[3], day_first=False)),
        rule(
            r"(?<![\w./-])(\d{1,2})([/-])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-])",
            lambda m: _numbers_date(m[1], m[3], m[4], day_first=day_first),
        ),
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


def _is_day(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _year(written: str) -> str:
    if len(written) == 2:
        written = f"{'20' if int(written) < 50 else '19'}{written}"
    return year(int(written)) if int(written) >= 1000 else cardinal(int(written))


def _date(y: str, m: str, d: str, *, day_first: bool) -> str | None:
    month, day = int(m), int(d)
    if not _is_day(month, day):
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


def _times() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w.:/-])(\d{{1,2}}):(\d{{2}}):(\d{{2}})(?:\.\d+)?(\s?)({_NOON})?(?![\w:])", _clock_with_seconds),
        rule(rf"(?<![\w.:/$])(\d{{1,2}})[:.](\d{{2}})(\s?)({_NOON})", _clock_at_noon),
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


# --- sums and fractions -----------------------------------------------------------------------------------------


def _sums() -> tuple[Rule, ...]:
    """Signs between two numbers or letters; spaces around a sign are its own tokens' business."""
    return (
        rule(r"(?<=\d)-(?=\d++(?:\.\d++)?\s?=)|(?<=[\w)²³] )[-−](?= [\w(√][^\n=]{0,60}=)", "minus"),
        rule(r"(?<==)[-−](?=\d)|(?<== )[-−](?=\d)", "minus"),
        rule(r"(?<=[\w)²³])−(?=[\w(])|(?<=[\w)²³] )−(?= [\w(])", "minus"),
        rule(r"(?<=\d)/(?=\d++(?:\.\d++)?\s?=)|(?<=[\d)] )/(?= [\d(])", "divided by"),
        rule(r"(?<=[\w)])\*(?=[\w(])|(?<=[\w)] )\*(?= [\w(])", "times"),
        rule(r"(?<=[\w)])(⁻?)([⁰¹²³⁴-⁹]{2,9}|[⁰¹⁴-⁹])", _power),
        rule(r"\^\{?2\}?(?!\d)", "squared"),
        rule(r"\^\{?3\}?(?!\d)", "cubed"),
        rule(r"(?<=[\w)])(?:\^|\*\*)(?=[\w({-])", "to the power of"),
        rule(r"(?<![\w])[a-z]{2,3}(?=[²³])", lambda m: " ".join(m[0])),
        rule(r"(?<![\w])a(?=[²³^]|\s[-+*/=×÷−]\s)", "eh"),
        rule(r"(?<=\w)\s?(?:<=|=<)\s?(?=[\w-])", "less than or equal to"),
        rule(r"(?<=\w)\s?>=\s?(?=[\w-])", "greater than or equal to"),
        rule(r"(?<=\w)\s?(?:!=|≠)\s?(?=[\w-])", "is not equal to"),
        rule(r"(?<=\w)\s?==+\s?(?=[\w-])", "equals"),
    )


def _power(m: Match) -> str:
    """A raised number behind a word is the number of a note."""
    if m.string[max(0, m.start() - 2) : m.start()].isalpha() and m.start() > 1:
        return ""
    return f"to the power of {'minus ' if m[1] else ''}{number(''.join(str(digit(c)) for c in m[2]))}"


_PARTS: Final = {2: "half", 4: "quarter"}


def _fractions() -> tuple[Rule, ...]:
    glyphs = one_of(words.FRACTIONS)
    return (
        rule(rf"(\d++)?({glyphs})", lambda m: _mixed(m[1], *words.FRACTIONS[m[2]])),
        rule(r"(?<![\w./:-])(\d{1,3})(\s)(\d{1,2})/(\d{1,3})(?![\w/]|[.-]\d)", _written_mixed),
        rule(r"(?<![\w./:-])(\d{1,3})/(\d{1,3})(?![\w/]|[.-]\d)", lambda m: _slashed(int(m[1]), int(m[2]))),
    )


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
    return (number(m[1]), _mixed("0", upper, lower).removeprefix("zero "))


def _slashed(upper: int, lower: int) -> str | None:
    """A fraction, else a day of the year, else one number over another."""
    if lower == 10 and upper <= 10:
        return f"{cardinal(upper)} out of ten"
    if 0 < upper < lower and lower in (2, 3, 4, 5, 6, 7, 8, 9, 16, 32, 64, 100):
        return _fraction(upper, lower)
    if _is_day(upper, lower):
        return f"{words.MONTHS[upper - 1]} {ordinal(lower)}"
    if _is_day(lower, upper):
        return f"{words.MONTHS[lower - 1]} {ordinal(upper)}"
    return f"{number(str(upper))} over {number(str(lower))}"


# --- money, units -----------------------------------------------------------------------------------------------

_SIGN: Final = one_of(words.CURRENCIES)
_CODE: Final = one_of(words.CURRENCY_CODES)
_SCALE_WORD: Final = r"hundred|thousand|million|billion|trillion|lakhs?|crores?"
_SCALE: Final = rf"(?:(\s?)({_SCALE_WORD}|bn|mn|tn|[Cc]r|[kKmMbBTL])(?![\w]))?+"
_UNIT: Final = rf"(?:{one_of(words.UNITS)})(?![\w°²³/]|-\w)"


def _quantities() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w$])({_SIGN})({NUMBER})[-–](?:(?:{_SIGN}))?({NUMBER}){_SCALE}", _money_range),
        rule(rf"{START}(\d++),(\d\d)(\s?)(€)(?!\w)", lambda m: _money_behind(m[4], f"{m[1]}.{m[2]}", m[3])),
        rule(rf"(?<![\w$])({_SIGN})(\s?)({NUMBER}){_SCALE}", lambda m: _money(m[1], m[3], m[2], m[4], m[5])),
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


def _money(sign: str, amount: str, gap: str, scale_gap: str | None, scale: str | None) -> Parts | str:
    one, many, cent, cents = words.CURRENCIES[sign]
    amount = amount.removeprefix("0") if amount.startswith("0.") else amount
    if scale:
        said: Parts = (number(amount), f"{words.SCALES[scale]} {many}")
        said = said if scale_gap else (" ".join(said),)
    else:
        said = (_amount(amount, one, many, cent, cents),)
    return ("", *said) if gap else said


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
    return len(m[1]) in (3, 4) or bool(age) or m.string[m.start() - 1 : m.start()] == "'"


def _measure(m: Match) -> str:
    """A 10-km run."""
    return f"{number(m[1])} {words.UNITS[m[2]][0]}"


def _scaled(m: Match) -> str | None:
    """100K followers; but 4K video, a 7B model, 5K runs."""
    value = float(m[1].replace(",", ""))
    if m[2] == "B" or ("." not in m[1] and value <= 10 and (m[2] != "M" or m.string[m.end() : m.end() + 1] != " ")):
        return None
    return f"{number(m[1])} {words.SCALES[m[2]]}"


# --- short forms ------------------------------------------------------------------------------------------------

_ROMAN: Final = r"(?=[IVXLC]{1,7}(?![\w']))(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_CHAPTERS: Final = (
    "Chapter|Part|Act|Scene|Volume|Vol\\.|Book|Section|Title|Article|Phase|Stage|Type|Level|Grade|Class|Appendix|Figure|Table|"
    "World War|Super Bowl|Episode|Round|Schedule|Annex"
)


def _short_forms() -> tuple[Rule, ...]:
    before = one_of(words.BEFORE_NUMBERS)
    return (
        rule(rf"(?i)(?<![\w.])({before})\.\s?(?=[#]?\d)", lambda m: words.BEFORE_NUMBERS[m[1].lower()]),
        rule(r"(?<=[a-z] )(St|Dr|Sq|Ct)(?:\.|(?=\s*[,;)]|\s*$))(?=\s*[,;)]|\s+[a-z]|\s*$)", _behind_name),
        rule(r"(?<=[a-z] )(St|Dr)\.(?=\s+(?:Apt|Suite|Unit|#|It|He|She|They|We|The|I|You|Turn|Then)\b)", _behind_name),
        rule(
            rf"(?<![\w.])({one_of(words.BEFORE_NAMES)})\.\s?(?=[A-Z\"“(]|and\s[A-Z])",
            lambda m: words.BEFORE_NAMES[m[1]],
        ),
        rule(rf"(?<![\w.])({one_of(words.BARE_BEFORE_NAMES)})(?=\s[A-Z][a-z])", lambda m: words.BEFORE_NAMES[m[1]]),
        rule(rf"(?<=[\w,] )({one_of(words.BEHIND_NAMES)})\.(?!\w)", _behind_name),
        rule(rf"(?<![\w.])({one_of([*words.ANYWHERE, *(w.capitalize() for w in words.ANYWHERE)])})\.(?!\w)", _short),
        rule(rf"(?<=\b)({_CHAPTERS})(\s)({_ROMAN})(?![\w'])", _chapter),
        rule(rf"(?<![\w.])([A-Z][a-z]+)(\s)({_ROMAN})(?![\w'])", _ruler),
    )


_NEW_SENTENCE: Final = re.compile(
    r"[\"”')]*(?:\s*$|\s*\n|\s+(?:It|He|She|They|We|The|I|You|This|That|Then|But|And|So|In|A|An|If|When|There|What|How|Is|Are|Do)\b)"
)


def _ends_sentence(m: Match) -> bool:
    """The full stop is also that of the sentence."""
    return _NEW_SENTENCE.match(m.string, m.end(), m.end() + 40) is not None


def _behind_name(m: Match) -> str:
    return words.BEHIND_NAMES[m[1]] + ("." if _ends_sentence(m) else "")


def _short(m: Match) -> str | None:
    said = words.ANYWHERE.get(m[1]) or words.ANYWHERE[m[1][0].lower() + m[1][1:]]
    if m[1].lower() in ("min", "max", "sat", "sun", "mar", "temp", "est", "ext") and _ends_sentence(m):
        return None
    follows = m.string[m.end() : m.end() + 4].lstrip()
    starts_anew = m[1] in ("etc", "p.m", "a.m", "P.M", "A.M") and follows[:1].isupper()
    return said + ("." if _ends_sentence(m) or starts_anew else "")


def roman(numeral: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[c] for c in numeral]
    following = [*values[1:], 0]
    return sum(-value if value < after else value for value, after in zip(values, following, strict=True))


def _chapter(m: Match) -> Parts | None:
    n = roman(m[3])
    return (*m[1].replace("Vol.", "volume").split(), cardinal(n)) if n else None


def _ruler(m: Match) -> Parts | None:
    """Henry VIII is the eighth, Rocky IV is four; a lone I, or letters that are short for something, are no number."""
    n = roman(m[3])
    if not n or (m[1] not in words.REGNAL and (m[3] in "I" or set(m[3]) & set("LC") or m[3] in ("V", "X"))):
        return None
    if m[1] in words.REGNAL:
        return None if m[3] == "I" and not _is_after_name(m) else (m[1], f"the {ordinal(n)}")
    return (m[1], cardinal(n))


def _is_after_name(m: Match) -> bool:
    """ "Elizabeth I was", not "Peter I think": a verb of being, a stop or the end follows."""
    return (
        re.match(r"\s*(?:$|[,.;:)]|was|is|of|and|ruled|reigned|had|became|died)", m.string[m.end() : m.end() + 12])
        is not None
    )


# --- counts -----------------------------------------------------------------------------------------------------


def _counts() -> tuple[Rule, ...]:
    return (
        rule(r"(?<![\w.])(\d{1,3}(?:,\d{3})*|\d++)(st|nd|rd|th)(?![A-Za-z0-9])", _ordinal),
        rule(r"'?(?<!\w)(?<!\d,)(?:'(?=\d))?(\d0|\d{3}0)'?s(?!\w)", lambda m: plural(_decade(m[1]))),
        rule(r"(?<!\w)'(\d\d)(?![\w'])", lambda m: number(m[1]) if m[1][0] != "0" else f"oh {number(m[1][1])}"),
        rule(r"(?<![\w.])(\d{2,5})(\s?)([x×])(\s?)(\d{2,5})(?![\w.])", _size),
        rule(r"(?<![\w.])(\d{1,5}(?:\.\d+)?)(\s?)[x](\s?)(?=\d)", _by),
        rule(r"(?<![\w.])(\d{1,4}(?:\.\d+)?)x(?!\w|\s[-+=*/^<>−×÷]|[-+=*/^²³)])", lambda m: f"{number(m[1])} times"),
        rule(r"(?<![\w.])(\d{3,4})([pi])(?!\w)", lambda m: f"{pairs(m[1])} {m[2].upper()}"),
        rule(rf"(?<=\b)({one_of(words.VERSIONED)})([ -])(\d{{1,3}}(?:\.\d{{1,3}})+)(?![\w.]\d)", _versioned),
    )


def _ordinal(m: Match) -> str:
    digits = m[1].replace(",", "")
    return ordinal(int(digits)) if len(digits) < 16 else f"{one_by_one(digits)} {m[2]}"


def _decade(digits: str) -> str:
    return year(int(digits)) if len(digits) == 4 else cardinal(int(digits))


def _size(m: Match) -> Parts | str | None:
    """1920x1080."""
    if m[3] == "×" and (len(m[1]) < 3 or len(m[5]) < 3):
        return None
    said = (pairs(m[1]), "by", pairs(m[5]))
    return said if m[2] else " ".join(said)


def _by(m: Match) -> Parts | str:
    return (number(m[1]), "by") if m[2] else f"{number(m[1])} by"


def _versioned(m: Match) -> Parts | str:
    said = " point ".join(number(n) for n in m[3].split("."))
    return (m[1], said) if m[2] == " " else f"{m[1]} {said}"


# --- what stands between or in front ----------------------------------------------------------------------------

_SAID: Final = rf"[\d{TAKEN}]"


def _joined() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<={_SAID})(?<![A-Za-z]\d)[-–—](?=[$£€₹#~]?\.?{_SAID})|(?<={_SAID} )[-–](?= [$£€₹]?{_SAID})", "to"),
        rule(rf"(?<![\w)\]%{TAKEN}])[-−](?=[$£€₹]?\.?{_SAID})", "minus"),
        rule(rf"(?<!\w)\+(?={_SAID})", "plus"),
        rule(rf"(?<!\w)~\s?(?={_SAID}|[$£€₹])", "about"),
        rule(rf"(?<=[\w{TAKEN})] )<(?= [\w{TAKEN}(])|<(?=\s?{_SAID})", "less than"),
        rule(rf"(?<=[\w{TAKEN})] )>(?= [\w{TAKEN}(])|(?<![-=<])>(?=\s?{_SAID})", "greater than"),
        rule(r"(?<!\S)(?:[-=]{1,2}>)(?!\S)", "to"),
        rule(rf"#\s?(?={_SAID})", "number"),
        rule(r"(?<![\w&])#(?=[A-Za-z])", "hashtag"),
        rule(r"(?<=\d)\+(?=\s|$|[.,;)])", "plus"),
    )


def _plain_numbers() -> tuple[Rule, ...]:
    whole = rf"(?<![\w.,{TAKEN}])"
    return (
        rule(rf"{whole}(1[1-9]|20)\d\d(?![\d]|[.,]\d|[A-Za-z])", lambda m: year(int(m[0]))),
        rule(r"(?<=[A-Z]{2}[ -])\d{3,4}(?![\w]|[.,]\d)", lambda m: pairs(m[0])),
        rule(rf"(?<=\b)({one_of(words.NUMBERED)})(\s)(\d{{3,4}})(?![\w]|[.,]\d)", lambda m: (m[1], pairs(m[3]))),
        rule(r"(?:(?<=[A-Za-z])|(?<=[A-Za-z]\d-))\d{3,4}(?!\d|\.\d)", lambda m: pairs(m[0])),
        rule(rf"{WHOLE}(?:\.\d++)?+|(?<![\w.])\.\d++", lambda m: number(m[0])),
    )


def _signs() -> tuple[Rule, ...]:
    return (
        rule(r"(?<=[A-Z])/(?=[A-Z])|(?<=\w)_(?=\w)", ""),
        rule(r"(?<=[\w)])/(?=[\w(])|(?<=[\w)] )/(?= [\w(])", "slash"),
        rule(r"(?<=[a-z0-9_])\.(?=[a-z_])", "dot"),
        rule(r"(?<!\S)\$(?=[A-Z_])", "dollar"),
        rule(rf"[{''.join(re.escape(sign) for sign in words.SYMBOLS)}]", lambda m: words.SYMBOLS[m[0]]),
    )
