"""Which reader reads which part of a phrase.

Knows: scripts, the languages that are written in them, stops of all scripts. Does not know: how anything is read.

**The script decides, not the voice**: Devanagari is read as Hindi and kana as Japanese in any voice. Han is Japanese in
a Japanese phrase, else Chinese; Latin is the phrase's language where that is written so, else English, but for Latin
words inside Japanese, which are said as the Japanese say them. What has no letters ("42") goes with the word before it,
else with the one after it; a phrase without any letters goes with the phrase's language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from voxtral_voice.engines.text import Said

Language = Literal["en", "en-GB", "es", "fr", "hi", "it", "ja", "pt", "zh"]
"""What there is a reader for."""
Script = Literal["devanagari", "kana", "han", "latin", "unknown"]

_LANGUAGES: Final[dict[str, Language]] = {
    "en": "en", "es": "es", "fr": "fr", "hi": "hi", "it": "it", "ja": "ja", "pt": "pt", "zh": "zh",
}  # fmt: skip
_BRITISH: Final = frozenset({"en-gb", "en-ie", "en-au", "en-nz", "en-za"})
"""Accents that are nearer to the British reading than to the American one."""
_NOT_LATIN: Final = frozenset({"hi", "ja", "zh"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """A word, or the part of it that is written in one script."""

    language: Language
    text: str
    token: int
    """Which white-space token of the phrase it belongs to."""
    symbols: str | None = None
    """How it is said, where the user's lexicon tells; without the stops in `text`."""


def language_of_tag(tag: str) -> Language:
    """tag: ISO 639-1 code or BCP 47 tag. English when there is no reader for it."""
    code = tag.lower().replace("_", "-")
    return "en-GB" if code in _BRITISH else _LANGUAGES.get(code.partition("-")[0], "en")


def stretches(said: Sequence[Said], language: Language) -> tuple[list[Stretch], str]:
    """In order; and the letters that nobody can read."""
    spoken = [plain(token.spoken) for token in said]
    dropped = "".join(letter for text in spoken for letter in text if _script(letter) == "unknown")
    readers = _readers(language, "".join(spoken))
    found = [
        (token, script, part)
        for token, text in enumerate(spoken)
        for word in "".join(" " if _is_unread(c) else c for c in text).split()
        for script, part in _by_script(word)
    ]
    current = next((readers[script] for _, script, _ in found if script), language)
    parts: list[Stretch] = []
    for token, script, part in found:
        current = readers[script] if script else current
        parts.append(Stretch(current, part, token))
    return parts, dropped


def has_devanagari(text: str) -> bool:
    return any(_script(c) == "devanagari" for c in text)


def is_english(text: str, language: str) -> bool:
    """All of it is read as English in a phrase of this language (code or tag)."""
    english = language_of_tag(language) in ("en", "en-GB")
    scripts = {_script(c) for c in text} - {None, "unknown"}
    return scripts <= {"latin"} and (english or (bool(scripts) and language_of_tag(language) in _NOT_LATIN))


def _readers(language: Language, text: str) -> dict[str, Language]:
    scripts = {_script(c) for c in text}
    japanese = language == "ja" or (language != "zh" and "kana" in scripts)
    latin: Language = "en" if language in _NOT_LATIN else language
    return {
        "devanagari": "hi",
        "kana": "ja",
        "han": "ja" if japanese else "zh",
        "latin": "ja" if language == "ja" and scripts & {"kana", "han"} else latin,
    }


# --- scripts ----------------------------------------------------------------------------------------------------

_UNIT: Final = re.compile(r"°\s?[CF]")
"""Its letter says nothing about the language."""


def _by_script(word: str) -> Iterator[tuple[Script | None, str]]:
    """A word is cut where its script changes; what has no script stays with what stands before it."""
    neutral = {i for unit in _UNIT.finditer(word) for i in range(*unit.span())}
    script: Script | None = None
    start = 0
    for i, c in enumerate(word):
        own = None if i in neutral else _script(c)
        if own and script and own != script and {own, script} != {"kana", "han"}:
            yield script, word[start:i]
            start, script = i, own
        script = _wider(script, own)
    yield script, word[start:]


def _wider(script: Script | None, other: Script | None) -> Script | None:
    """Kana and Han beside each other are Japanese."""
    return "kana" if "kana" in (script, other) else script or other


_RANGES: Final[tuple[tuple[int, int, Script], ...]] = (
    (0x0900, 0x097F, "devanagari"),
    (0x3005, 0x3007, "han"),
    (0x3041, 0x30FF, "kana"),
    (0x31F0, 0x31FF, "kana"),
    (0x3400, 0x9FFF, "han"),
    (0xF900, 0xFAFF, "han"),
    (0x20000, 0x3FFFF, "han"),
)


def _script(c: str) -> Script | None:
    """None: says nothing about the language (digits, signs, stops)."""
    if c < "\u0250":
        return "latin" if c.isalpha() else None
    if c.isdigit() or c in "।॥・〆゠":
        return None
    code = ord(c)
    known = next((script for first, last, script in _RANGES if first <= code <= last), None)
    return known or ("unknown" if c.isalpha() else None)


def _is_unread(c: str) -> bool:
    """A letter of a script without a reader, or a mark on such a letter; no joiner of Devanagari, and no mark of it."""
    if c < "\u0250" or c in "\u200c\u200d":
        return False
    return _script(c) == "unknown" or (unicodedata.category(c)[0] in "MC" and _script(c) is None)


# --- signs ------------------------------------------------------------------------------------------------------

_STOPS: Final = str.maketrans(
    {
        **dict.fromkeys("。．｡।॥", ". "), **dict.fromkeys("、，､", ", "), "！": "! ", "？": "? ", "：": ": ",
        "；": "; ", **dict.fromkeys("「『《〈【〔", " “"), **dict.fromkeys("」』》〉】〕", "” "), "（": " (",
        "）": ") ", "«": "“", "»": "”", "\u00a0": " ", "\u3000": " ", "～": "—", "〜": "—", "’": "'", "‘": "'",
    }
)  # fmt: skip
"""Stops of other scripts as those that Kokoro knows."""
_WIDE_STOP_IN_NUMBER: Final = re.compile(r"(?<=\d)[．：](?=\d)")
_PAUSE_WITHOUT_SPACE: Final = re.compile(r"(?<=[;:,.!?…—”)])(?=[\u3005-\u9fff])|(?<=[\u3005-\u9fff])(?=[“(])")
"""In Japanese and Chinese."""


def plain(text: str) -> str:
    """Signs that are written in several ways in one of them: stops, wide and half-wide forms, accents of Vietnamese."""
    text = _WIDE_STOP_IN_NUMBER.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    text = "".join(map(_plain_sign, unicodedata.normalize("NFC", text.translate(_STOPS))))
    return _PAUSE_WITHOUT_SPACE.sub(" ", text)


def _plain_sign(c: str) -> str:
    if "\uff01" <= c <= "\uffef":
        return unicodedata.normalize("NFKC", c)
    if "\u1e00" <= c <= "\u1eff":
        return unicodedata.normalize("NFD", c)[0]
    return " " if unicodedata.category(c) == "Cc" else c
