"""A loop at the end is cut behind its first copy; what people repeat is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.repetition import without_loop

WORDS = st.lists(st.integers(0, 5), max_size=40)


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([], []),
        ([9, 7, 7, 7, 7, 7, 7, 7, 7], [9, 7]),
        ([9, 1, 2, 3, 1, 2, 3, 1, 2, 3], [9, 1, 2, 3]),
        ([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1], [9, 1, 2, 3]),
        ([1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3, 4, 1, 2, 3, 4]),
        ([7, 7, 7, 7, 7, 7, 7], [7, 7, 7, 7, 7, 7, 7]),
        ([7, 7, 7, 7, 7, 7, 7, 7, 1], [7, 7, 7, 7, 7, 7, 7, 7, 1]),
        ([*range(8), *range(8), 0, 1], [*range(8)]),
        ([*range(8), *range(7)], [*range(8), *range(7)]),
    ],
    ids=[
        "none",
        "empty",
        "one",
        "three",
        "last copy cut short",
        "twice",
        "too short",
        "not at the end",
        "a sentence twice and more",
        "not yet twice",
    ],
)
def test_at_the_length_limit_three_copies_are_a_loop(tokens: list[int], kept: list[int]) -> None:
    assert without_loop(tokens, hit_limit=True) == kept


def test_an_ended_sentence_may_say_it_four_times() -> None:
    again = [1, 2, 3] * 4
    assert without_loop(again, hit_limit=False) == again
    assert without_loop([1, 2, 3] * 5, hit_limit=False) == [1, 2, 3]


@given(WORDS, st.lists(st.integers(6, 9), min_size=1, max_size=6, unique=True), st.integers(0, 5))
def test_whatever_came_before_a_loop_stays(before: list[int], unit: list[int], extra: int) -> None:
    tokens = before + unit * 8 + unit[:extra]
    assert without_loop(tokens, hit_limit=True) == before + unit


@given(WORDS, st.booleans())
def test_what_is_kept_is_a_beginning(tokens: list[int], hit_limit: bool) -> None:
    kept = without_loop(tokens, hit_limit=hit_limit)
    assert kept == tokens[: len(kept)]
    assert bool(kept) == bool(tokens)
