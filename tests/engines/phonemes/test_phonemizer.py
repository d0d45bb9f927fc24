"""Phrases to what the model speaks. All dictionaries come with packages; no model files."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.engines.phonemes import MAX_SYMBOLS, SYMBOL_IDS, Lexicon, Phonemizer, Reading

PHONEMIZER = Phonemizer()


def read(text: str, language: str = "en") -> Reading:
    return PHONEMIZER.read(text, language=language)


def symbols(text: str, language: str = "en") -> str:
    return " ".join(utterance.symbols for utterance in read(text, language).utterances)


def words(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [
        (span.word, utterance.symbols[span.first : span.end])
        for utterance in read(text, language).utterances
        for span in utterance.words
    ]


# --- languages


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("en-US", "Hello there.", "həlˈO ðˈɛɹ."),
        ("en-GB", "Hello there.", "həlˈQ ðˈɛː."),
        ("es", "Hola, ¿qué tal?", "ˈola, kˈe tˈal?"),
        ("fr", "Bonjour !", "bɔ̃ʒˈuʁ!"),
        ("hi", "मैं ठीक हूँ।", "mɛ̃ ʈʰˈiːk hu\u0303."),
        ("it", "Ciao, amici.", "ʧˈao, amˈiʧɪ."),
        ("ja", "はい、私です。", "hai, βataɕi desɨ."),
        ("pt-BR", "Olá, tudo bem?", "olˈa, tˈudʊ bˈAŋ?"),
        ("zh", "你好，世界！", "ni↓xau↓, ʂɨ↘ʨje↘!"),
    ],
)
def test_nine_languages(language: str, text: str, said: str) -> None:
    assert symbols(text, language).replace(" !", "!") == said


def test_each_script_has_its_own_reader() -> None:
    expected = f"{symbols('नया', 'hi')} {symbols('computer')} {symbols('चाहिए।', 'hi')}"
    assert symbols("नया computer चाहिए।", "hi") == symbols("नया computer चाहिए।", "en") == expected
    assert symbols("Say 你好, ok?") == f"{symbols('Say')} {symbols('你好,', 'zh')} {symbols('ok?')}"


def test_text_is_said_before_it_is_read() -> None:
    assert symbols("$3.50") == symbols("three dollars and fifty cents")
    assert symbols("**really**") == symbols("really")


def test_warming_up_reads_a_word_of_any_language() -> None:
    for language in ("en", "en-GB", "es", "fr", "hi", "it", "ja", "pt", "zh", "de"):
        PHONEMIZER.warm(language)


# --- nothing to say, and what cannot be said


@pytest.mark.parametrize("text", ["", "  \n", "...", " — ", "😀", "?!", "“”", "( )", "привет", "\x00\x07", "\u200b"])
@pytest.mark.parametrize("language", ["en", "hi", "ja", "fr"])
def test_nothing_to_say(text: str, language: str) -> None:
    assert read(text, language).utterances == ()


def test_letters_without_a_reader_are_reported() -> None:
    reading = read("Say Привет now, مرحبا!")
    assert reading.dropped == "".join(sorted(set("Приветمرحبا")))
    assert symbols("Say Привет now") == symbols("Say now")


def test_symbols_without_an_id_are_reported() -> None:
    reading = Phonemizer(Lexicon({"": {"word": "w☃d"}})).read("word", language="en")
    assert (reading.dropped, [utterance.symbols for utterance in reading.utterances]) == ("☃", ["wd"])


def test_nothing_is_reported_for_plain_text() -> None:
    assert read("Hello, नमस्ते — 42! ¿Qué? “はい”、好。").dropped == ""


# --- words


def test_words_know_their_symbols_without_the_stops() -> None:
    assert words("Hello there, you.") == [("Hello", "həlˈO"), ("there,", "ðˈɛɹ"), ("you.", "ju")]
    assert words("सेब हैं।", "hi") == [("सेब", "sˈeːb"), ("हैं।", "hɛ̃")]


def test_what_is_said_in_several_words_is_one_word_as_written() -> None:
    assert words("I paid $3.50 today.")[2] == ("$3.50", "θɹˈi dˈɑləɹz ænd fˈɪfti sˈɛnts")
    assert words("AI-आधारित है", "hi")[0][0] == "AI-"


def test_a_word_without_sound_has_no_place() -> None:
    assert [word for word, _ in words("Say 😀 hello")] == ["Say", "hello"]


@pytest.mark.parametrize(
    ("text", "language", "pieces"),
    [
        ("私は「学生」です。はい。", "ja", ["私", "は", "「学生」", "です。", "はい。"]),
        ("我们散步，好吗？", "zh", ["我们", "散步，", "好", "吗？"]),
        ("我买了25个。", "zh", ["我", "买", "了25个。"]),
        ("我用iPhone", "zh", ["我用", "iPhone"]),
        ("东京 hello 你好", "zh", ["东京", "hello", "你好"]),
    ],
)
def test_without_spaces_words_are_pieces_of_the_text(text: str, language: str, pieces: list[str]) -> None:
    assert [word for word, _ in words(text, language)] == pieces


# --- the lexicon


def test_a_name_is_read_as_the_lexicon_says() -> None:
    lexicon = {"": {"Nguyen": "wˈɪn"}, "en": {"GIF": "ʤˈɪf"}, "ja": {"東京": "tˈo"}}
    phonemizer = Phonemizer(Lexicon(lexicon))

    def said(text: str, language: str) -> str:
        return " ".join(utterance.symbols for utterance in phonemizer.read(text, language=language).utterances)

    assert said("Say “Nguyen’s GIF”, please.", "en") == "sˈA wˈɪnz ʤˈɪf, plˈiz."
    assert said("मैं Nguyen, हूँ।", "hi") == "mɛ̃ wˈɪn, hu\u0303."
    assert said("¿Nguyen?", "es") == "wˈɪn?"
    assert said("東京へ。", "ja") == "tˈo e."


# --- long phrases


def test_a_long_phrase_is_cut_behind_a_clause_and_loses_nothing() -> None:
    text = "When the rain had stopped, we walked down to the river, " * 6 + "and went home."
    utterances = read(text).utterances
    assert len(utterances) > 1
    assert all(len(utterance.symbols) <= MAX_SYMBOLS for utterance in utterances)
    assert all(utterance.symbols.endswith(",") for utterance in utterances[:-1])
    assert [span.word for utterance in utterances for span in utterance.words] == text.split()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好我们一起去公园散步" * 20, "zh"),
        ("私は毎朝コーヒーを飲みます" * 20, "ja"),
        ("नमस्ते दुनिया " * 40, "hi"),
    ],
)
def test_a_phrase_without_stops_is_cut_between_words(text: str, language: str) -> None:
    utterances = read(text, language).utterances
    assert len(utterances) > 1
    assert "".join(span.word for utterance in utterances for span in utterance.words) == text.replace(" ", "")
    assert {span.end for u in utterances for span in u.words[-1:]} == {len(u.symbols) for u in utterances}


@pytest.mark.parametrize(
    "text",
    ["a" * 10_000, "-" * 10_000 + "a", "9" * 10_000, "漢" * 10_000, "あ" * 10_000, "(a" * 1_000, "a. b, " * 1_700],
)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_long_nonsense_is_read_in_time(text: str, language: str) -> None:
    began = time.thread_time()
    utterances = read(text, language).utterances
    assert utterances
    assert time.thread_time() - began < 20


# --- at all times


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60) | st.text("अआकखगणमहािीुेै्ंँ़ड़०५ ।,.-₹%あ東アー、。「」abc'", max_size=60),
    st.sampled_from(["en", "hi", "ja", "zh", "fr", "es"]),
)
def test_any_text_gives_symbols_that_the_model_knows(text: str, language: str) -> None:
    for utterance in read(text, language).utterances:
        assert 1 <= len(utterance.symbols) <= MAX_SYMBOLS
        assert utterance.symbols == utterance.symbols.strip()
        assert set(utterance.symbols) <= set(SYMBOL_IDS)
        edges = [edge for span in utterance.words for edge in (span.first, span.end)]
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(utterance.symbols) for edge in edges)
        at = 0
        for span in utterance.words:
            at = text.index(span.word, at) + len(span.word)
