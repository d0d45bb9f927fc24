"""How a person reads English out.

Knows: the rules, in the order in which they are tried. Does not know: the words of signs and short forms
(`english_words`), markdown, phonemes.

Numbers are read the American way (no "and"); of a date in digits the month stands first unless the text is British or
the number cannot be a month.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from voxtral_voice.engines.text import english_words as words
from voxtral_voice.engines.text.addresses import Wording, address_rules, phone_rules
from voxtral_voice.engines.text.english_amounts import amount_rules
from voxtral_voice.engines.text.english_dates import date_rules, time_rules
from voxtral_voice.engines.text.english_numbers import cardinal, number, one_by_one, ordinal, pairs, plural, year
from voxtral_voice.engines.text.english_short_forms import short_form_rules
from voxtral_voice.engines.text.english_sums import fraction_rules, sum_rules
from voxtral_voice.engines.text.rules import TAKEN, WHOLE, Match, Parts, Rule, one_of, rule

WORDING: Final = Wording(number=number, digits=one_by_one, endings=words.FILE_ENDINGS, names=words.FILE_NAMES)


@cache
def english_rules(*, day_first: bool) -> tuple[Rule, ...]:
    """In order: what knows most of its match comes first."""
    return (
        *_fixed(),
        *phone_rules(one_by_one, "plus"),
        *address_rules(WORDING),
        *_codes(),
        *date_rules(day_first=day_first),
        *time_rules(),
        *sum_rules(),
        *fraction_rules(),
        *amount_rules(),
        *short_form_rules(),
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
        rule(r"(?<=[Tt]he )WHO(?!\w)", "W.H.O."),
        rule(
            r"(?<=[a-z] )A(?=[.,;:!?)]|\s+(?:is|was|or|and|to)\b|\s*$)"
            r"|(?<!\w)A(?=[+-](?:\W|$)|\s(?:to|and|or)\s[B-Z]\b)",
            "eh",
        ),
    )


def _codes() -> tuple[Rule, ...]:
    """Digits that count nothing."""
    return (
        rule(r"(?<![\w-])\d{1,2}(?:-\d{1,2}){2,12}(?![\w-])", lambda m: ", ".join(map(number, m[0].split("-")))),
        rule(r"(?<![A-Za-z])([A-Z])\.(\d{2,4})(?!\w)", lambda m: f"{m[1]} {pairs(m[2])}"),
        rule(r"(?<![\w.])802\.11(?!\d)", "eight oh two dot eleven"),
        rule(r"(?<=[A-Z]{2} )\d{5}(?!\w|[.,]\d)", lambda m: one_by_one(m[0])),
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


# --- what stands between or in front -----------------------------------------------------------------------------

_SAID: Final = rf"[\d{TAKEN}]"


def _joined() -> tuple[Rule, ...]:
    return (
        rule(
            rf"(?<={_SAID})(?<![A-Za-z]\d)(?<![A-Za-z]\d\d)[-–—](?=[$£€₹#~]?\.?{_SAID})"
            rf"|(?<={_SAID} )[-–](?= [$£€₹]?{_SAID})",
            "to",
        ),
        rule(rf"(?<![\w)\]%{TAKEN}])[-−](?=[$£€₹]?\.?{_SAID})", "minus"),
        rule(r"(?<=\b[A-F])-(?=[\s.,;)]|$)", "minus"),
        rule(r"(?<!\S)--(?=[a-z])", "dash dash"),
        rule(r"(?<!\S)-(?=[A-Za-z](?!\w))", "dash"),
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
