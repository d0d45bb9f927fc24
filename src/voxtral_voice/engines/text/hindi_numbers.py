"""Numbers in Hindi words.

Knows: how numbers are named, in lakh and crore. Does not know: where they stand in a text.
"""

from __future__ import annotations

from typing import Final

_TO_99: Final = (
    "शून्य एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस बीस "
    "इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस "
    "सैंतीस अड़तीस उनतालीस चालीस इकतालीस बयालीस तैंतालीस चवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास "
    "पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ "
    "सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी अस्सी "
    "इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी नब्बे इक्यानवे बानवे तिरानवे चौरानवे "
    "पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे"
).split()
_SCALES: Final = ((10**11, "खरब"), (10**9, "अरब"), (10**7, "करोड़"), (10**5, "लाख"), (1000, "हज़ार"), (100, "सौ"))
_ORDINALS: Final = {1: "पहल", 2: "दूसर", 3: "तीसर", 4: "चौथ", 6: "छठ"}
LONGEST: Final = 13
"""Digits of a number that is named; a longer one is read digit by digit."""


def cardinal(n: int) -> str:
    """0 <= n < 10**LONGEST."""
    if n < 100:
        return _TO_99[n]
    for size, name in _SCALES:
        if n >= size:
            count, rest = divmod(n, size)
            return f"{cardinal(count)} {name}" + (f" {cardinal(rest)}" if rest else "")
    raise AssertionError(n)


def year(n: int) -> str:
    """उन्नीस सौ सैंतालीस; from 2000 on as any number."""
    if not 1100 <= n < 2000:
        return cardinal(n)
    high, low = divmod(n, 100)
    return f"{_TO_99[high]} सौ" + (f" {_TO_99[low]}" if low else "")


def ordinal(n: int, ending: str) -> str:
    """ending: of the adjective, "ा", "ी" or "े": पहला, पाँचवीं, इक्कीसवें."""
    if n in _ORDINALS:
        return _ORDINALS[n] + ending
    return f"{'सौ' if n == 100 else cardinal(n)}व{'ें' if ending == 'े' else 'ीं' if ending == 'ी' else 'ाँ'}"


def one_by_one(digits: str) -> str:
    return " ".join(_TO_99[int(digit)] for digit in digits if digit.isdecimal())


def number(written: str) -> str:
    """Digits with separators and a decimal point: "1,00,000", "3.5", "007". A mere hundred is said without its one."""
    whole, point, decimals = written.replace(",", "").partition(".")
    if not point and (len(whole) > LONGEST or (whole.startswith("0") and len(whole) > 1)):
        return one_by_one(whole)
    words = one_by_one(whole) if len(whole) > LONGEST else cardinal(int(whole or "0"))
    words = "सौ" if whole == "100" else words
    return f"{words} दशमलव {one_by_one(decimals)}" if decimals else words


def half_and_quarter(whole: int, quarters: int) -> str:
    """डेढ़, ढाई, सवा तीन, साढ़े तीन, पौने चार. quarters: 0 to 3 of the next number."""
    match whole, quarters:
        case _, 0:
            return cardinal(whole)
        case 0, _:
            return ("चौथाई", "आधा", "पौन")[quarters - 1]
        case 1, 1:
            return "सवा"
        case 1, 2:
            return "डेढ़"
        case 2, 2:
            return "ढाई"
        case 1, 3:
            return "पौने दो"
    words = {1: "सवा", 2: "साढ़े", 3: "पौने"}
    return f"{words[quarters]} {cardinal(whole + (quarters == 3))}"
