from __future__ import annotations

import time
import unicodedata

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.bench.words import (
    Distance,
    distance,
    edits,
    edits_of_beginnings,
    heard_words,
    holds,
    normalised,
    unit,
)


@pytest.mark.parametrize(
    ("text", "language", "plain"),
    [
        ("  What's  the CAPITAL, of France?", "en", "whats the capital of france"),
        ("It’s 1,000.5 km – or ‘two’", "en", "its 1000 5 km or two"),
        ("Um, well [laughs] (sighs) <noise> uh yes", "en-US", "well yes"),
        ("a [b (c) [d] e] f (g", "de", "a b e f g"),
        ("um dia", "pt", "um dia"),
        ("Où est-ce que c'est ?", "fr", "où est ce que cest"),
        ("नमस्ते, आप\u200dकैसे हैं?", "hi", "नमस्ते आपकैसे हैं"),
        ("Ｈｅｌｌｏ　世界。", "zh", "hello 世界"),
        ("one, two and 3,4", "en", "one two and 3 4"),
        ("...", "en", ""),
    ],
)
def test_spellings_are_made_comparable(text: str, language: str, plain: str) -> None:
    assert normalised(text, language) == plain


def test_both_ways_to_write_a_devanagari_letter_are_one() -> None:
    whole, parts = "\u0929", "\u0928\u093c"
    assert whole != parts
    assert normalised(whole, "hi") == normalised(parts, "hi")


@settings(deadline=None)
@given(st.text())
def test_what_is_normal_stays(text: str) -> None:
    once = normalised(text, "de")
    assert normalised(once, "de") == once
    assert not any(unicodedata.category(character)[0] in "PS" for character in once)


@pytest.mark.parametrize(
    ("language", "counted"), [("en", "word"), ("hi", "character"), ("hi-IN", "character"), ("ja", "character")]
)
def test_some_languages_are_counted_in_characters(language: str, counted: str) -> None:
    assert unit(language) == counted


def test_words_and_characters() -> None:
    assert distance("What is the capital?", "what's the capital", "en", "word") == Distance(2, 4)
    assert distance("ab cd", "abcd", "en", "character") == Distance(1, 5)
    assert distance("今日は 晴れ", "今日 は晴", "ja", "character") == Distance(1, 5)
    assert distance("", "anything at all", "en", "word") == Distance(3, 0)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_the_distance_is_the_one_that_others_count(reference: list[str], written: list[str]) -> None:
    counted = jiwer.process_words(" ".join(reference), " ".join(written))
    assert edits(reference, written) == counted.substitutions + counted.deletions + counted.insertions


@pytest.mark.parametrize(
    "hostile", ["[" * 300_000, "[(<" * 100_000, "\u0315\u0300" * 150_000, "a " * 150_000, "\ufdfa" * 300_000]
)
def test_a_hostile_transcript_takes_no_longer_than_others(hostile: str) -> None:
    began = time.thread_time()
    distance("what is the capital of France", hostile, "en", "character")
    distance("what is the capital of France", hostile, "en", "word")
    holds(hostile, "Paris", "en")
    assert time.thread_time() - began < 1.0


def test_brackets_that_are_never_closed_cost_no_more_than_letters() -> None:
    began = time.thread_time()
    assert normalised("[(<" * 100_000, "en") == ""
    assert time.thread_time() - began < 1.0


def test_there_are_no_more_errors_than_are_looked_at() -> None:
    assert distance("yes", "no " * 300_000, "en", "word").errors == (20 * 3 + 2_000) // 3 + 1


def test_nothing_against_something() -> None:
    assert edits("", "abc") == edits("abc", "") == 3
    assert edits("", "") == 0


@pytest.mark.parametrize(
    ("text", "answer", "language", "held"),
    [
        ("The capital of France is Paris.", "paris", "en", True),
        ("It is in New York, I think.", "New York", "en", True),
        ("Parisians!", "Paris", "en", False),
        ("York is new", "New York", "en", False),
        ("", "Paris", "en", False),
        ("法国的首都是巴黎。", "巴黎", "zh", True),
        ("法国", "巴黎", "zh", False),
    ],
)
def test_an_answer_holds_what_was_asked_for(text: str, answer: str, language: str, held: bool) -> None:
    assert holds(text, answer, language) is held


# --- what was heard of a reply


@pytest.mark.parametrize(
    ("by_ear", "told", "played", "off"),
    [
        ("The cat sat on the", "The cat sat on the", 5, 0),
        ("the cat sat on the", "The cat sat on", 5, 1),
        ("the cat sat", "The cat sat on the mat, and", 3, 4),
        ("The cad sat un the", "The cat sat on the", 5, 0),
        ("the cat sat on the m", "The cat sat on the", 5, 0),
        ("the cat sat on the ma", "The cat sat on the mat", 6, 0),
        ("The cat sat on the mat and slept.", "", 8, 8),
        ("the cat sat", "The dog sat", 3, 1),
    ],
)
def test_words_that_were_played_are_found_by_ear(by_ear: str, told: str, played: int, off: int) -> None:
    found = heard_words("The cat sat on the mat, and slept.", by_ear, told, "en")
    assert found is not None
    assert (found.played, found.off) == (played, off)


def test_what_cannot_be_known_is_not_said() -> None:
    assert heard_words("The cat sat.", "", "The cat", "en") is None
    assert heard_words("猫が座った。", "猫が", "猫が", "ja") is None


def test_the_distance_of_every_beginning() -> None:
    assert edits_of_beginnings("abc", "ab") == [2, 1, 0, 1]
    assert edits_of_beginnings("", "ab") == [2]
