"""How Chinese and Japanese are read out.

Knows: the rules. Does not know: the words for other languages, phonemes.

Chinese numbers become words here. Japanese ones stay digits, since how one is read hangs on the word it counts, which
the reader of phonemes knows; only signs become words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from voxtral_voice.engines.text.addresses import Wording, address_rules, phone_rules
from voxtral_voice.engines.text.chinese_numbers import count, number, one_by_one
from voxtral_voice.engines.text.rules import NUMBER, TAKEN, Match, Rule, one_of, rule

_START: Final = rf"(?<![A-Za-z0-9.,{TAKEN}])"
_UNITS_ZH: Final[Mapping[str, str]] = {
    "km/h": "公里每小时", "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "kg": "公斤", "g": "克", "mg": "毫克",
    "L": "升", "l": "升", "ml": "毫升",
    "°C": "摄氏度", "°F": "华氏度", "°": "度", "GB": "G B", "MB": "M B", "ms": "毫秒", "s": "秒", "h": "小时",
    "GHz": "吉赫", "kW": "千瓦", "W": "瓦",
}  # fmt: skip
_UNITS_JA: Final[Mapping[str, str]] = {
    "km/h": "キロメートル毎時", "km": "キロメートル", "m": "メートル", "cm": "センチメートル", "mm": "ミリメートル",
    "kg": "キログラム", "g": "グラム",
    "mg": "ミリグラム", "L": "リットル", "l": "リットル", "ml": "ミリリットル", "°C": "度", "°F": "度", "°": "度",
    "GB": "ギガバイト", "MB": "メガバイト",
    "ms": "ミリ秒", "s": "秒", "h": "時間", "GHz": "ギガヘルツ", "kW": "キロワット", "W": "ワット",
}  # fmt: skip
_MONEY_ZH: Final[Mapping[str, str]] = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑", "₹": "卢比"}
_MONEY_JA: Final[Mapping[str, str]] = {"¥": "円", "￥": "円", "$": "ドル", "€": "ユーロ", "£": "ポンド", "₹": "ルピー"}
_SIGNS_ZH: Final[Mapping[str, str]] = {
    "&": "和",
    "+": "加",
    "=": "等于",
    "×": "乘以",
    "÷": "除以",
    "%": "百分之",
    "~": "到",
    "@": "艾特",
    "−": "减",
}
_SIGNS_JA: Final[Mapping[str, str]] = {
    "&": "アンド", "+": "プラス", "=": "イコール", "×": "かける", "÷": "わる", "%": "パーセント", "@": "アット",
    "−": "マイナス",
}  # fmt: skip
_WORDING_ZH: Final = Wording(
    number=number, digits=one_by_one, dot="点", slash="斜杠", at="艾特", port="端口", version="版本"
)


@cache
def chinese_rules() -> tuple[Rule, ...]:
    return (
        *address_rules(_WORDING_ZH),
        *_dates(one_by_one, number),
        *phone_rules(one_by_one, "加"),
        rule(r"(?<!\d)(1[3-9]\d)(\d{4})(\d{4})(?!\d)", lambda m: "，".join(map(one_by_one, m.groups()))),
        rule(r"(?<!\d)\d{4}(?=\s?年)", lambda m: one_by_one(m[0])),
        rule(r"(?<![\d:])(\d{1,2}):(\d{2})(?![\d:])", _chinese_clock),
        rule(rf"({NUMBER})\s?%[-–~]({NUMBER})\s?%", lambda m: f"百分之{number(m[1])}到百分之{number(m[2])}"),
        rule(rf"{_START}[-−]?({NUMBER})\s?%", lambda m: f"{_minus(m, '负')}百分之{number(m[1])}"),
        *_money(_MONEY_ZH, number),
        *_units(_UNITS_ZH, number),
        rule(r"(?<![\d/])(\d{1,3})/(\d{1,3})(?![\d/])", lambda m: f"{number(m[2])}分之{number(m[1])}"),
        rule(rf"(?<=[\d{TAKEN}])[-–~](?=[\d{TAKEN}])", "到"),
        rule(rf"(?<![A-Za-z0-9{TAKEN}])[-−](?=[\d{TAKEN}])", "负"),
        rule(r"(?<![\d.,])2(?=\s?[个只本张条位次天年周块杯件台辆岁点倍])", lambda m: count(m[0])),
        rule(NUMBER, lambda m: number(m[0])),
        rule(rf"[{re.escape(''.join(_SIGNS_ZH))}]", lambda m: _SIGNS_ZH[m[0]]),
    )


@cache
def japanese_rules() -> tuple[Rule, ...]:
    return (
        *_dates(str, _plain),
        rule(r"(?<![\d:])(\d{1,2}):(\d{2})(?![\d:])", _japanese_clock),
        rule(rf"({NUMBER})\s?%", lambda m: f"{_plain(m[1])}パーセント"),
        *_money(_MONEY_JA, _plain),
        *_units(_UNITS_JA, _plain),
        rule(rf"(?<=[\d{TAKEN}])[-–~〜](?=[\d{TAKEN}])", "から"),
        rule(rf"(?<![A-Za-z0-9{TAKEN}])[-−](?=[\d{TAKEN}])", "マイナス"),
        rule(r"\d{1,3}(?:,\d{3})+(?!\d)", lambda m: _plain(m[0])),
        rule(rf"[{re.escape(''.join(_SIGNS_JA))}]", lambda m: _SIGNS_JA[m[0]]),
    )


def _plain(written: str) -> str:
    """Without thousands separators."""
    return written.replace(",", "")


def _minus(m: Match, word: str) -> str:
    return word if m[0][0] in "-−" else ""


def _dates(year: Callable[[str], str], say: Callable[[str], str]) -> tuple[Rule, ...]:
    def date(m: Match) -> str | None:
        if not (1 <= int(m[2]) <= 12 and 1 <= int(m[3]) <= 31):
            return None
        return f"{year(m[1])}年{say(str(int(m[2])))}月{say(str(int(m[3])))}日"

    return (rule(r"(?<![\d/.-])(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?![\d/-])", date),)


def _chinese_clock(m: Match) -> str | None:
    hour, minute = int(m[1]), int(m[2])
    if hour > 24 or minute > 59:
        return None
    minutes = "" if minute == 0 else f"零{number(str(minute))}分" if minute < 10 else f"{number(m[2])}分"
    return f"{count(str(hour))}点{minutes}"


def _japanese_clock(m: Match) -> str | None:
    hour, minute = int(m[1]), int(m[2])
    if hour > 24 or minute > 59:
        return None
    return f"{hour}時{minute}分" if minute else f"{hour}時"


def _money(names: Mapping[str, str], say: Callable[[str], str]) -> tuple[Rule, ...]:
    signs = one_of(names)
    return (
        rule(rf"({signs})\s?({NUMBER})([万億亿]?)", lambda m: f"{say(m[2])}{m[3]}{names[m[1]]}"),
        rule(rf"{_START}({NUMBER})\s?({signs})", lambda m: f"{say(m[1])}{names[m[2]]}"),
    )


def _units(names: Mapping[str, str], say: Callable[[str], str]) -> tuple[Rule, ...]:
    return (rule(rf"{_START}({NUMBER})\s?({one_of(names)})(?![A-Za-z/])", lambda m: f"{say(m[1])}{names[m[2]]}"),)
