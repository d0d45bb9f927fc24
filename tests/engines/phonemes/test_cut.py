"""Where long phrases are cut. Symbols are letters here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.phonemes.cut import cut
from voxtral_voice.engines.phonemes.symbols import MAX_SYMBOLS, WordSpan


def pieces(symbols: str) -> list[str]:
    return [utterance.symbols for utterance in cut(symbols, ())]


def test_what_is_short_stays_whole() -> None:
    assert pieces("abc, de. fg") == ["abc, de. fg"]


def test_a_sentence_end_is_the_best_cut_then_a_clause_end_then_a_space() -> None:
    words = "abcd " * 20
    assert pieces(f"{words}end. {words}so, {words}")[0] == f"{words}end."
    assert pieces(f"{words}so, {words}and {words}")[0] == f"{words}so,"
    assert [len(piece) for piece in pieces("abcd " * 60)] == [199, 99]


def test_a_stop_near_the_beginning_makes_no_short_piece() -> None:
    assert len(pieces("a. " + "abcd " * 60)[0]) > MAX_SYMBOLS // 3


def test_a_word_without_an_end_is_cut_anywhere() -> None:
    assert [len(piece) for piece in pieces("a" * 450)] == [200, 200, 50]


def test_a_piece_without_a_sound_is_left_out() -> None:
    assert pieces(", … !") == []


def test_words_go_with_the_piece_that_they_begin_in() -> None:
    symbols = "a" * 150 + " " + "b" * 100
    spans = (WordSpan("A", 0, 150), WordSpan("B", 151, 251))
    first, second = cut(symbols, spans)
    assert first.words == (WordSpan("A", 0, 150),)
    assert second.words == (WordSpan("B", 0, 100),)
    (long, rest) = cut("c" * 300, (WordSpan("C", 0, 300),))
    assert (long.words, rest.words) == ((WordSpan("C", 0, 200),), ())


@given(st.text("ab ,.", max_size=900))
def test_nothing_is_lost(symbols: str) -> None:
    together = "".join(pieces(symbols))
    assert all(len(piece) <= MAX_SYMBOLS for piece in pieces(symbols))
    assert [c for c in together if c.isalpha()] == [c for c in symbols if c.isalpha()]
