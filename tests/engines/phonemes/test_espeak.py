"""Languages through espeak-ng, whose library comes with a package. The symbols are those of espeak-ng 1.52."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from voxtral_voice.engines.phonemes.espeak import ByEspeak
from voxtral_voice.engines.phonemes.stretches import Language, Stretch
from voxtral_voice.engines.phonemes.symbols import SYMBOL_IDS


def said(text: str, language: Language) -> str:
    stretches = [Stretch(language, word, i) for i, word in enumerate(text.split())]
    return " ".join(sound.symbols for sound in ByEspeak(language).read(stretches))


@pytest.mark.parametrize(
    ("language", "text", "symbols"),
    [
        ("es", "Hola, ¿cómo estás?", "ˈola, kˈomo estˈas?"),
        ("es", "El niño tiene 42 años.", "el nˈiɲo tjˈene kwaɾˌɛntaiðˈos ˈaɲos."),
        ("fr", "Bonjour, c'est beau !", "bɔ̃ʒˈuʁ, sɛ bˈo !"),
        ("it", "Ciao, gli amici mangiano.", "ʧˈao, ʎɪ amˈiʧɪ mˈanʤano."),
        ("pt", "Olá, não tenho pão.", "olˈa, nˌɐ̃ʊ̃ tˌeɲʊ pˈɐ̃ʊ̃."),
        ("hi", "नमस्ते, आप कैसे हैं?", "nəmˈʌsteː, ˌaːp kˈɛːseː hɛ̃?"),
    ],
)
def test_each_language(language: Language, text: str, symbols: str) -> None:
    assert said(text, language) == symbols
    assert set(symbols) <= set(SYMBOL_IDS)


@pytest.mark.parametrize(("written", "symbols"), [("पचपन", "pˈʌcpən"), ("लगभग,", "lˈʌɡbʰəɡ,"), ("बजकर", "bˈʌɟkəɾ")])
def test_hindi_words_lose_the_vowel_that_nobody_says(written: str, symbols: str) -> None:
    assert said(written, "hi") == symbols


def test_stops_that_older_espeaks_stumbled_over() -> None:
    assert said("हाँ, जी! है न?", "hi") == "hˈa\u0303, ɟˈi! hɛː nˈə?"


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("12,5", "dˈoθe kˌoma θˈinko"), ("no...", "nˈo…"), ("“no”", "“nˈo”"), ("¡no!", "nˈo!"), ("no - no", "nˈo — nˈo")],
)
def test_stops_and_signs(text: str, symbols: str) -> None:
    assert said(text, "es") == symbols


def test_words_that_are_joined_in_speech_keep_their_places() -> None:
    sounds = ByEspeak("fr").read([Stretch("fr", word, i) for i, word in enumerate("Il y a du pain parce que".split())])
    assert [sound.stretch for sound in sounds] == [0, 1, 2, 3, 4, 5, 6]
    assert [sound.glued for sound in sounds] == [False] * 6 + [True]


def test_emoji_are_not_read_by_name() -> None:
    assert said("नमस्ते 😀 दुनिया", "hi") == said("नमस्ते दुनिया", "hi")


def test_marks_of_other_languages_are_not_spoken() -> None:
    assert "(" not in said("computer दुनिया", "hi")


def test_a_word_of_the_lexicon_is_said_so_between_others() -> None:
    stretches = [Stretch("es", "El", 0), Stretch("es", "“Nguyen”,", 1, "wˈin"), Stretch("es", "sí.", 2)]
    assert [sound.symbols for sound in ByEspeak("es").read(stretches)] == ["ˈel", "“wˈin”,", "sˈi."]


def test_several_threads_may_read_several_languages() -> None:
    texts: list[tuple[Language, str]] = [
        ("hi", "मुझे कल जाना है"),
        ("es", "buenos días"),
        ("fr", "bonjour"),
        ("it", "ciao"),
    ]
    work = texts * 40
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: said(job[1], job[0]), work))
    alone = {job: said(job[1], job[0]) for job in texts}
    assert together == [alone[job] for job in work]


_HOSTILE = """
import random
from voxtral_voice.engines.phonemes import Phonemizer

SIGNS = "abdeinorstuéñœßSTकनडसािौ्ं''--%.,:0159 \u200d_°"
chance, phonemizer = random.Random(7), Phonemizer()
texts = ["'s" * 200, "s'" * 900, "1.1," * 90, "ड" * 400, "999 " * 90, "a'-" * 300]
for _ in range(20):
    pattern = "".join(chance.choices(SIGNS, k=chance.randint(1, 9)))
    texts.append((pattern * 500)[: chance.randint(100, 500)])
for language in ("es", "fr", "hi", "it", "pt"):
    for text in texts:
        phonemizer.read(text, language=language)
print("all read")
"""
"""What overflows espeak-ng's buffers ends its process: not that of the tests."""


def test_no_text_ends_the_process() -> None:
    child = subprocess.run([sys.executable, "-c", _HOSTILE], capture_output=True, text=True, timeout=300, check=False)
    assert (child.returncode, child.stdout) == (0, "all read\n"), child.stderr


def test_a_word_that_nobody_would_write_is_cut_and_read_whole() -> None:
    assert " " not in said("anticonstitutionnellement", "fr")
    assert said("la" * 100, "es").replace("ˈ", "").replace("ˌ", "").replace(" ", "") == "la" * 100


def test_a_long_clause_is_read_in_parts() -> None:
    assert said("casa " * 150, "es") == " ".join(["kˈasa"] * 150)
