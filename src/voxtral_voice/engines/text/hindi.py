"""How a person reads Hindi out.

Knows: the rules, in the order in which they are tried. Does not know: the words of signs and short forms
(`hindi_words`), markdown, phonemes.

Numbers are named in lakh and crore; halves and quarters have their own words (डेढ़, ढाई, सवा, साढ़े, पौने) in times, and
before लाख and करोड़. Latin words and addresses inside Hindi are read by the rules of English.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from voxtral_voice.engines.text import hindi_words as words
from voxtral_voice.engines.text.addresses import Wording, address_rules, phone_rules
from voxtral_voice.engines.text.english_words import FRACTIONS as GLYPHS
from voxtral_voice.engines.text.hindi_numbers import cardinal, half_and_quarter, number, one_by_one, ordinal, year
from voxtral_voice.engines.text.rules import NUMBER, START, TAKEN, WHOLE, Match, Parts, Rule, one_of, rule

_WORDING: Final = Wording(
    number=number, digits=one_by_one, dot="डॉट", slash="स्लैश", dash="डैश", underscore="अंडरस्कोर", at="ऐट", plus="प्लस",
    port="पोर्ट", version="वर्ज़न",
)  # fmt: skip
_LETTER: Final = r"[\u0900-\u0963\u0971-\u097f]"


@cache
def hindi_rules() -> tuple[Rule, ...]:
    return (
        rule(
            r"(?<![\w./:-])(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-]|\.\d)",
            lambda m: _date(m[4], m[3], m[1]),
        ),
        rule(r"(?<![\w./-])(\d{4})-(\d{2})-(\d{2})(?![\w/-])", lambda m: _date(m[1], m[2], m[3])),
        *address_rules(_WORDING),
        *phone_rules(one_by_one, "प्लस"),
        *_codes(),
        *_times(),
        *_sums(),
        *_fractions(),
        *_quantities(),
        *_short_forms(),
        *_ordinals(),
        *_joined(),
        *_plain_numbers(),
    )


def _codes() -> tuple[Rule, ...]:
    return (
        rule(r"(?:(?<=पिन )|(?<=कोड )|(?<=ओटीपी ))\d{4,8}(?![\w,.-]*\d)", lambda m: one_by_one(m[0])),
        rule(r"(?<![\w./-])(?:9/11|24[x×/]7)(?![\w/])", lambda m: "नौ ग्यारह" if m[0][0] == "9" else "ट्वेंटी फ़ोर सेवन"),
        rule(r"(?<![\w.-])\d{4}(?:[ -]\d{4}){2,4}(?![\w-])", lambda m: tuple(map(one_by_one, m[0].split()))),
        rule(r"(?<![\d.,])\d(?:,?\d){13,}+", lambda m: one_by_one(m[0])),
    )


# --- dates and times --------------------------------------------------------------------------------------------


def _date(y: str, m: str, d: str) -> str | None:
    month, day = int(m), int(d)
    if month > 12 and day <= 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{cardinal(day)} {words.MONTHS[month - 1]} {_year(y)}"


def _year(written: str) -> str:
    if len(written) == 2:
        written = f"{'20' if int(written) < 40 else '19'}{written}"
    return year(int(written))


def _times() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w.:/])(\d{{1,2}}):(\d{{2}})(\s?)(बजे|बजकर)(?!\w|{_LETTER})", _clock_behind),
        rule(r"(?<![\w.:/])(\d{1,2}):(\d{2})(?::\d{2})?(?:\s?[aApP]\.?[mM]\b\.?)?(?![\w:]|\.\d)", _clock),
        rule(r"(?<![\w.:/])(\d{1,2})\s?[aApP]\.?[mM]\b\.?", lambda m: f"{cardinal(int(m[1]))} बजे"),
        rule(r"(?<![\w.:/])(\d{1,4}):(\d{1,4})(?![\w:]|\.\d)", lambda m: f"{number(m[1])} अनुपात {number(m[2])}"),
    )


_NO_AT: Final = re.compile(r"\s*(?:$|[,.;:!?।)]|(?:पर|से|तक|का|की|के|को|है|हैं|हुए|थे|और|या)(?![\w\u0900-\u0963]))")
"""What stands behind a time that something does not happen at, or that says so itself."""


def _is_clock(m: Match) -> bool:
    return int(m[1]) <= 24 and int(m[2]) < 60


def _quarters(hour: int, minute: int) -> str | None:
    """The whole hour, or half and quarter of an hour of twelve: behind पौने बारह comes पौने एक. None: said in minutes."""
    if minute and (minute % 15 or hour > 12):
        return None
    return "पौने एक" if (hour, minute) == (12, 45) else half_and_quarter(hour, minute // 15)


def _clock_behind(m: Match) -> Parts | str | None:
    """With the word बजे behind it, which minutes do without."""
    if not _is_clock(m):
        return None
    hour, minute = int(m[1]), int(m[2])
    if words_of_quarters := _quarters(hour, minute):
        said: Parts = (words_of_quarters, m[4])
    else:
        said = (
            f"{cardinal(hour)} बजकर",
            f"{cardinal(minute)} मिनट" + ("" if _NO_AT.match(m.string, m.end()) else " पर"),
        )
    return said if m[3] else " ".join(said)


def _clock(m: Match) -> str | None:
    if not _is_clock(m):
        return None
    hour, minute = int(m[1]), int(m[2])
    if hour and (said := _quarters(hour, minute)):
        is_at = re.match(rf"\s+पर(?!\w|{_LETTER})", m.string[m.end() : m.end() + 5])
        return said + ("" if is_at else " बजे")
    return f"{cardinal(hour)} बजकर {cardinal(minute)} मिनट"


# --- sums and fractions -----------------------------------------------------------------------------------------


def _sums() -> tuple[Rule, ...]:
    return (
        rule(r"(?<=\d)-(?=\d++(?:\.\d++)?\s?=)|(?<=\d )[-−](?= \d[^\n=]{0,60}=)", "माइनस"),
        rule(r"(?<=\d)/(?=\d++(?:\.\d++)?\s?=)|(?<=\d )/(?= \d)", "भाग"),
        rule(r"(?<=[\d)])\*(?=[\d(])|(?<=[\d)] )\*(?= [\d(])|(?<=\d)x(?=\d)|(?<=\d )x(?= \d)", "गुणा"),
    )


def _fractions() -> tuple[Rule, ...]:
    return (
        rule(rf"(\d++)?({one_of(GLYPHS)})", lambda m: _mixed(m[1], *GLYPHS[m[2]])),
        rule(r"(?<![\w./:-])(\d{1,3})/(\d{1,3})(?![\w/]|[.-]\d)", lambda m: _fraction(int(m[1]), int(m[2]))),
    )


def _fraction(upper: int, lower: int) -> str:
    return words.FRACTIONS.get((upper, lower)) or f"{cardinal(upper)} बटा {cardinal(lower)}"


def _mixed(whole: str | None, upper: int, lower: int) -> str:
    if whole and 4 % lower == 0 and int(whole) < 10**9:
        return half_and_quarter(int(whole), upper * 4 // lower)
    return f"{number(whole)} सही {_fraction(upper, lower)}" if whole else _fraction(upper, lower)


# --- money, units -----------------------------------------------------------------------------------------------

_SIGN: Final = one_of(words.CURRENCIES)
_SCALE: Final = rf"(?:(\s?)({one_of(words.SCALES)})(?!\w|{_LETTER}))?+"
_UNIT: Final = rf"(?:{one_of(words.UNITS)})(?!\w|{_LETTER})"


def _quantities() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<!\w)({_SIGN})({NUMBER})[-–](?:{_SIGN})?({NUMBER}){_SCALE}", _money_range),
        rule(rf"(?<!\w)({_SIGN})(\s?)({NUMBER}){_SCALE}(?:/-)?", _money),
        rule(rf"(?<!\w)({_SIGN})()[-−]({NUMBER}){_SCALE}", _below_zero),
        rule(rf"{START}({NUMBER})(\s?)({_SIGN})(?!\w|{_LETTER})", lambda m: _behind(m, words.CURRENCIES[m[3]][1])),
        rule(rf"{START}({NUMBER})/-(?!\w)", lambda m: f"{number(m[1])} रुपये"),
        rule(rf"{START}({NUMBER})(\s?)({_UNIT})", _unit),
        rule(r"(?<![\w.])(\d{1,2})'(\d{1,2})\"?(?!\w)", lambda m: f"{number(m[1])} फ़ुट {number(m[2])} इंच"),
        rule(rf"{START}(\d++\.\d++)(?=\s(?:{_HALVED}))", lambda m: _counted(m[1])),
    )


_POSTPOSITION: Final = re.compile(r"\s+(?:का|की|के|में|से|पर|को|तक|वाल)")
"""In front of one a word in -ा ends in -े."""


def _money(m: Match) -> Parts:
    one, many, hundredths = words.CURRENCIES[m[1]]
    if _POSTPOSITION.match(m.string, m.end()):
        one = many
    if m[5]:
        said: Parts = (_counted(m[3]), f"{words.SCALES[m[5]]} {many}")
        said = said if m[4] else (" ".join(said),)
    else:
        said = (_amount(m[3], one, many, hundredths),)
    return ("", *said) if m[2] else said


def _below_zero(m: Match) -> Parts:
    first, *rest = _money(m)
    return (f"माइनस {first}", *rest)


def _amount(amount: str, one: str, many: str, hundredths: str) -> str:
    whole, _, decimals = amount.replace(",", "").partition(".")
    if not decimals.strip("0") or len(decimals) > 2 or not hundredths:
        return f"{number(amount if decimals.strip('0') else whole)} {one if whole == '1' and not decimals else many}"
    coins = f"{cardinal(int(decimals.ljust(2, '0')))} {hundredths}"
    return f"{number(whole)} {one if whole == '1' else many} {coins}" if whole.strip("0") else coins


def _money_range(m: Match) -> Parts | str:
    many = words.CURRENCIES[m[1]][1]
    said = (f"{number(m[2])} से {number(m[3])}", f"{words.SCALES[m[5]]} {many}" if m[5] else many)
    return said if m[4] else " ".join(said)


def _behind(m: Match, name: str) -> Parts | str:
    said = (number(m[1]), name)
    return said if m[2] else " ".join(said)


_QUARTERS: Final = {"25": 1, "5": 2, "50": 2, "75": 3}


def _counted(amount: str) -> str:
    """Of lakhs and crores: 1.5 is डेढ़, 2.75 पौने तीन."""
    whole, _, decimals = amount.replace(",", "").partition(".")
    if decimals in _QUARTERS and whole not in ("", "0") and len(whole) < 10:
        return half_and_quarter(int(whole), _QUARTERS[decimals])
    return number(amount)


_HALVED: Final = "लाख|करोड़|करोड़|अरब|हज़ार|हजार|किलो|किमी|मीटर|लीटर|ग्राम|घंट|मिनट|साल|महीन|प्रतिशत|फ़ीसदी|फीसदी|गुना|इंच|फ़ुट|फुट"
"""What is counted in halves and quarters."""


def _unit(m: Match) -> Parts | str:
    """In front of all units but those of science, a half is साढ़े."""
    name = words.UNITS[m[3]]
    if name.endswith("घंटा") and _POSTPOSITION.match(m.string, m.end()):
        name = f"{name[:-1]}े"
    said = (_counted(m[1]) if re.match(_HALVED, name) else number(m[1]), name)
    return said if m[2] else " ".join(said)


# --- short forms, ordinals --------------------------------------------------------------------------------------


def _short_forms() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<!\w)(?<!{_LETTER})(?:{one_of(words.SHORT)})\.(?!\w)", lambda m: words.SHORT[m[0][:-1]]),
        rule(rf"(?<!\w)(?<!{_LETTER})(?:{_LETTER}{{1,4}}\.){{2,8}}", lambda m: m[0].replace(".", "")),
    )


_ENDINGS: Final = {
    **dict.fromkeys(("वाँ", "वां", "वा", "ला", "रा", "था", "ठा"), "ा"),
    **dict.fromkeys(("वीं", "वी", "ली", "री", "थी", "ठी"), "ी"),
    **dict.fromkeys(("वें", "वे", "ले", "रे", "थे", "ठे"), "े"),
}


def _ordinals() -> tuple[Rule, ...]:
    return (
        rule(
            rf"(?<![\w.])(\d{{1,6}})[-\s]?({one_of(_ENDINGS)})(?!\w|{_LETTER})",
            lambda m: ordinal(int(m[1]), _ENDINGS[m[2]]),
        ),
        rule(r"(?<![\w.])(\d{1,6})(?:st|nd|rd|th)(?!\w)", lambda m: ordinal(int(m[1]), "ा")),
        rule(r"(?<![\w.,])(\d{4})(?=\s(?:के दशक|में))", lambda m: _year(m[1])),
    )


# --- what stands between or in front ----------------------------------------------------------------------------

_SAID: Final = rf"[\d{TAKEN}]"


def _joined() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<={_SAID})[-–—](?=[$£€₹]?{_SAID})|(?<={_SAID} )[-–](?= [$£€₹]?{_SAID})", "से"),
        rule(rf"(?<![\w)\]%{TAKEN}])[-−](?=[$£€₹]?\.?{_SAID})", "माइनस"),
        rule(rf"(?<!\w)\+(?={_SAID})", "प्लस"),
        rule(rf"(?<!\w)~\s?(?={_SAID}|[$£€₹])", "लगभग"),
        rule(rf"#\s?(?={_SAID})", "नंबर"),
        rule(rf"(?<!\w)और/या(?!\w|{_LETTER})", "और या"),
        rule(r"(?<=[\u0900-\u097f])\s?/\s?(?=[\u0900-\u097f])", "या"),
    )


def _plain_numbers() -> tuple[Rule, ...]:
    return (
        rule(rf"(?<![\w.,{TAKEN}])1[1-9]\d\d(?![\d]|[.,]\d)", lambda m: year(int(m[0]))),
        rule(rf"{WHOLE}(?:\.\d++)?+|(?<![\w.])\.\d++", lambda m: number(m[0])),
        rule(rf"[{re.escape(''.join(words.SYMBOLS))}]", lambda m: words.SYMBOLS[m[0]]),
    )
