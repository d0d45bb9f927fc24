"""Ids to text: no control tokens, no half letters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.voxtral.realtime_text import joined, text_of

PAD, WORD = 32, 33


def pieces(*parts: bytes) -> dict[int, bytes]:
    return {PAD: b"", WORD: b""} | {1000 + index: part for index, part in enumerate(parts)}


def test_control_tokens_are_no_text() -> None:
    piece = pieces(b" Good", b" day")
    assert text_of([PAD, PAD, WORD, 1000, PAD, WORD, 1001, PAD], piece.__getitem__) == "Good day"
    assert text_of([PAD] * 20, piece.__getitem__) == ""
    assert text_of([], piece.__getitem__) == ""


def test_a_letter_is_held_back_until_it_is_whole() -> None:
    letter = "\u0928".encode()
    piece = pieces(b" " + letter, letter[:1], letter[1:2], letter[2:])
    assert [text_of(range(1000, 1000 + count), piece.__getitem__) for count in range(1, 5)] == ["न", "न", "न", "नन"]


@given(st.text(alphabet="aé नमस्ते 日本🎉", min_size=1), st.data())
def test_text_only_grows(text: str, data: st.DataObject) -> None:
    raw, parts = text.encode(), []
    while raw:
        size = data.draw(st.integers(1, 5))
        parts.append(raw[:size])
        raw = raw[size:]
    piece = pieces(*parts)
    grown = [text_of(range(1000, 1000 + count), piece.__getitem__) for count in range(len(parts) + 1)]
    assert grown[-1] == text.strip()
    assert all(text.strip().startswith(said) for said in grown)


def test_bytes_that_are_no_text_are_left_out() -> None:
    assert text_of([1000, 1001], pieces(b"a\xff", b"b").__getitem__) == "ab"


def test_stretches_are_joined() -> None:
    assert joined(["One two", "", "three"]) == "One two three"
    assert joined(["", ""]) == ""
