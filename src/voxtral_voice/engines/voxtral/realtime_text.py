"""From the ids that Voxtral Realtime writes to text, while they come.

Knows: bytes of tokens, UTF-8, scripts. Does not know: audio, models.

Most ids are no text: the model writes [STREAMING_PAD] while it hears nothing new and [STREAMING_WORD] where a word
begins. A letter may be spread over several tokens: its first bytes are held back until the last one is there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

LANGUAGES: Final = ("en", "es", "fr", "de", "ru", "zh", "ja", "it", "pt", "nl", "ar", "hi", "ko")
"""What the model hears, by its card. It finds out by itself which one it is, and does not tell."""
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


def text_of(ids: Iterable[int], piece: Callable[[int], bytes]) -> str:
    """piece: the bytes of a token, none of a control token. Bytes that are no UTF-8, or no whole letter yet, are left
    out."""
    return b"".join(piece(token) for token in ids).decode(errors="ignore").strip()


def joined(texts: Sequence[str]) -> str:
    """Of stretches that follow each other."""
    return " ".join(text for text in texts if text)


def language_of(text: str, told: str | None) -> str:
    """ISO 639-1. What the model was told, if it knows that language; else what the letters say, "" for Latin ones."""
    if told in LANGUAGES:
        return told
    names = [unicodedata.name(letter, "").split(" ", 1)[0] for letter in text if letter.isalpha()]
    spoken = [_SCRIPTS[name] for name in names if name in _SCRIPTS]
    if 2 * len(spoken) <= len(names):
        return ""
    return "ja" if "ja" in spoken else max(set(spoken), key=spoken.count)
