"""English words, as Americans and the British say them. The dictionary comes with a package."""

from __future__ import annotations

import time

import pytest

from voxtral_voice.engines.phonemes.english import English
from voxtral_voice.engines.phonemes.stretches import Stretch


def said(text: str, *, british: bool = False) -> str:
    stretches = [Stretch("en", word, i) for i, word in enumerate(text.split())]
    return " ".join(sound.symbols for sound in English(british=british).read(stretches))


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Hello there, how are you?", "həlˈO ðˈɛɹ, hˌW ɑɹ ju?"),
        ("the end of the day", "ði ˈɛnd ʌv ðə dˈA"),
        ("water", "wˈɔTəɹ"),
    ],
)
def test_american(text: str, symbols: str) -> None:
    assert said(text) == symbols


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("Hello there, my car can't dance.", "həlˈQ ðˈɛː, mI kˈɑː kˈɑːnt dˈɑːns."), ("water", "wˈɔːtə")],
)
def test_british(text: str, symbols: str) -> None:
    assert said(text, british=True) == symbols


@pytest.mark.parametrize("text", ["vitamin D.", "The same as (C.", "in the U.S."])
def test_the_stop_behind_a_letter_at_the_end_is_kept(text: str) -> None:
    assert said(text).endswith(".")


def test_a_word_of_the_lexicon_is_said_so_between_others() -> None:
    stretches = [Stretch("en", "the", 0), Stretch("en", "(Anhs),", 1, "ˈænz"), Stretch("en", "say", 2)]
    sounds = English(british=False).read(stretches)
    assert [sound.symbols for sound in sounds] == ["ði", "(ˈænz),", "sˈA"]


def test_phonemes_cannot_be_smuggled_in() -> None:
    assert "wd" not in said("[word](/wd/)").split()


def test_a_word_without_an_end_is_read_in_pieces() -> None:
    """As one compound the reader took minutes over it."""
    began = time.thread_time()
    assert said("a-" * 300)
    assert time.thread_time() - began < 20
