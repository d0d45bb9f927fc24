"""Spanish, French, Italian, Brazilian Portuguese and Hindi to Kokoro's symbols, through espeak-ng.

Knows: espeak-ng's library (its one state, its marks), how its symbols became Kokoro's, the signs that it stumbles
over. Does not know: scripts, models.

Stops are kept where they stand and what lies between them is read by espeak. Kokoro's voices of these languages were
trained on espeak's symbols, mapped by one table for all languages.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import normalize

from voxtral_voice.engines.phonemes.sounds import Sound, in_groups
from voxtral_voice.engines.phonemes.spoken import digits_by_one, stops_around
from voxtral_voice.engines.phonemes.stretches import Language, Stretch
from voxtral_voice.errors import EngineError

ESPEAK_VOICES: Final[dict[Language, str]] = {"es": "es", "fr": "fr", "hi": "hi", "it": "it", "pt": "pt-br"}

_STOPS: Final = re.compile(
    r"(\d[.,:](?=\d))|(\.{2,})|([;:,.!?—…\"()“”]+)|[^\w\s\u0900-\u097f%.,:\u200c\u200d'-]+|(?<!\w)['-]+|['-]+(?!\w)"
)
"""A separator inside a number (kept for espeak) | an ellipsis | stops | what espeak would read by name (emoji)."""
_WRITTEN: Final = (
    "पचपन तिरपन उनसठ इकसठ तिरसठ सड़सठ अड़सठ उनहत्तर इकहत्तर पचहत्तर सतहत्तर अठहत्तर दशमलव बजकर पाँचवाँ पाँचवीं पाँचवें लगभग"
)
_RESPELT: Final = (
    "पच्पन तिर्पन उन्सठ इक्सठ तिर्सठ सड़्सठ अड़्सठ उन्हत्तर इक्हत्तर पच्हत्तर सत्हत्तर अठ्हत्तर दशम्लव बज्कर पाँच्वाँ पाँच्वीं पाँच्वें लग्भग"
)
_WITHOUT_SCHWA: Final = dict(zip(normalize("NFC", _WRITTEN).split(), _RESPELT.split(), strict=True))
"""Hindi words in which espeak keeps a vowel that nobody says."""
_HINDI_WORD: Final = re.compile(r"[\u0900-\u0963\u0970-\u097f]+")
_MOST_LETTERS: Final = 48
"""Of a word, with its apostrophes and hyphens. espeak-ng ends the process when the endings of one word overflow a
buffer of its own: "'s" does so when it stands there 68 times (136 letters). The longest names of places have 45."""
_MOST_AT_ONCE: Final = 240
"""Characters. espeak-ng has one buffer of 800 bytes for a clause, into which it writes names of signs as well, and a
list of 1000 phonemes."""
_SAFE_WORD: Final = re.compile(rf"\S{{1,{_MOST_LETTERS}}}")
_DASH: Final = re.compile(r"(?<!\S)-(?!\S)|–")
_LANGUAGE_MARK: Final = re.compile(r"\([\^a-z-]+\)")
"""espeak's own, around a word that it reads as another language."""
_KOKORO_OF_ESPEAK: Final = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^z", "ʣ"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("s^s", "S"),
    ("t^s", "ʦ"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("^", ""), ("-", ""), ("ɭ", "l"), ("\u0329", ""),
)  # fmt: skip
"""misaki's mapping for all languages but English (misaki/espeak.py, E2M); ळ and ऌ have no symbol of their own.
espeak writes the flap of ड़ as "r.": that is what Kokoro was trained on, it makes no pause there, and it is heard
better than the table's own "ɽ" (which the Hindi voices never met)."""


class ByEspeak:
    def __init__(self, language: Language) -> None:
        self._language = language

    def read(self, stretches: Sequence[Stretch]) -> list[Sound]:
        sounds: list[Sound] = []
        open_run: list[int] = []
        for i, stretch in enumerate(stretches):
            if stretch.symbols is None:
                open_run.append(i)
                continue
            sounds += self._run(stretches, open_run)
            open_run = []
            before, _, behind = stops_around(stretch.text)
            sounds.append(Sound(i, before + stretch.symbols + behind))
        return sounds + self._run(stretches, open_run)

    def _run(self, stretches: Sequence[Stretch], numbers: Sequence[int]) -> list[Sound]:
        sounds = in_groups([stretches[i].text for i in numbers], self._symbols) if numbers else []
        return [Sound(numbers[sound.stretch], sound.symbols, sound.glued) for sound in sounds]

    def _symbols(self, text: str) -> str:
        text = _DASH.sub("—", digits_by_one(text))
        text = _HINDI_WORD.sub(lambda word: _WITHOUT_SCHWA.get(word.group(), word.group()), text)
        pieces: list[str] = []
        start = 0
        for match in _STOPS.finditer(text):
            if match.group(1):
                continue
            pieces += [self._between_stops(text[start : match.start()]), _stop(match)]
            start = match.end()
        pieces.append(self._between_stops(text[start:]))
        return " ".join("".join(pieces).split())

    def _between_stops(self, text: str) -> str:
        """Spaces at its ends are kept."""
        body = text.strip()
        if not body:
            return text[:1]
        voice = ESPEAK_VOICES[self._language]
        symbols = " ".join(_espeak().phonemes(piece, voice) for piece in _safe_pieces(body))
        symbols = _LANGUAGE_MARK.sub("", symbols)
        for espeak, kokoro in _KOKORO_OF_ESPEAK:
            symbols = symbols.replace(espeak, kokoro)
        return f"{text[: len(text) - len(text.lstrip())]}{symbols}{text[len(text.rstrip()) :]}"


def _safe_pieces(text: str) -> Iterator[str]:
    """All of the text, in pieces that espeak-ng has room for; a word that no person would write is cut."""
    piece = ""
    for word in _SAFE_WORD.findall(text):
        if piece and len(piece) + 1 + len(word) > _MOST_AT_ONCE:
            yield piece
            piece = ""
        piece = f"{piece} {word}" if piece else word
    yield piece


def _stop(match: re.Match[str]) -> str:
    return "…" if match.group(2) else match.group(3) or " "


class _Espeak:
    """espeak-ng has one state for the whole process and is not thread-safe: one instance, one lock. Changing its voice
    takes 0.03 ms, and 0.7 ms the first time."""

    _RETRIEVAL: Final = 1  # AUDIO_OUTPUT_RETRIEVAL: no sound device
    _DONT_EXIT: Final = 0x8000  # return an error instead of ending the process
    _UTF8: Final = 1
    _IPA_WITH_TIES: Final = 0x02 | 0x80 | ord("^") << 8  # "^" ties the two letters of a diphthong or affricate

    def __init__(self) -> None:
        import espeakng_loader

        self._lock = threading.Lock()
        self._voice = ""
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise EngineError("speaker", f"espeak-ng cannot be loaded ({error}): reinstall espeakng-loader.") from error
        data = espeakng_loader.get_data_path().encode()
        if self._library.espeak_Initialize(self._RETRIEVAL, 0, ctypes.c_char_p(data), self._DONT_EXIT) <= 0:
            raise EngineError("speaker", "espeak-ng found no data: reinstall espeakng-loader.")
        self._to_phonemes = self._library.espeak_TextToPhonemes
        self._to_phonemes.restype = ctypes.c_char_p
        self._to_phonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]

    def phonemes(self, text: str, voice: str) -> str:
        """IPA with stress marks; words separated by spaces."""
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_char_p(ctypes.addressof(buffer))
        clauses: list[bytes] = []
        with self._lock:
            self._speak_as(voice)
            while rest.value is not None:  # espeak moves it on by one clause, and to NULL at the end
                clauses.append(self._to_phonemes(ctypes.byref(rest), self._UTF8, self._IPA_WITH_TIES) or b"")
        return " ".join(clause.decode().strip() for clause in clauses if clause.strip())

    def _speak_as(self, voice: str) -> None:
        if voice != self._voice and self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EngineError("speaker", f"espeak-ng has no data for {voice!r}: reinstall espeakng-loader.")
        self._voice = voice


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()
