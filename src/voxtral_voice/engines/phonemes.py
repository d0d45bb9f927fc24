"""Text to the phoneme symbols that Kokoro (and its distilled student) were trained on.

Knows: Kokoro's symbol table, which script a word is written in, the English reader (hibari's port of misaki,
no spaCy) and the Hindi reader (espeak-ng through ctypes), numbers and punctuation in both, where a long phrase
may be cut. Does not know: models, voices, audio, sessions.

**Which language reads a word** is decided by its script, not by the voice: Devanagari is read as Hindi, Latin as
English, in any voice. A word without letters ("42", "50%") goes with the word before it, else with the one after
it; a phrase without any letters goes with the voice. espeak marks an English word inside Hindi with
"(en)...(hi)"; by this rule it only meets one in a word of both scripts ("AI-आधारित"), and its marks are removed.

Words and phoneme groups (symbols between two spaces) are matched by counting the groups that each word has when
it is read alone; where the counts do not add up, the words of that phrase are not reported.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, Protocol
from unicodedata import digit

from voxtral_voice.errors import EngineError

Language = Literal["en", "hi"]

MAX_SYMBOLS: Final = 200
"""Longest utterance, about 12 s. The model takes 510 symbols, but beyond about 400 it rushes, and its memory grows
with the length of a run and stays (0.7 GB at 230 symbols)."""

_SYMBOL_RUNS: Final = (
    (1, ";:,.!?"), (9, '—…"()“” \u0303ʣʥʦʨᵝꭧAI'), (31, "O"), (33, "Q"), (35, "ST"), (39, "W"),
    (41, "Yᵊabcdef"), (50, "hijklmnopqrstuvwxyzɑɐɒæ"), (75, "βɔɕç"), (80, "ɖðʤə"), (85, "ɚɛɜ"), (90, "ɟ"),
    (92, "ɡ"), (99, "ɥ"), (101, "ɨɪʝ"), (110, "ɯɰŋɳɲɴø"), (118, "ɸθœ"), (123, "ɹ"), (125, "ɾɻ"),
    (128, "ʁɽʂʃʈʧ"), (135, "ʊʋ"), (138, "ʌɣɤ"), (142, "χʎ"), (147, "ʒʔ"), (156, "ˈˌː"), (162, "ʰ"),
    (164, "ʲ"), (169, "↓"), (171, "→↗↘"), (177, "ᵻ"),
)  # fmt: skip
"""(first id, symbols with that and the next ids): `vocab` in Kokoro-82M's config.json."""

SYMBOL_IDS: Final[dict[str, int]] = {
    symbol: first + i for first, symbols in _SYMBOL_RUNS for i, symbol in enumerate(symbols)
}
"""114 symbols, ids below 178. Id 0 opens and closes a sequence."""


@dataclass(frozen=True, slots=True)
class WordSpan:
    """Where one word of the text lies in the symbols: [first, end), without the stops behind it."""

    word: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the model speaks in one run."""

    symbols: str
    """1 to MAX_SYMBOLS keys of SYMBOL_IDS, at least one of them a sound."""
    words: tuple[WordSpan, ...] = ()
    """In order; () when words and phoneme groups could not be matched."""

    @property
    def ids(self) -> list[int]:
        """Model input: one id per symbol between two zeros."""
        return [0, *(SYMBOL_IDS[symbol] for symbol in self.symbols), 0]


@dataclass(frozen=True, slots=True)
class Reading:
    utterances: tuple[Utterance, ...]
    """In order; () when there is nothing to say aloud."""
    dropped: str = ""
    """Letters of the text, and symbols of the readers, that the model has no sound for; each once, sorted."""


class Phonemizer:
    """Reads English and Hindi text. Stateless; safe from several threads. Loads its readers at the first use."""

    def read(self, text: str, *, language: str) -> Reading:
        """text: one phrase as written. language: ISO 639-1 code or BCP 47 tag ("en-GB" is read as the British do), in
        which to read what the script does not tell. Raises EngineError when espeak-ng cannot be loaded."""
        words = _UNREAD.sub("", text).split()
        groups: list[str] = []
        counts: list[int] = []
        for run_language, run in _runs(words, "hi" if language.partition("-")[0] == "hi" else "en"):
            run_groups = _groups(" ".join(run), run_language)
            groups += run_groups
            counts += _group_counts(run, len(run_groups), run_language)
        kept = ["".join(symbol for symbol in group if symbol in SYMBOL_IDS) for group in groups]
        spans = _spans(words, counts, kept) if sum(counts) == len(groups) else ()
        dropped = sorted({*_UNREAD.findall(text), *(c for c in "".join(groups) if c not in SYMBOL_IDS)})
        return Reading(tuple(_cut(" ".join(filter(None, kept)), spans)), "".join(dropped))


def has_devanagari(text: str) -> bool:
    return any(_is_devanagari(c) for c in text)


# --- which reader -----------------------------------------------------------------------------------------------

_UNREAD: Final = re.compile(r"[^\W\d_\u0000-\u024f\u0900-\u097f]")
"""A letter of a script that neither reader knows."""
_UNIT: Final = re.compile(r"°\s?[CF]")
"""Its letter says nothing about the language."""


def _is_devanagari(c: str) -> bool:
    """A Devanagari letter or sign; its digits and dandas say nothing about the language of the words around."""
    return "\u0900" <= c <= "\u097f" and not c.isdigit() and c not in "।॥"


def _is_latin(c: str) -> bool:
    return c.isalpha() and c < "\u0250"


def _language_of(word: str) -> Language | None:
    if has_devanagari(word):
        return "hi"
    return "en" if any(_is_latin(c) for c in _UNIT.sub("", word)) else None


def _runs(words: Sequence[str], default: Language) -> Iterator[tuple[Language, list[str]]]:
    """Consecutive words for one reader."""
    own = [_language_of(word) for word in words]
    current = next((language for language in own if language), default)
    languages: list[Language] = []
    for language in own:
        current = language or current
        languages.append(current)
    for language, pairs in groupby(zip(languages, words, strict=True), key=lambda pair: pair[0]):
        yield language, [word for _, word in pairs]


# --- words and groups -------------------------------------------------------------------------------------------


_LONG_NUMBER: Final = re.compile(r"\d(?:,?\d){15,}")
"""Read digit by digit, as people do; as one number it is more than the readers can name."""


_LONG_WORD: Final = re.compile(r"\S{30}(?=\S)")
"""Read in pieces: what the English reader takes for one compound grows with the square of its parts, to minutes."""


def _groups(text: str, language: Language) -> list[str]:
    """The readers know the digits 0 to 9 only; ४, ٤ and ² are digits too."""
    plain = "".join(str(digit(c)) if c.isdigit() else c for c in text)
    plain = _LONG_NUMBER.sub(lambda number: " ".join(number.group().replace(",", "")), plain)
    plain = _LONG_WORD.sub(r"\g<0> ", plain)
    return _READERS[language](plain).split()


def _group_counts(words: Sequence[str], groups: int, language: Language) -> list[int]:
    """Phoneme groups of each word. Usually one each; else each word is read alone and counted."""
    ones = [1 if any(c.isalnum() for c in word) else 0 for word in words]
    if sum(ones) == groups and not any(c.isdigit() for word in words for c in word):
        return ones
    return [len(_groups(word, language)) for word in words]


_STOP_SYMBOLS: Final = ';:,.!?—…"()“”'


def _spans(words: Sequence[str], counts: Sequence[int], groups: Sequence[str]) -> tuple[WordSpan, ...]:
    """groups: without unknown symbols; an empty one takes no place (and no space) in the symbols."""
    spans: list[WordSpan] = []
    at, taken = 0, 0
    for word, count in zip(words, counts, strict=True):
        mine = [group for group in groups[taken : taken + count] if group]
        taken += count
        if mine:
            symbols = " ".join(mine)
            spans.append(WordSpan(word, at, at + (len(symbols.rstrip(_STOP_SYMBOLS)) or len(symbols))))
            at += len(symbols) + 1
    return tuple(spans)


# --- cutting ----------------------------------------------------------------------------------------------------


def _cut(symbols: str, spans: tuple[WordSpan, ...]) -> Iterator[Utterance]:
    """Pieces of at most MAX_SYMBOLS, cut behind a sentence end, else a clause end, else a word. Pieces without a
    sound are left out."""
    start = 0
    while start < len(symbols):
        end = start + _cut_at(symbols[start:])
        piece = symbols[start:end]
        if any(symbol.isalpha() for symbol in piece):
            yield Utterance(piece.strip(), tuple(_within(spans, start, start + len(piece.rstrip()))))
        start = end + (symbols[end : end + 1] == " ")


def _cut_at(symbols: str) -> int:
    """Length of the first piece."""
    if len(symbols) <= MAX_SYMBOLS:
        return len(symbols)
    head = symbols[: MAX_SYMBOLS + 1]
    for stops in (".!?…", ",;:—", ""):
        at = max((m.start() for m in re.finditer(rf"(?<=[{stops}]) " if stops else " ", head)), default=0)
        if at > MAX_SYMBOLS // 3:
            return at
    return MAX_SYMBOLS


def _within(spans: tuple[WordSpan, ...], start: int, end: int) -> Iterator[WordSpan]:
    """The words that begin in [start, end), counted from start; one that is cut belongs to its first piece."""
    for span in spans:
        if start <= span.first < end:
            yield WordSpan(span.word, span.first - start, min(span.end, end) - start)


# --- English ----------------------------------------------------------------------------------------------------


class _EnglishReader(Protocol):
    def __call__(self, text: str) -> str: ...


@functools.cache
def _english() -> _EnglishReader:
    """hibari's G2P: misaki's dictionary and rules, a small network for unknown words. Loads in about 0.4 s."""
    from hibari.g2p import G2P

    reader: _EnglishReader = G2P()
    return reader


def _read_english(text: str) -> str:
    return _english()(text)


# --- Hindi ------------------------------------------------------------------------------------------------------

_STOPS: Final = re.compile(r"(\d[.,:](?=\d))|\.{2,}|([;:,.!?—…\"()“”]+)|[^\w\s\u0900-\u097f%.,:\u200c\u200d'’-]+")
"""A separator inside a number (kept for espeak) | an ellipsis | stops | what espeak would read by name (emoji)."""
_HINDI_AS_SPOKEN: Final = (
    (re.compile(r"[।॥|]"), "."),
    (re.compile(r"\bडॉ\."), "डॉक्टर"),
    (re.compile(r"₹\s?(\d[\d.,]*\d|\d)"), r"\1 रुपये"),
    (re.compile(r"\$\s?(\d[\d.,]*\d|\d)"), r"\1 डॉलर"),
    (re.compile(r"°\s?C\b"), " डिग्री सेल्सियस"),
    (re.compile(r"°"), " डिग्री"),
    (re.compile(r"(?<!\S)[-−](?=\d)"), "माइनस "),
    (re.compile(r"(?<!\S)-(?!\S)|–"), "—"),
)  # fmt: skip
"""What espeak's Hindi leaves out or stumbles over, said as words or as a stop Kokoro knows."""
_LANGUAGE_MARK: Final = re.compile(r"\([\^a-z-]+\)")
_KOKORO_OF_ESPEAK: Final = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("s^s", "S"),
    ("t^s", "ʦ"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("^", ""), ("-", ""), ("ɭ", "l"), ("\u0329", ""),
)  # fmt: skip
"""misaki's mapping for all languages but English (misaki/espeak.py, E2M); ळ and ऌ have no symbol of their own.
espeak writes the flap of ड़ as "r.": that is what Kokoro was trained on, it makes no pause there, and it is heard
better than the table's own "ɽ" (which the Hindi voices never met)."""


def _read_hindi(text: str) -> str:
    """Stops are kept where they stand; what lies between them is read by espeak."""
    for pattern, spoken in _HINDI_AS_SPOKEN:
        text = pattern.sub(spoken, text)
    pieces: list[str] = []
    start = 0
    for match in _STOPS.finditer(text):
        if match.group(1):
            continue
        pieces += [_espeak_hindi(text[start : match.start()]), _stop(match)]
        start = match.end()
    pieces.append(_espeak_hindi(text[start:]))
    return " ".join("".join(pieces).split())


def _stop(match: re.Match[str]) -> str:
    if match.group(2):
        return match.group(2)
    return "…" if match.group().startswith("..") else " "


def _espeak_hindi(text: str) -> str:
    """One stretch without stops; spaces at its ends are kept."""
    body = text.strip()
    if not body:
        return text[:1]
    symbols = _LANGUAGE_MARK.sub("", _espeak().phonemes(body))
    for espeak, kokoro in _KOKORO_OF_ESPEAK:
        symbols = symbols.replace(espeak, kokoro)
    return f"{text[: len(text) - len(text.lstrip())]}{symbols}{text[len(text.rstrip()) :]}"


class _Espeak:
    """espeak-ng has one state for the whole process and is not thread-safe: one instance, one lock, one voice."""

    _RETRIEVAL: Final = 1  # AUDIO_OUTPUT_RETRIEVAL: no sound device
    _DONT_EXIT: Final = 0x8000  # return an error instead of ending the process
    _UTF8: Final = 1
    _IPA_WITH_TIES: Final = 0x02 | 0x80 | ord("^") << 8  # "^" ties the two letters of a diphthong or affricate

    def __init__(self) -> None:
        import espeakng_loader

        self._lock = threading.Lock()
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise EngineError("speaker", f"espeak-ng cannot be loaded ({error}): reinstall espeakng-loader.") from error
        data = espeakng_loader.get_data_path().encode()
        rate_hz = self._library.espeak_Initialize(self._RETRIEVAL, 0, ctypes.c_char_p(data), self._DONT_EXIT)
        if rate_hz <= 0 or self._library.espeak_SetVoiceByName(b"hi") != 0:
            raise EngineError("speaker", "espeak-ng found no Hindi data: reinstall espeakng-loader.")
        self._to_phonemes = self._library.espeak_TextToPhonemes
        self._to_phonemes.restype = ctypes.c_char_p
        self._to_phonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]

    def phonemes(self, text: str) -> str:
        """IPA with stress marks; words separated by spaces."""
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_char_p(ctypes.addressof(buffer))
        clauses: list[bytes] = []
        with self._lock:
            while rest.value is not None:  # espeak moves it on by one clause, and to NULL at the end
                clauses.append(self._to_phonemes(ctypes.byref(rest), self._UTF8, self._IPA_WITH_TIES) or b"")
        return " ".join(clause.decode().strip() for clause in clauses if clause.strip())


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


_READERS: Final[dict[Language, Callable[[str], str]]] = {"en": _read_english, "hi": _read_hindi}
