"""Which reader reads what. Nothing is read here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.phonemes.stretches import (
    Language,
    has_devanagari,
    is_english,
    language_of_tag,
    plain,
    stretches,
)
from voxtral_voice.engines.text import Said


def read_as(text: str, language: Language) -> list[tuple[str, str]]:
    said = [Said(word, word) for word in text.split()]
    return [(stretch.language, stretch.text) for stretch in stretches(said, language)[0]]


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("en-GB", "en-GB"),
        ("en_AU", "en-GB"),
        ("pt-BR", "pt"),
        ("zh-Hans-CN", "zh"),
        ("HI", "hi"),
        ("de", "en"),
        ("", "en"),
    ],
)
def test_languages_by_tag(tag: str, language: str) -> None:
    assert language_of_tag(tag) == language


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello दुनिया", "hi", [("en", "Hello"), ("hi", "दुनिया")]),
        ("Hola AI", "es", [("es", "Hola"), ("es", "AI")]),
        ("AI-आधारित", "hi", [("en", "AI-"), ("hi", "आधारित")]),
        ("मेरे 42 सेब", "en", [("hi", "मेरे"), ("hi", "42"), ("hi", "सेब")]),
        ("42 apples", "hi", [("en", "42"), ("en", "apples")]),
        ("42", "hi", [("hi", "42")]),
        ("25°C", "hi", [("hi", "25°C")]),
        ("買う", "ja", [("ja", "買う")]),
        ("Say 買う or 你好", "en", [("en", "Say"), ("ja", "買う"), ("en", "or"), ("ja", "你好")]),
        ("Say 你好 twice", "en", [("en", "Say"), ("zh", "你好"), ("en", "twice")]),
        ("東京", "ja", [("ja", "東京")]),
        ("東京", "zh", [("zh", "東京")]),
        ("我用iPhone吗", "zh", [("zh", "我用"), ("en", "iPhone"), ("zh", "吗")]),
        ("GitHubの本", "ja", [("ja", "GitHub"), ("ja", "の本")]),
        ("Hello there", "ja", [("en", "Hello"), ("en", "there")]),
        ("cheers", "en-GB", [("en-GB", "cheers")]),
    ],
)
def test_the_script_decides_before_the_language(text: str, language: Language, expected: list[tuple[str, str]]) -> None:
    assert read_as(text, language) == expected


def test_stretches_know_their_token() -> None:
    parts, _ = stretches([Said("$5", "five dollars"), Said("OK", ""), Said("Python吗", "Python吗")], "en")
    assert [(part.token, part.text) for part in parts] == [(0, "five"), (0, "dollars"), (2, "Python"), (2, "吗")]


@pytest.mark.parametrize(
    ("text", "unread"), [("Say Привет", "Привет"), ("مرحبا שלום", "مرحباשלום"), ("한국어", "한국어")]
)
def test_letters_without_a_reader_are_told(text: str, unread: str) -> None:
    parts, dropped = stretches([Said(text, text)], "en")
    assert dropped == unread
    assert not set("".join(part.text for part in parts)) & set(unread)


def test_marks_of_devanagari_and_joiners_are_kept() -> None:
    assert read_as("क्‍ष हूँ", "hi") == [("hi", "क्‍ष"), ("hi", "हूँ")]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("你好，世界。", "你好, 世界. "),
        ("「はい」と言う", " “はい” と言う"),
        ("ok。好!好", "ok. 好! 好"),
        ("Ａ１！", "A1! "),
        ("ｶﾞ", "カ\u3099"),
        ("Nguyễn", "Nguyen"),
        ("c’est « ça »", "c'est “ ça ”"),
        ("ठीक है।", "ठीक है. "),
        ("3．5", "3.5"),
        ("a\x00b\tc", "a b c"),
    ],
)
def test_signs_are_written_in_one_way(written: str, said: str) -> None:
    assert plain(written) == said


@pytest.mark.parametrize(
    ("text", "language", "english"),
    [
        ("Hello, 42!", "en-US", True),
        ("42", "en", True),
        ("Hello", "hi", True),
        ("Hello привет", "en", True),
        ("42", "hi", False),
        ("Hola", "es", False),
        ("Hello नमस्ते", "en", False),
        ("ありがとう", "en", False),
    ],
)
def test_what_is_english_alone(text: str, language: str, english: bool) -> None:
    assert is_english(text, language) is english


def test_devanagari() -> None:
    assert has_devanagari("say हाँ")
    assert not has_devanagari("4 ५ ।")


@given(st.text(max_size=40), st.sampled_from(["en", "ja", "zh", "hi", "fr"]))
def test_no_text_has_letters_that_are_neither_read_nor_told(text: str, language: Language) -> None:
    parts, dropped = stretches([Said(text, text)], language)
    left = "".join(part.text for part in parts)
    assert all(c in left or c in dropped for c in plain(text) if c.isalpha())
