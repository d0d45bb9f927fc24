"""Numbers in words, in English, Hindi and Chinese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.text import chinese_numbers as zh
from voxtral_voice.engines.text import english_numbers as en
from voxtral_voice.engines.text import hindi_numbers as hi


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (101, "one hundred one"),
        (1_000, "one thousand"),
        (1_000_001, "one million one"),
        (999_999_999_999_999, None),
    ],
)
def test_english_cardinals(n: int, words: str | None) -> None:
    said = en.cardinal(n)
    assert said == words or (words is None and said.startswith("nine hundred ninety-nine trillion"))


def test_english_ordinals_and_plurals() -> None:
    assert [en.ordinal(n) for n in (1, 2, 12, 20, 23, 100)] == [
        "first",
        "second",
        "twelfth",
        "twentieth",
        "twenty-third",
        "one hundredth",
    ]
    assert [en.plural(word) for word in ("twenty", "six", "hundred")] == ["twenties", "sixes", "hundreds"]


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (2000, "two thousand"),
        (2005, "two thousand five"),
        (2026, "twenty twenty-six"),
    ],
)
def test_english_years(n: int, words: str) -> None:
    assert en.year(n) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("404", "four oh four"),
        ("747", "seven forty-seven"),
        ("100", "one hundred"),
        ("9001", "nine thousand one"),
        ("007", "zero zero seven"),
    ],
)
def test_english_names_of_things(digits: str, words: str) -> None:
    assert en.pairs(digits) == words


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (55, "पचपन"),
        (100, "एक सौ"),
        (1_23_45_678, "एक करोड़ तेईस लाख पैंतालीस हज़ार छह सौ अठहत्तर"),
        (10**9, "एक अरब"),
        (10**11, "एक खरब"),
    ],
)
def test_hindi_cardinals(n: int, words: str) -> None:
    assert hi.cardinal(n) == words


def test_hindi_has_a_word_for_each_number_below_100() -> None:
    assert len({hi.cardinal(n) for n in range(100)}) == 100


@pytest.mark.parametrize(
    ("whole", "quarters", "words"),
    [
        (0, 1, "चौथाई"),
        (0, 2, "आधा"),
        (0, 3, "पौन"),
        (1, 1, "सवा"),
        (1, 2, "डेढ़"),
        (1, 3, "पौने दो"),
        (2, 2, "ढाई"),
        (3, 0, "तीन"),
        (3, 1, "सवा तीन"),
        (3, 2, "साढ़े तीन"),
        (3, 3, "पौने चार"),
    ],
)
def test_hindi_halves_and_quarters(whole: int, quarters: int, words: str) -> None:
    assert hi.half_and_quarter(whole, quarters) == words


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "零"),
        (10, "十"),
        (12, "十二"),
        (105, "一百零五"),
        (110, "一百一十"),
        (2026, "二千零二十六"),
        (10_000, "一万"),
        (10_500, "一万零五百"),
        (100_000_000, "一亿"),
    ],
)
def test_chinese_cardinals(n: int, words: str) -> None:
    assert zh.cardinal(n) == words


@given(st.from_regex(r"[0-9]{1,3}(,[0-9]{2,3}){0,6}(\.[0-9]{1,5})?", fullmatch=True))
def test_any_number_becomes_words(written: str) -> None:
    for words in (en.number(written), hi.number(written), zh.number(written)):
        assert words
        assert not any(c.isdigit() or c in ",." for c in words)


@given(st.integers(0, 10**13 - 1))
def test_two_numbers_never_sound_the_same(n: int) -> None:
    assert en.cardinal(n) != en.cardinal(n + 1)
    assert hi.cardinal(n) != hi.cardinal(max(n - 1, 0)) or n == 0
