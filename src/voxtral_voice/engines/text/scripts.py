"""Which language each word of a text is in.

Knows: scripts, and that numbers and signs have none of their own. Does not know: how anything is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LATIN: Final = frozenset({"en", "es", "fr", "it", "pt"})
"""Languages that Latin words may be in, when the text is said to be so; in a text of any other one they are English."""

_SCRIPT: Final = (
    (re.compile(r"[\u0900-\u0963\u0971-\u097f]"), "hi"),
    (re.compile(r"[\u3041-\u3096\u30a1-\u30fa]"), "ja"),
    (re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff々〆]"), "han"),
    (re.compile(r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u08ff\u1e00-\u1fff]"), "latin"),
)  # fmt: skip

_QUANTITY: Final = re.compile(
    r"[^\w]*+(?:(?:Rs\.?|USD|INR|EUR|GBP|US|No\.)[^\w]*+)?+\d[\d.,:/×÷–—²³+=-]*+(?:x\d\d?(?!\d))?+"
    r"(?:k[mgWHVB]\w?|[cm]m|m[lLsg]|[kKMGT]i?B|[KMG]bps|[MG]Hz|[mM]in|°?[CF]|[kK]m/h|kmph|km/h|[ap]\.?m\.?|[AP]M|st|nd|rd|th|"
    r"[mgslhLxKkM])?+[^\w]*+"
)
"""A number with what belongs to it: it is said in the language of the words around."""
_UNIT: Final = re.compile(
    r"(?:°?[CF]|°|k[mgW]|[cm]m|m[lLs]|[kKMGT]B|[KMG]bps|[MG]Hz|km/h|kmph|kWh|mg|am|pm|a\.m\.|p\.m\.|AM|PM|%|m|g|L|l)[^\w%]*"
)
_ITEM: Final = re.compile(r"\d{1,3}[.)]")
"""In front of an item of a list."""
_BARE: Final = re.compile(r"[\d.,]*\d[.,;:!?।)]*")
_CURRENCY: Final = re.compile(r"\W*(?:Rs\.?|USD|INR|EUR|GBP)")
_COUNTED: Final = re.compile(
    r"(?:रुप|रूप|बज|लाख|करोड़|करोड़|अरब|हज़ार|हज़ार|हजार|सौ|प्रतिशत|फ़ीसदी|फीसदी|किलो|मीटर|लीटर|ग्राम|लोग|घंट|मिनट|सेकंड|दिन|हफ़्त|हफ्त|महीन|साल|वर्ष|"
    r"बार|डिग्री|तारीख|जनवरी|फरवरी|फ़रवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर|किमी|कि\.मी|पैस|डॉलर|वीं|वें|वाँ|वां)"
)
"""Words that a number before them belongs to."""


def languages_of(words: Sequence[str], text_language: str) -> list[str]:
    """ISO 639-1 of each word. text_language: of the text, ISO 639-1."""
    own = [_own(word, text_language) for word in words]
    for i in range(len(words) - 1):
        if _CURRENCY.fullmatch(words[i]) and words[i + 1][:1].isdigit():
            own[i] = None
    for i in range(1, len(words)):
        if own[i] and _UNIT.fullmatch(words[i]) and own[i - 1] is None and any(c.isdigit() for c in words[i - 1]):
            own[i] = None
    after: list[str | None] = [None] * len(words)
    for i in range(len(words) - 2, -1, -1):
        after[i] = own[i + 1] or after[i + 1]
    found: list[str] = []
    before: int | None = None
    for i, language in enumerate(own):
        if language is not None:
            before = i
            found.append(language)
        else:
            found.append(_of_number(words, own, i, before, after[i], text_language) or text_language)
    return found


def _own(word: str, text_language: str) -> str | None:
    """What the letters tell; None for a number or a sign."""
    if _QUANTITY.fullmatch(word):
        return None
    for letters, script in _SCRIPT:
        if letters.search(word):
            if script == "latin":
                return text_language if text_language in LATIN else "en"
            return ("ja" if text_language == "ja" else "zh") if script == "han" else script
    return None


def _of_number(
    words: Sequence[str], own: Sequence[str | None], at: int, before: int | None, after: str | None, text_language: str
) -> str | None:
    """In a text of two languages: that of the word before in the same clause, else of the one after; but a Hindi number
    stands before what Hindi counts, and behind a plain English word, and so does a Hindi amount behind a name ("balance
    500 है" and "GDP 7.5% है", but "iPhone 15 लो")."""
    if before is None or _ITEM.fullmatch(words[at]):
        return own[before] if before is not None else after
    if after is not None and words[before][-1] in ",.;:!?।":
        return after
    hindi_follows = after == "hi" or (after is None and text_language == "hi" and "hi" in own)
    if own[before] != "hi" and hindi_follows:
        follows = words[at + 1] if at + 1 < len(words) else ""
        is_last = after is None or own[at + 1] is not None
        is_plain = is_last and (words[before].islower() or not _BARE.fullmatch(words[at]))
        return "hi" if _COUNTED.match(follows) or is_plain else own[before]
    return own[before]
