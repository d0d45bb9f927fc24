"""Text to ids and back, while it comes, with letters that are spread over several tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.voxtral.original import original
from voxtral_voice.engines.voxtral.tokens import Vocabulary

pytestmark = pytest.mark.voxtral
MIXED = "मुझे कल की meeting में late हो गया, sorry! 😀 क्या time है?"


@pytest.fixture(scope="module")
def vocabulary(tiny_mini: Path) -> Vocabulary:
    return Vocabulary(tiny_mini / "tekken.json")


def test_hindi_and_english_mixed_comes_in_whole_letters(vocabulary: Vocabulary) -> None:
    ids = vocabulary.ids(MIXED)
    text = vocabulary.text()
    pieces = [text.add(token) for token in ids]
    assert "".join(pieces) == MIXED
    assert all("\ufffd" not in piece for piece in pieces)
    assert pieces.count("") >= 3  # tokens that end within a letter


@given(text=st.text(max_size=40))
def test_any_text_comes_back(vocabulary: Vocabulary, text: str) -> None:
    written = vocabulary.text()
    assert "".join(map(written.add, vocabulary.ids(text))) == text


def test_what_never_becomes_a_letter_is_left_out(vocabulary: Vocabulary) -> None:
    first_byte = vocabulary.ids("😀")[0]
    text = vocabulary.text()
    assert text.add(first_byte) == ""
    assert "".join(map(text.add, vocabulary.ids("ok"))) == "ok"


def test_special_tokens_are_no_text_and_no_text_is_one(vocabulary: Vocabulary) -> None:
    assert vocabulary.piece(vocabulary.end) == b""
    marks = "[INST][AUDIO]</s>[TRANSCRIBE]"
    ids = vocabulary.ids(marks)
    assert min(ids) >= 1000
    text = vocabulary.text()
    assert "".join(map(text.add, ids)) == marks


def test_it_writes_what_transformers_writes(vocabulary: Vocabulary, tiny_mini: Path) -> None:
    ids = [vocabulary.begin, *vocabulary.ids(MIXED), vocabulary.end]
    text = vocabulary.text()
    assert "".join(map(text.add, ids)) == original(tiny_mini).text(ids)
