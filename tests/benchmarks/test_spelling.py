"""Spellings that differ and are the same words, and words that are not."""

from __future__ import annotations

import pytest

from benchmarks.spelling import comparable, letter_errors, sound_errors, word_errors


@pytest.mark.parametrize(
    ("language", "said", "heard"),
    [
        ("en", "The bus leaves in twenty minutes.", "the bus leaves in 20 minutes"),
        ("en", "It was moved to half past four.", "It was moved to 4:30."),
        ("es", "La reunión empieza a las cuatro y media.", "la reunión empieza a las 4.30"),
        ("fr", "J'ai mis sept heures, allez-vous bien ?", "J’ai mis 7h, allez vous bien"),
        ("it", "Alle quattro e mezza", "alle 4:30"),
        ("pt", "Às quatro e meia, guarda-chuva.", "às 4h30 guarda chuva"),
        ("hi", "ताज़ी सब्ज़ियाँ, पढ़कर दो अंडे।", "ताजी सब्जियां पढकर 2 अंडे"),
        ("ja", "二十分後に、七時と十五分。", "20分後に 7時と15分"),
        ("zh", "早上七点，十五分钟。", "早上7点15分钟"),
    ],
)
def test_the_same_words_in_another_spelling(language: str, said: str, heard: str) -> None:
    assert comparable(said, language) == comparable(heard, language)
    assert letter_errors(said, heard, language)[0] == 0


@pytest.mark.parametrize(
    ("language", "said", "heard", "errors", "words"),
    [
        ("en", "the cat sat", "the hat sat", 1, 3),
        ("en", "the cat sat", "the cat sat down there", 2, 3),
        ("es", "el papá llega", "el papa llega", 1, 3),
        ("en", "one hundred", "120", 2, 2),
        ("en", "Mister two nine three", "Mr. 293", 0, 4),
    ],
)
def test_other_words_are_errors(language: str, said: str, heard: str, errors: int, words: int) -> None:
    assert word_errors(said, heard, language) == (errors, words)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [("ja", "傘を持って", "かさをもって"), ("zh", "请您带上", "請您帶上"), ("en", "see", "sea")],
)
def test_what_sounds_alike_has_no_sound_errors(language: str, one: str, other: str) -> None:
    errors, length = sound_errors(one, other, language)
    assert (errors, length > 2 or language == "en") == (0, True)
    assert letter_errors(one, other, language)[0] > 0
    assert sound_errors(one, "", language) == (length, length)
