"""How Spanish, French, Italian and Portuguese are read out.

Knows: the words for signs, money, months and units in each, and the rules, which are the same. Does not know: how a
number is named: digits stay, without thousands separators and with a decimal comma, as the reader of phonemes
(espeak-ng) knows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from voxtral_voice.engines.text.addresses import Wording, address_rules, phone_rules
from voxtral_voice.engines.text.rules import TAKEN, Match, Parts, Rule, one_of, rule

_NUMBER: Final = r"(?:\d{1,3}(?:\.\d{3})++(?!\d)|\d++)(?:[.,]\d++)?+"
_START: Final = rf"(?<![\w.,{TAKEN}])"
_SIGNS: Final = ("%", "&", "+", "=", "@", "×", "÷", "−", "°", "/")


@dataclass(frozen=True, slots=True)
class Words:
    signs: str
    """For each of _SIGNS, separated by "|"."""
    months: str
    date: str
    """With {day}, {month} and {year}."""
    clock: str
    """With {hour} and {minute}."""
    oclock: str
    """With {hour}; minutes are none."""
    money: Mapping[str, tuple[str, str]]
    """One, many."""
    cents: str
    """With {whole}, {name} and {cents}."""
    to: str
    minus: str
    dot: str
    port: str
    dash: str
    underscore: str
    units: Mapping[str, str]
    short: Mapping[str, str]
    number: str
    """In front of the number of a house."""


def _units(
    kilometers: str, meters: str, grams: str, liters: str, degrees: str, per_hour: str, kilo: str
) -> dict[str, str]:
    return {
        "km/h": f"{kilometers} {per_hour}",
        "km": kilometers,
        "m": meters,
        "cm": f"centi{meters}",
        "mm": f"mili{meters}",
        "kg": f"{kilo}{grams}",
        "g": grams,
        "l": liters,
        "L": liters,
        "ml": f"mili{liters}",
        "°C": f"{degrees} Celsius",
        "°F": f"{degrees} Fahrenheit",
        "°": degrees,
        "%": "",
    }


LANGUAGES: Final[Mapping[str, Words]] = {
    "es": Words(
        signs="por ciento|y|más|igual a|arroba|por|entre|menos|grados|barra",
        months="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        date="{day} de {month} de {year}",
        clock="{hour} y {minute}",
        oclock="{hour} en punto",
        money={
            "€": ("euro", "euros"),
            "$": ("dólar", "dólares"),
            "£": ("libra", "libras"),
            "¥": ("yen", "yenes"),
            "₹": ("rupia", "rupias"),
        },
        cents="{whole} {name} con {cents}",
        to="a",
        minus="menos",
        dot="punto",
        port="puerto",
        dash="guion",
        underscore="guion bajo",
        units=_units("kilómetros", "metros", "gramos", "litros", "grados", "por hora", "kilo"),
        short={
            "Sr": "señor",
            "Sra": "señora",
            "Srta": "señorita",
            "Dr": "doctor",
            "Dra": "doctora",
            "Ud": "usted",
            "Uds": "ustedes",
            "etc": "etcétera",
            "p. ej": "por ejemplo",
            "pág": "página",
            "núm": "número",
            "av": "avenida",
            "Av": "avenida",
            "EE. UU": "Estados Unidos",
            "EE.UU": "Estados Unidos",
        },
        number="número",
    ),
    "fr": Words(
        signs="pour cent|et|plus|égale|arobase|fois|divisé par|moins|degrés|barre oblique",
        months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        date="{day} {month} {year}",
        clock="{hour} heures {minute}",
        oclock="{hour} heures",
        money={
            "€": ("euro", "euros"),
            "$": ("dollar", "dollars"),
            "£": ("livre", "livres"),
            "¥": ("yen", "yens"),
            "₹": ("roupie", "roupies"),
        },
        cents="{whole} {name} {cents}",
        to="à",
        minus="moins",
        dot="point",
        port="port",
        dash="tiret",
        underscore="tiret bas",
        units=_units("kilomètres", "mètres", "grammes", "litres", "degrés", "heure", "kilo")
        | {"mm": "millimètres", "ml": "millilitres"},
        short={
            "M": "monsieur",
            "Mme": "madame",
            "Mlle": "mademoiselle",
            "Dr": "docteur",
            "etc": "et cetera",
            "p. ex": "par exemple",
            "av": "avenue",
            "n°": "numéro",
            "Mmes": "mesdames",
            "MM": "messieurs",
        },
        number="numéro",
    ),
    "it": Words(
        signs="per cento|e|più|uguale|chiocciola|per|diviso|meno|gradi|barra",
        months="gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        date="{day} {month} {year}",
        clock="{hour} e {minute}",
        oclock="{hour} in punto",
        money={
            "€": ("euro", "euro"),
            "$": ("dollaro", "dollari"),
            "£": ("sterlina", "sterline"),
            "¥": ("yen", "yen"),
            "₹": ("rupia", "rupie"),
        },
        cents="{whole} {name} e {cents}",
        to="a",
        minus="meno",
        dot="punto",
        port="porta",
        dash="trattino",
        underscore="trattino basso",
        units=_units("chilometri", "metri", "grammi", "litri", "gradi", "all'ora", "chilo")
        | {"mm": "millimetri", "ml": "millilitri"},
        short={
            "Sig": "signor",
            "Sig.ra": "signora",
            "Dott": "dottor",
            "Dr": "dottor",
            "Prof": "professor",
            "ecc": "eccetera",
            "es": "esempio",
            "pag": "pagina",
            "Ing": "ingegner",
            "Avv": "avvocato",
        },
        number="numero",
    ),
    "pt": Words(
        signs="por cento|e|mais|igual a|arroba|vezes|dividido por|menos|graus|barra",
        months="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        date="{day} de {month} de {year}",
        clock="{hour} e {minute}",
        oclock="{hour} em ponto",
        money={
            "R$": ("real", "reais"),
            "€": ("euro", "euros"),
            "$": ("dólar", "dólares"),
            "£": ("libra", "libras"),
            "¥": ("iene", "ienes"),
            "₹": ("rupia", "rupias"),
        },
        cents="{whole} {name} e {cents}",
        to="a",
        minus="menos",
        dot="ponto",
        port="porta",
        dash="hífen",
        underscore="sublinhado",
        units=_units("quilômetros", "metros", "gramas", "litros", "graus", "por hora", "quilo"),
        short={
            "Sr": "senhor",
            "Sra": "senhora",
            "Srta": "senhorita",
            "Dr": "doutor",
            "Dra": "doutora",
            "etc": "etcétera",
            "av": "avenida",
            "Av": "avenida",
            "p. ex": "por exemplo",
            "nº": "número",
            "pág": "página",
            "Prof": "professor",
        },
        number="número",
    ),
}


@cache
def romance_rules(language: str) -> tuple[Rule, ...]:
    """language: one of LANGUAGES."""
    words = LANGUAGES[language]
    names = dict(zip(_SIGNS, words.signs.split("|"), strict=True))
    wording = Wording(
        number=str,
        digits=" ".join,
        dot=words.dot,
        slash=names["/"],
        dash=words.dash,
        underscore=words.underscore,
        at=names["@"],
        plus=names["+"],
        port=words.port,
        version="versión" if language == "es" else "version" if language == "fr" else "v",
    )
    return (
        *_dates(words),
        rule(
            rf"{_START}\d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d++)?+(?![\d.])|{_START}\d{{1,3}}(?:[\u00a0\u202f]\d{{3}})+(?!\d)",
            _thousands,
        ),
        *address_rules(wording),
        *phone_rules(lambda digits: _phone_group(digits, language), names["+"]),
        rule(r"(?<![\w:.])(\d{1,2})[:h](\d{2})(?![\w:]|\.\d)", lambda m: _clock(m, words)),
        rule(
            r"(?<![\w:.])(\d{1,2})\s?h(?!\w)",
            lambda m: f"{m[1]} {words.clock.split()[1]}" if language == "fr" else f"{m[1]} h",
        ),
        *_money(words),
        rule(rf"{_START}({_NUMBER})(\s?)%", lambda m: _behind(m, names["%"])),
        rule(rf"{_START}({_NUMBER})(\s?)({one_of(words.units)})(?![\w/°])", lambda m: _behind(m, words.units[m[3]])),
        rule(
            rf"(?<!\w)({one_of(words.short)})\.(?!\w)",
            lambda m: words.short[m[1]] + ("" if m.string[m.end() :].strip() else "."),
        ),
        rule(rf"(?<=[\d{TAKEN}])[-–](?=[\d{TAKEN}])", words.to),
        rule(rf"(?<![\w{TAKEN}])[-−](?=[\d{TAKEN}])", words.minus),
        rule(r"\b[nN]°\s?(?=\d)", words.number),
        rule(_NUMBER, lambda m: _plain(m[0])),
        rule(r"(?<=\w)/(?=\w)", names["/"]),
        rule(rf"[{re.escape(''.join(names))}]", lambda m: names[m[0]] if m[0] != "/" else ""),
    )


def _thousands(m: Match) -> str:
    return re.sub(r"[.\u00a0\u202f]", "", m[0])


def _phone_group(digits: str, language: str) -> str:
    """The French name pairs of digits."""
    digits = "".join(c for c in digits if c.isdigit())
    return digits if language == "fr" and len(digits) == 2 and digits[0] != "0" else " ".join(digits)


def _plain(written: str) -> str:
    """Without thousands separators, with a decimal comma: 1.234,5 is 1234,5 and 3.14 is 3,14. Digit by digit when it is
    too long to name."""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", written):
        written = written.replace(".", "")
    written = written.replace(".", ",")
    whole = written.partition(",")[0]
    return " ".join(c for c in written if c.isdigit()) if len(whole) > 12 else written


def _dates(words: Words) -> tuple[Rule, ...]:
    months = words.months.split()

    def date(year: str, month: str, day: str) -> str | None:
        if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
            return None
        return words.date.format(day=int(day), month=months[int(month) - 1], year=year)

    return (
        rule(r"(?<![\w./:-])(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?![\w/-]|\.\d)", lambda m: date(m[4], m[3], m[1])),
        rule(r"(?<![\w./-])(\d{4})-(\d{2})-(\d{2})(?![\w/-])", lambda m: date(m[1], m[2], m[3])),
    )


def _clock(m: Match, words: Words) -> str | None:
    hour, minute = int(m[1]), int(m[2])
    if hour > 24 or minute > 59:
        return None
    return words.clock.format(hour=hour, minute=minute) if minute else words.oclock.format(hour=hour)


def _money(words: Words) -> tuple[Rule, ...]:
    signs = one_of(words.money)

    def amount(written: str, sign: str) -> tuple[str, str]:
        one, many = words.money[sign]
        plain = _plain(written)
        whole, _, cents = plain.partition(",")
        name = one if plain == "1" else many
        if len(cents) == 2 and cents != "00":
            return "", words.cents.format(whole=whole, name=name, cents=int(cents))
        return (whole if not cents.strip("0") else plain), name

    def behind(m: Match) -> Parts | str:
        said = amount(m[1], m[3])
        return said if m[2] else " ".join(said).strip()

    def in_front(m: Match) -> Parts:
        said = " ".join(amount(m[3], m[1])).strip()
        return ("", said) if m[2] else (said,)

    return (
        rule(rf"({signs})(\s?)({_NUMBER})", in_front),
        rule(rf"{_START}({_NUMBER})(\s?)({signs})(?!\w)", behind),
    )


def _behind(m: Match, name: str) -> Parts | str:
    said = (_plain(m[1]), name)
    return said if m[2] else " ".join(said)
