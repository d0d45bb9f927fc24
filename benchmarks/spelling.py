"""How two spellings of the same spoken words are made equal, in the nine languages of the voices.

On top of `voxtral_voice.bench.words` (NFKC, case, punctuation, brackets, fillers): numerals become words, nuktas and
the two nasal signs of Devanagari become one, and a few hours are said as they are. What is written with other letters
for the same sound, as Japanese with kanji or kana and Chinese with simplified or traditional characters, stays
different here: `sounds` compares what a reader would say instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final

from voxtral_voice.bench.words import edits, normalised
from voxtral_voice.engines.phonemes import Phonemizer

NUMBER: Final = re.compile(r"\d+")
WORDS: Final = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf vingt",
    "hi": "शून्य एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस बीस",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove venti",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis dezessete "
    "dezoito dezenove vinte",
}
"""0 to 20: no other numbers are said. The digits of a larger one are said one by one."""
TITLES: Final = {"en": ((re.compile(r"\bmr\b"), "mister"), (re.compile(r"\bdr\b"), "doctor"))}
HAN_DIGITS: Final = "〇一二三四五六七八九"
HOURS: Final = {
    "en": ((re.compile(r"\b(\d+)[:.]30\b"), r"half past \1"),),
    "es": ((re.compile(r"\b(\d+)[:.]30\b"), r"\1 y media"), (re.compile(r"\b(\d+)[:.]00\b"), r"\1")),
    "fr": ((re.compile(r"\b(\d+) ?h\b"), r"\1 heures"),),
    "it": ((re.compile(r"\b(\d+)[:.]30\b"), r"\1 e mezza"), (re.compile(r"\b(\d+)[:.]00\b"), r"\1")),
    "pt": ((re.compile(r"\b(\d+)[:h]30\b"), r"\1 e meia"), (re.compile(r"\b(\d+) ?h\b"), r"\1")),
}  # fmt: skip
"""How a transcriber writes the hours of our sentences."""
SILENT: Final = re.compile(r"""[\s;:,.!?—…"()“”ˈˌː]""")
"""Of phonemes: stops, stress and length, which do not tell words apart to the ear of a transcriber."""


def comparable(text: str, language: str) -> str:
    """language: ISO 639-1."""
    for pattern, said in HOURS.get(language, ()):
        text = pattern.sub(said, text.lower())
    text = NUMBER.sub(lambda match: _as_words(match.group(), language), unicodedata.normalize("NFKC", text))
    text = normalised(text, language)
    for pattern, said in TITLES.get(language, ()):
        text = pattern.sub(said, text)
    if language == "hi":
        text = _plain_hindi(text)
    return text.replace(" ", "") if language in ("ja", "zh") else text


def word_errors(said: str, heard: str, language: str) -> tuple[int, int]:
    """Errors, and words of what was said."""
    words = comparable(said, language).split()
    return edits(words, comparable(heard, language).split()), len(words)


def letter_errors(said: str, heard: str, language: str) -> tuple[int, int]:
    """Errors, and characters of what was said; spaces count where the language has them."""
    letters = comparable(said, language)
    return edits(letters, comparable(heard, language)), len(letters)


def sound_errors(said: str, heard: str, language: str) -> tuple[int, int]:
    """Errors, and phonemes of what was said: both texts as our own reader would say them."""
    sounds = phonemes(said, language)
    return edits(sounds, phonemes(heard, language)), len(sounds)


@cache
def phonemes(text: str, language: str) -> str:
    reading = _reader().read(text, language=language)
    return SILENT.sub("", "".join(utterance.symbols for utterance in reading.utterances))


@cache
def _reader() -> Phonemizer:
    return Phonemizer()


def _as_words(number: str, language: str) -> str:
    if language in ("ja", "zh"):
        return _han(int(number)) if len(number) < 3 else "".join(HAN_DIGITS[int(digit)] for digit in number)
    words: Sequence[str] = WORDS[language].split()
    parts = [words[int(number)]] if int(number) < len(words) else [words[int(digit)] for digit in number]
    return f" {' '.join(parts)} "


def _han(number: int) -> str:
    """0 to 99 as they are said."""
    tens, ones = divmod(number, 10)
    if not tens:
        return HAN_DIGITS[ones]
    return (HAN_DIGITS[tens] if tens > 1 else "") + "十" + (HAN_DIGITS[ones] if ones else "")


def _plain_hindi(text: str) -> str:
    """Nuktas are written at will, and so is one nasal sign for the other."""
    text = unicodedata.normalize("NFD", text).replace("\N{DEVANAGARI SIGN NUKTA}", "")
    return text.replace("\N{DEVANAGARI SIGN CANDRABINDU}", "\N{DEVANAGARI SIGN ANUSVARA}")
