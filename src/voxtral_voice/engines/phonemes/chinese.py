"""Mandarin to Kokoro's symbols.

Knows: jieba's words (rjieba), pypinyin's readings, how a syllable of pinyin became Kokoro's symbols, numbers as they
are said. Does not know: other languages, models.

Kokoro's Chinese voices were trained on the tones of the dictionary, a space between words; what tones do to each other
in speech they learnt from their recordings.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.spoken import spread, stops_around
from voxtral_voice.engines.phonemes.stretches import Stretch
from voxtral_voice.errors import EngineError

_INITIALS: Final = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x",
    "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "s": "s", "": "",
}  # fmt: skip
_FINALS: Final = {
    "a": "a0", "ai": "ai0", "an": "a0n", "ang": "a0ŋ", "ao": "au0", "e": "ɤ0", "ei": "ei0", "en": "ə0n", "eng": "ə0ŋ",
    "er": "ɚ0", "i": "i0", "ia": "ja0", "ian": "jɛ0n", "iang": "ja0ŋ", "iao": "jau0", "ie": "je0", "in": "i0n",
    "ing": "i0ŋ", "io": "jɔ0", "iong": "jʊ0ŋ", "iou": "jou0", "o": "wo0", "ong": "ʊ0ŋ", "ou": "ou0", "u": "u0",
    "ua": "wa0", "uai": "wai0", "uan": "wa0n", "uang": "wa0ŋ", "uei": "wei0", "uen": "wə0n", "ueng": "wə0ŋ",
    "uo": "wo0", "v": "y0", "van": "ɥɛ0n", "ve": "ɥe0", "vn": "y0n", "ê": "ɛ0",
}  # fmt: skip
"""0: where the tone stands."""
_ALONE: Final = {"o": "ɔ0", "m": "m0", "n": "n0", "ng": "ŋ0", "hm": "hm0", "hng": "hŋ0"}
"""Syllables without an initial that are written like others with one."""
_TONES: Final = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_SHORT: Final = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve"}
_SYLLABLE: Final = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw]?)([a-zêü]+)")


class Chinese:
    """Loads in about 0.3 s at the first use and then holds 90 MB."""

    def read(self, stretches: Sequence[Stretch]) -> list[Sound]:
        return [sound for i, stretch in enumerate(stretches) for sound in _sounds(i, stretch)]


def _sounds(number: int, stretch: Stretch) -> Iterator[Sound]:
    before, body, behind = stops_around(stretch.text)
    words = list(_words(body)) if stretch.symbols is None else [(body, stretch.symbols)]
    return spread(words, before, behind, number)


def _words(text: str) -> Iterator[tuple[str, str]]:
    """(as written, symbols)."""
    cut, pinyin = _loaded()
    at = 0
    for number in [*_NUMBER.finditer(text), None]:
        for word in cut(text[at : number.start() if number else len(text)]):
            if symbols := _of_pinyin(pinyin(word)):
                yield word, symbols
        if number:
            yield number.group(), " ".join(_of_pinyin(pinyin(word)) for word in cut(_said(number)))
            at = number.end()


def _of_pinyin(syllables: Sequence[str]) -> str:
    return "".join(map(_syllable, syllables))


@functools.cache
def _syllable(pinyin: str) -> str:
    """pinyin: "zhong1", the neutral tone as 5; "" for what is no syllable."""
    letters, tone = pinyin[:-1], _TONES.get(pinyin[-1:])
    if tone is None:
        return ""
    if letters in _ALONE:
        return _ALONE[letters].replace("0", tone)
    match = _SYLLABLE.fullmatch(letters)
    initial, final = match.groups() if match else ("", "")
    return _said_final(initial, final).replace("0", tone)


def _said_final(initial: str, final: str) -> str:
    """Initial and final in symbols; "" when there is no such syllable."""
    if initial in ("y", "w"):
        initial, final = "", _after_glide(initial, final)
    elif initial in ("j", "q", "x") and final[0] == "u":
        final = "v" + final[1:]
    final = _SHORT.get(final, final)
    if final == "i" and initial in ("zh", "ch", "sh", "r", "z", "c", "s"):
        return _INITIALS[initial] + "ɨ0"
    return _INITIALS[initial] + _FINALS[final] if final in _FINALS else ""


def _after_glide(glide: str, final: str) -> str:
    """The final that is written with y or w when nothing stands before it."""
    if glide == "w":
        return final if final == "u" else "u" + final
    if final[0] == "u":
        return "v" + final[1:]
    return {"e": "ie", "ou": "iou", "ong": "iong", "o": "io"}.get(final, final if final[0] == "i" else "i" + final)


# --- numbers ----------------------------------------------------------------------------------------------------

_DIGITS: Final = "零一二三四五六七八九"
_NUMBER: Final = re.compile(
    r"(?P<sign>(?<![\d.])[-−])?(?P<money>[¥￥$€£])?"
    r"(?:(?P<hour>\d{1,2}):(?P<minute>\d{2})(?!\d)"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(?P<part>\d+))?(?P<percent>[%％])?(?P<next>年|[个本只天位次人张条件种家])?)"
)
_MONEY: Final = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_MOST_NAMED: Final = 8
"""Digits of a whole number that is read as one; longer ones (telephones) are read digit by digit."""


def _said(match: re.Match[str]) -> str:
    found = match.groupdict(default="")
    sign = "负" if found["sign"] else ""
    if found["hour"]:
        minute = int(found["minute"])
        past = ("零" if minute < 10 else "") + _named(minute) + "分" if minute else ""
        return f"{_named(int(found['hour']))}点{past}"
    whole = found["whole"].replace(",", "")
    by_digit = len(whole) > _MOST_NAMED or (found["next"] == "年" and len(whole) == 4) or (whole[0] == "0" != whole)
    said = "".join(_DIGITS[int(c)] for c in whole) if by_digit else _named(int(whole))
    said = "两" if said == "二" and found["next"] and not found["part"] else said
    part = "点" + "".join(_DIGITS[int(c)] for c in found["part"]) if found["part"] else ""
    return f"{sign}{'百分之' if found['percent'] else ''}{said}{part}{_MONEY.get(found['money'], '')}{found['next']}"


def _named(number: int) -> str:
    """0 to 99,999,999."""
    if number >= 10_000:
        high, low = divmod(number, 10_000)
        return _named(high) + "万" + (("零" if low < 1000 else "") + _named(low)) * (low > 0)
    said, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        figure = number // unit % 10
        if figure:
            said += ("零" if gap and said else "") + _DIGITS[figure] + name
        gap = not figure
    return (said[1:] if said.startswith("一十") else said) or "零"


# --- libraries --------------------------------------------------------------------------------------------------


@functools.cache
def _loaded() -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """Text to words, a word to syllables."""
    try:
        import rjieba
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise EngineError("speaker", f"Chinese needs the package {error.name}: pip install rjieba pypinyin.") from error

    def syllables(word: str) -> list[str]:
        return lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore")

    return rjieba.cut, syllables
