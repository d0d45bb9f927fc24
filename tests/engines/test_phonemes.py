"""Text to Kokoro's symbols. espeak-ng and the English dictionary come with the packages; no model files."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.engines.phonemes import MAX_SYMBOLS, SYMBOL_IDS, Language, Phonemizer, Reading

PHONEMIZER = Phonemizer()


def read(text: str, language: Language = "en") -> Reading:
    return PHONEMIZER.read(text, language=language)


def symbols(text: str, language: Language = "en") -> str:
    return " ".join(utterance.symbols for utterance in read(text, language).utterances)


def words(text: str, language: Language = "en") -> list[tuple[str, str]]:
    return [
        (span.word, utterance.symbols[span.first : span.end])
        for utterance in read(text, language).utterances
        for span in utterance.words
    ]


# --- the symbol table


def test_the_table_is_that_of_the_student_too() -> None:
    import json
    from pathlib import Path

    import hibari

    vocabulary = json.loads((Path(hibari.__file__).parent / "assets" / "vocab.json").read_text("utf-8"))
    assert vocabulary == SYMBOL_IDS


def test_ids_are_padded_with_zeros() -> None:
    (utterance,) = read("Hello.").utterances
    assert utterance.symbols == "həlˈO."
    assert utterance.ids == [0, 50, 83, 54, 156, 31, 4, 0]


# --- English


def test_english_is_read_with_its_punctuation() -> None:
    assert symbols("Hello there, how are you?") == "həlˈO ðˈɛɹ, hˌW ɑɹ ju?"


@pytest.mark.parametrize(("odd", "plain"), [("٤٢", "42"), ("४२ apples", "42 apples")])
def test_digits_of_any_script_are_digits(odd: str, plain: str) -> None:
    assert symbols(odd) == symbols(plain)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("3:30pm", "three thirty P.M."),
        ("Dr. Smith", "Doctor Smith"),
    ],
)
def test_english_numbers_and_signs_are_read_as_words(written: str, said: str) -> None:
    assert symbols(written).replace(".", "") == symbols(said).replace(".", "")


@pytest.mark.parametrize("number", ["4111111111111111", "4,111,111,111,111,111", "5" * 60, "1" * 200, "$" + "1" * 50])
@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_number_too_long_to_name_is_read_digit_by_digit(number: str, language: Language) -> None:
    digits = number.replace(",", "").strip("$")
    assert len(symbols(number.strip("$"), language).split()) == len(digits)
    assert read(number, language).utterances


# --- Hindi


def test_hindi_is_read_by_espeak_in_kokoros_symbols() -> None:
    assert symbols("नमस्ते, आप कैसे हैं?", "hi") == "nəmˈʌsteː, ˌaːp kˈɛːseː hɛ̃?"


@pytest.mark.parametrize("stop", ["।", "॥", "|", "."])
def test_every_full_stop_of_hindi_is_a_dot(stop: str) -> None:
    assert symbols(f"मैं ठीक हूँ{stop}", "hi") == "mɛ̃ ʈʰˈiːk hu\u0303."


def test_stops_that_older_espeaks_stumbled_over() -> None:
    assert symbols("हाँ, जी! है | न?", "hi") == "hˈa\u0303, ɟˈi! hɛː . nˈə?"


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("४२", "42"),
        ("₹500", "500 रुपये"),
        ("₹ 1,00,000", "एक लाख रुपये"),
        ("-5°C", "माइनस 5 डिग्री सेल्सियस"),
        ("डॉ. शर्मा", "डॉक्टर शर्मा"),
    ],
)
def test_hindi_numbers_and_signs_are_read_as_words(digits: str, said: str) -> None:
    assert symbols(digits, "hi").replace("ˌ", "ˈ") == symbols(said, "hi").replace("ˌ", "ˈ")


def test_hindi_reads_integers_the_indian_way() -> None:
    assert symbols("42", "hi") == "bIˈaːlis"
    assert symbols("1,00,000", "hi") == symbols("100000", "hi") == "ˈeːk lˈaːkʰ"
    assert symbols("50%", "hi") == "pəcˈaːs pətˈɪʃət"


def test_separators_inside_a_number_are_no_stops() -> None:
    assert not set(symbols("१२.५ और 10:30 और 1,234", "hi")) & set(".,:")


def test_espeaks_language_marks_are_not_spoken() -> None:
    spoken = symbols("AI-आधारित", "hi")
    assert "(" not in spoken
    assert "aːdʰˈaːɾɪt" in spoken


def test_emoji_are_not_read_by_name() -> None:
    assert symbols("नमस्ते 😀 दुनिया", "hi") == symbols("नमस्ते दुनिया", "hi")
    assert symbols("Okay 😀 then") == symbols("Okay then")


# --- the script decides


def test_the_script_decides_not_the_voice() -> None:
    assert symbols("Hello there.", "hi") == symbols("Hello there.", "en")
    assert symbols("मुझे जाना है।", "en") == symbols("मुझे जाना है।", "hi")


def test_english_words_in_hindi_are_read_as_english() -> None:
    assert (
        symbols("नया computer चाहिए।", "hi")
        == f"{symbols('नया', 'hi')} {symbols('computer')} {symbols('चाहिए।', 'hi')}"
    )


def test_numbers_go_with_the_words_around_them_and_alone_with_the_voice() -> None:
    assert symbols("मेरे पास 42 सेब हैं", "en") == symbols("मेरे पास 42 सेब हैं", "hi")
    assert symbols("I have 42 apples", "hi") == symbols("I have 42 apples", "en")
    assert symbols("42 सेब", "en") == symbols("42 सेब", "hi")
    assert symbols("42", "hi") == "bIˈaːlis"
    assert symbols("42", "en") == symbols("forty two", "en")


# --- nothing to say, and what cannot be said


@pytest.mark.parametrize("text", ["", "  \n", "...", " — ", "😀", "?!", "“”", "( )", "привет"])
@pytest.mark.parametrize("language", ["en", "hi"])
def test_nothing_to_say(text: str, language: Language) -> None:
    assert read(text, language).utterances == ()


def test_letters_without_a_reader_are_reported() -> None:
    reading = read("Say Привет now")
    assert reading.dropped == "Пвеирт"
    assert symbols("Say Привет now") == symbols("Say now")


def test_phonemes_cannot_be_smuggled_in() -> None:
    assert "wd" not in symbols("[word](/wd/)").split()


def test_nothing_is_reported_for_plain_text() -> None:
    assert read("Hello, नमस्ते — 42!").dropped == ""


# --- words


def test_words_know_their_symbols_without_the_stops() -> None:
    assert words("Hello there, you.") == [("Hello", "həlˈO"), ("there,", "ðˈɛɹ"), ("you.", "ju")]
    assert words("मेरे पास 42 सेब हैं।")[2:] == [("42", "bIˈaːlis"), ("सेब", "sˈeːb"), ("हैं।", "hɛ̃")]


def test_a_number_is_one_word_with_several_groups() -> None:
    assert words("I paid $3.50 today.")[2] == ("$3.50", "θɹˈi dˈɑləɹz ænd fˈɪfti sˈɛnts")


def test_a_word_without_sound_has_no_place() -> None:
    assert [word for word, _ in words("Say 😀 hello")] == ["Say", "hello"]


def test_words_are_matched_where_a_reader_adds_some() -> None:
    assert {"From", "5", "7", "July"} <= {word for word, _ in words("From 5 - 7 July")}


# --- long phrases


def test_a_long_phrase_is_cut_behind_a_clause_and_loses_nothing() -> None:
    text = "When the rain had stopped, we walked down to the river, " * 6 + "and went home."
    utterances = read(text).utterances
    assert len(utterances) > 1
    assert all(len(utterance.symbols) <= MAX_SYMBOLS for utterance in utterances)
    assert all(utterance.symbols.endswith(",") for utterance in utterances[:-1])
    assert [span.word for utterance in utterances for span in utterance.words] == text.split()


def test_a_sentence_end_is_a_better_cut_than_a_comma() -> None:
    text = "It rained all day and all night. " * 4 + "Then, when it stopped, we all went out, " * 3
    assert read(text).utterances[0].symbols.endswith(".")


def test_a_phrase_without_stops_is_cut_between_words() -> None:
    utterances = read("good morning " * 60).utterances
    assert [span.word for utterance in utterances for span in utterance.words] == ["good", "morning"] * 60
    assert {span.end for u in utterances for span in u.words[-1:]} == {len(u.symbols) for u in utterances}


def test_a_word_longer_than_a_run_is_cut_anywhere() -> None:
    spoken = [utterance.symbols for utterance in read("a" * 1000).utterances]
    assert len(spoken) > 1
    assert max(map(len, spoken)) <= MAX_SYMBOLS


# --- at all times


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("अआकखगणमहािीुेै्ंँ़ड़०५ ।,.-₹%", max_size=60), st.sampled_from(["en", "hi"]))
def test_any_text_gives_symbols_that_the_model_knows(text: str, language: Language) -> None:
    for utterance in read(text, language).utterances:
        assert 1 <= len(utterance.symbols) <= MAX_SYMBOLS
        assert utterance.symbols == utterance.symbols.strip()
        assert all(0 < i < 178 for i in utterance.ids[1:-1])
        edges = [edge for span in utterance.words for edge in (span.first, span.end)]
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(utterance.symbols) for edge in edges)


def test_espeak_is_safe_from_several_threads() -> None:
    texts = ["मुझे कल सुबह दिल्ली जाना है।", "नमस्ते", "9876543210", "आज मौसम बहुत अच्छा है"] * 50
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: symbols(text, "hi"), texts))
    assert together == [symbols(text, "hi") for text in texts]


def test_a_word_without_an_end_is_read_in_pieces() -> None:
    """As one compound the English reader took minutes over it."""
    began = time.thread_time()
    reading = Phonemizer().read("a-" * 300, language="en")
    assert reading.utterances
    assert time.thread_time() - began < 20
