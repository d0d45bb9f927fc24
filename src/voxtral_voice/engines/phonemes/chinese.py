"""Mandarin to Kokoro's symbols.

Knows: jieba's words (rjieba), pypinyin's readings, how a syllable of pinyin became Kokoro's symbols. Does not know:
numbers, other languages, models.

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
    for word in cut(text):
        if symbols := "".join(map(_syllable, pinyin(word))):
            yield word, symbols


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
