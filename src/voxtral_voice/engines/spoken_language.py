"""Which language a text is in, where the model that heard it does not tell.

Knows: what Voxtral hears, scripts. Does not know: audio, models, grammar.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LANGUAGES: Final = ("en", "es", "fr", "de", "ru", "zh", "ja", "it", "pt", "nl", "ar", "hi", "ko")
"""What Voxtral Realtime hears, by its card. It finds out by itself which one it is, and does not tell."""
_SCRIPTS: Final = {
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "CYRILLIC": "ru",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
}
"""First word of a letter's Unicode name -> the one language of the 13 that is written so."""


def language_of(text: str, told: str | None) -> str:
    """ISO 639-1. What the model was told, if it knows that language; else what the letters say, "" for Latin ones."""
    if told in LANGUAGES:
        return told
    names = [unicodedata.name(letter, "").split(" ", 1)[0] for letter in text if letter.isalpha()]
    spoken = [_SCRIPTS[name] for name in names if name in _SCRIPTS]
    if 2 * len(spoken) <= len(names):
        return ""
    return "ja" if "ja" in spoken else max(set(spoken), key=spoken.count)
