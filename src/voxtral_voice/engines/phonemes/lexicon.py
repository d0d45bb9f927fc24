"""The user's own words: a file that says how names and other words are pronounced.

Knows: its file (TOML), when a word of a text is one of its words, how an English ending is said. Does not know:
readers, models, where the file lies.

    Nguyen = "wˈɪn"            # in every language
    [en]
    GIF = "ʤˈɪf"
    [ja]
    "東京" = "toːkʲoː"

A word in small letters is meant however it is written; one with capitals only as it stands or in capitals alone.
Japanese and Chinese words are found inside a text, all others as whole words. Values are Kokoro's symbols, or the IPA
that they stand for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from voxtral_voice.engines.phonemes.spoken import stops_around
from voxtral_voice.engines.phonemes.stretches import Language, Stretch, plain
from voxtral_voice.engines.phonemes.symbols import STOPS, SYMBOL_IDS
from voxtral_voice.errors import EngineError

EVERY: Final = ""
"""The table of words that are said so in every language: those before the first heading."""
_TABLES: Final[tuple[Language, ...]] = ("en", "en-GB", "es", "fr", "hi", "it", "ja", "pt", "zh")
_KOKORO_OF_IPA: Final = (
    ("tʃ", "ʧ"), ("dʒ", "ʤ"), ("ts", "ʦ"), ("dz", "ʣ"), ("eɪ", "A"), ("aɪ", "I"), ("aʊ", "W"), ("oʊ", "O"),
    ("əʊ", "Q"), ("ɔɪ", "Y"), ("g", "ɡ"), ("'", "ˈ"), ("\u0361", ""),
)  # fmt: skip
"""What Kokoro writes with one symbol, and what is easily typed."""
_MOST_SYMBOLS: Final = 100
"""Of one word; half of what is spoken at once."""
_IN_WORD: Final = r"[\w\u0300-\u036f\u0900-\u0963\u200c\u200d]"
"""Letters, and the marks and joiners inside of words: to `re` the vowel signs of Devanagari are no letters."""
_HISSING: Final = "szʃʒʧʤ"
_VOICELESS: Final = "ptkfθ"


class Lexicon:
    """Immutable. Made by `read_lexicon`."""

    def __init__(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """tables: EVERY or a language -> word -> symbols, both checked."""
        self._words = {language: _words_of(tables, language) for language in _TABLES}
        self._patterns = {language: _pattern(words, language) for language, words in self._words.items() if words}

    def holds(self, written: str) -> bool:
        """The word, without the stops around it, is one of the lexicon, in some language."""
        word = stops_around(plain(written).strip())[1]
        return any(
            match.group() == word and self._symbols(match, language) is not None
            for language, pattern in self._patterns.items()
            if (match := pattern.match(word))
        )

    def applied(self, stretch: Stretch) -> Iterator[Stretch]:
        """The stretch, cut where words of the lexicon stand in it; stops stay with such a word."""
        found = [
            (match, symbols)
            for match in self._matches(stretch)
            if (symbols := self._symbols(match, stretch.language)) is not None
        ]
        start = 0
        for i, (match, symbols) in enumerate(found):
            until = found[i + 1][0].start() if i + 1 < len(found) else len(stretch.text)
            before, behind = stretch.text[start : match.start()], stretch.text[match.end() : until]
            first = start if not _has_sound(before) else match.start()
            end = until if not _has_sound(behind) else match.end()
            if first > start:
                yield replace(stretch, text=stretch.text[start:first])
            yield replace(stretch, text=stretch.text[first:end], symbols=symbols)
            start = end
        if start < len(stretch.text):
            yield replace(stretch, text=stretch.text[start:])

    def _matches(self, stretch: Stretch) -> Iterator[re.Match[str]]:
        pattern = self._patterns.get(stretch.language)
        return pattern.finditer(stretch.text) if pattern else iter(())

    def _symbols(self, match: re.Match[str], language: Language) -> str | None:
        """None when the word is written in another case."""
        words, word = self._words[language], match["word"]
        entry = word if word in words else word.lower()
        if entry not in words:
            entry = next((name for name in words if name.upper() == word), "")
        ending = (match.groupdict().get("ending") or "").lower()
        if not entry or (ending == "s" and entry == entry.lower()):
            return None
        return words[entry] + (_s_behind(words[entry], language) if "s" in ending else "")


def _words_of(tables: Mapping[str, Mapping[str, str]], language: Language) -> dict[str, str]:
    """British English knows the words of English."""
    names = (EVERY, "en", language) if language == "en-GB" else (EVERY, language)
    return {word: symbols for name in names for word, symbols in tables.get(name, {}).items()}


def _pattern(words: Iterable[str], language: Language) -> re.Pattern[str]:
    """Any case; `_symbols` says whether it is meant."""
    any_word = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    if language in ("ja", "zh"):
        return re.compile(f"(?P<word>{any_word})", re.IGNORECASE)
    ending = "(?P<ending>'?s)?" if language in ("en", "en-GB") else ""
    return re.compile(rf"(?<!{_IN_WORD})(?P<word>{any_word}){ending}(?!{_IN_WORD})", re.IGNORECASE)


def _has_sound(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _s_behind(symbols: str, language: Language) -> str:
    """The English ending of genitive and plural."""
    last = symbols[-1]
    if last in _HISSING:
        return "ɪz" if language == "en-GB" else "ᵻz"
    return "s" if last in _VOICELESS else "z"


NO_LEXICON: Final = Lexicon({})


# --- the file ---------------------------------------------------------------------------------------------------

_HEADING: Final = re.compile(r"\s*\[\s*[\"']?([^\]\"']+?)[\"']?\s*\]")
_ENTRY: Final = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([\w-]+))\s*=")
_MOST_MISTAKES: Final = 5
"""That are told at once."""


def read_lexicon(path: Path) -> Lexicon:
    """Raises EngineError with one sentence for each mistake, naming its line."""
    try:
        text = path.read_text("utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise EngineError("speaker", f"The lexicon {path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "a word with other letters than a to z stands in quotes"
        raise EngineError("speaker", f"The lexicon {path} is no TOML: {error} ({hint}).") from error
    except (RecursionError, ValueError) as error:  # brackets in brackets, a number of thousands of digits
        raise EngineError("speaker", f"The lexicon {path} holds other things than words and phonemes.") from error
    tables = _tables(content)
    if mistakes := [
        (table, word, mistake)
        for table, words in tables.items()
        for word, symbols in words.items()
        if (mistake := _mistake(table, word, symbols))
    ]:
        told = [f"{path}, line {_line(text, *place)}: {mistake}" for *place, mistake in mistakes[:_MOST_MISTAKES]]
        more = [f"There are {len(mistakes)} mistakes in all."] if len(mistakes) > _MOST_MISTAKES else []
        raise EngineError("speaker", " ".join(told + more))
    return Lexicon(
        {
            table: {plain(word).strip(): _in_kokoros(str(symbols)) for word, symbols in words.items()}
            for table, words in tables.items()
        }
    )


def _tables(content: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """A table is a language, anything else at the top a word of every language."""
    tables: dict[str, Mapping[str, object]] = {EVERY: {k: v for k, v in content.items() if not isinstance(v, dict)}}
    return tables | {name: value for name, value in content.items() if isinstance(value, dict)}


def _mistake(table: str, word: str, symbols: object) -> str:
    """One sentence; "" when there is none."""
    if table not in (EVERY, *_TABLES):
        return f"there is no language [{table}]: use one of {', '.join(_TABLES)}."
    if not _has_sound(word) or len(word.split()) != 1 or stops_around(plain(word).strip())[1] != plain(word).strip():
        return f"{word!r} is not one word: write it without spaces, and without stops around it."
    if not isinstance(symbols, str) or not any(c.isalpha() for c in symbols):
        return f"say how {word!r} is pronounced: phonemes in quotes."
    if unknown := sorted({c for c in _in_kokoros(symbols) if c not in SYMBOL_IDS or c in STOPS}):
        return f"{word!r} has {' '.join(map(repr, unknown))}, which the voices do not know as a sound."
    long = len(_in_kokoros(symbols)) > _MOST_SYMBOLS
    return f"{word!r} has more than {_MOST_SYMBOLS} phonemes." if long else ""


def _in_kokoros(symbols: str) -> str:
    for ipa, kokoro in _KOKORO_OF_IPA:
        symbols = symbols.replace(ipa, kokoro)
    return " ".join(symbols.split())


def _line(text: str, table: str, word: str) -> int:
    """Where the word stands in the file; its table's line when it was not found."""
    here, heading_line = EVERY, 1
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _HEADING.match(line):
            here, heading_line = heading[1], number if heading[1] == table else heading_line
        elif here == table and (entry := _ENTRY.match(line)) and word in entry.groups():
            return number
    return heading_line
