"""Kokoro's symbol table."""

from __future__ import annotations

import json
from pathlib import Path

import hibari

from voxtral_voice.engines.phonemes.symbols import OPENING, STOPS, SYMBOL_IDS, Utterance


def test_the_table_is_that_of_the_student_too() -> None:
    vocabulary = json.loads((Path(hibari.__file__).parent / "assets" / "vocab.json").read_text("utf-8"))
    assert vocabulary == SYMBOL_IDS


def test_every_stop_is_a_symbol() -> None:
    assert set(STOPS + OPENING) <= set(SYMBOL_IDS)


def test_ids_are_padded_with_zeros() -> None:
    assert Utterance("həlˈO.").ids == [0, 50, 83, 54, 156, 31, 4, 0]
