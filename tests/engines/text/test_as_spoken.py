"""What holds for every text in every language."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtral_voice.engines.text import as_spoken

LANGUAGES = ("en", "en-GB", "hi", "es", "fr", "it", "pt", "ja", "zh", "de", "")
SIGNS = st.text(
    "0123456789 .,:/-–$€₹%°'\"*_#`|[]()<>&;!?@+=~^\\\n\tabkmAIVXSt½²४डॉरु।年月円点🙂\u200d\ufe0f\u202e", max_size=80
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | SIGNS, st.sampled_from(LANGUAGES))
def test_no_token_is_lost(text: str, language: str) -> None:
    said = as_spoken(text, language)
    assert [one.written for one in said] == text.split()
    for one in said:
        assert one.spoken == " ".join(one.spoken.split())
        assert not set(one.spoken) & set("#*_`|<>[]{}\\^~=+%$€₹@&।")
        assert all(unicodedata.category(c) not in ("Cc", "Co", "So") for c in one.spoken)
        assert one.spoken == "" or any(c.isalnum() or c in ',.;:!?…—"“”()、。・「」『』' for c in one.spoken)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | SIGNS, st.sampled_from(["en", "hi"]))
def test_english_and_hindi_leave_no_digits(text: str, language: str) -> None:
    written = "".join(c for c in text if not "\u3040" <= c <= "\u9fff")
    assert not any(c.isdigit() for one in as_spoken(written, language) for c in one.spoken)


PIECES = (
    *"1 1, 1. 1- a a. a- a@ a/ A ( [ [a]( < <a <!-- * **a _ ` | & &a $ $1 - : 1: 1/ www. http:// IV # 😀".split(),
    *"\u200d क 1क 년 ' \" '' I X = ^ v1. > ²".split(),
    *("1 ", "* ", "```\n", "| \n", "₹1 ", "IV ", "# \n", "  ", "\n", "> ", "- ", "a b ", "Nov 5 ", "1) "),
)


@pytest.mark.parametrize("language", ["en", "hi", "es", "zh"])
def test_long_odd_text_costs_linear_time(language: str) -> None:
    """What is quadratic takes minutes for all of these."""
    began = time.thread_time()
    for piece in PIECES:
        text = (piece * 5_000)[:5_000]
        assert [one.written for one in as_spoken(text, language)] == text.split()
    assert time.thread_time() - began < 15.0


def test_a_text_of_10_000_characters_costs_milliseconds() -> None:
    text = "On Nov 23, 2026 at 5 pm, **Dr. Smith** paid $3.50 (₹1,00,000) for 5 km. मेरे पास 42 सेब हैं। " * 110
    as_spoken(text[:100], "en")
    began = time.thread_time()
    said = as_spoken(text, "en")
    assert time.thread_time() - began < 2.0
    assert len(said) == len(text.split())
