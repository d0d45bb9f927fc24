"""Mandarin. The dictionaries come with packages."""

from __future__ import annotations

import sys

import pytest

from voxtral_voice.engines.phonemes import chinese
from voxtral_voice.engines.phonemes.chinese import Chinese
from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.stretches import Stretch
from voxtral_voice.engines.phonemes.symbols import SYMBOL_IDS
from voxtral_voice.errors import EngineError


def said(text: str) -> str:
    return " ".join(
        sound.symbols for sound in Chinese().read([Stretch("zh", word, i) for i, word in enumerate(text.split())])
    )


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("你好, 世界!", "ni↓xau↓, ʂɨ↘ʨje↘!"),
        ("银行 行长", "i↗nxa↗ŋ xa↗ŋꭧa↓ŋ"),
        ("绿色的女儿", "ly↘sɤ↘ tɤ ny↓ɚ↗"),
        ("三点五公斤苹果.", "sa→ntjɛ↓n u↓kʊ→ŋʨi→n pʰi↗ŋkwo↓."),
        ("我们一起去公园", "wo↓mən i↘ʨʰi↓ ʨʰy↘ kʊ→ŋɥɛ↗n"),
    ],
)
def test_readings(text: str, symbols: str) -> None:
    assert said(text) == symbols


@pytest.mark.parametrize(
    ("pinyin", "symbols"),
    [
        ("zhi1", "ꭧɨ→"), ("si4", "sɨ↘"), ("xi2", "ɕi↗"), ("ju3", "ʨy↓"), ("que4", "ʨʰɥe↘"), ("lve4", "lɥe↘"),
        ("yuan2", "ɥɛ↗n"), ("yong3", "jʊ↓ŋ"), ("ye4", "je↘"), ("wu3", "u↓"), ("weng1", "wə→ŋ"), ("bo1", "pwo→"),
        ("liu2", "ljou↗"), ("dui4", "twei↘"), ("lun2", "lwə↗n"), ("er4", "ɚ↘"), ("ng2", "ŋ↗"), ("o1", "ɔ→"),
        ("de5", "tɤ"), ("yo5", "jɔ"), ("xyz1", ""), ("zhong", ""), ("", ""),
    ],
)  # fmt: skip
def test_syllables(pinyin: str, symbols: str) -> None:
    assert chinese._syllable(pinyin) == symbols


def test_every_syllable_of_the_dictionary_has_symbols_that_the_model_knows() -> None:
    from pypinyin.contrib.tone_convert import to_tone3
    from pypinyin.pinyin_dict import pinyin_dict

    readings = {reading for readings in pinyin_dict.values() for reading in readings.split(",")}
    syllables = {to_tone3(reading, neutral_tone_with_five=True) for reading in readings}
    silent = {syllable[:-1] for syllable in syllables if not chinese._syllable(syllable)}
    assert silent == {"wong"}
    assert {symbol for syllable in syllables for symbol in chinese._syllable(syllable)} <= set(SYMBOL_IDS)


def test_the_words_are_pieces_of_the_text() -> None:
    assert [sound.written for sound in Chinese().read([Stretch("zh", "我们散步.", 0)])] == ["我们", "散步"]


def test_a_word_of_the_lexicon_is_said_so() -> None:
    assert Chinese().read([Stretch("zh", "重庆,", 0, "ꭧʰʊ↗ŋ")]) == [Sound(0, "ꭧʰʊ↗ŋ,", written="重庆")]


@pytest.mark.parametrize("package", ["rjieba", "pypinyin"])
def test_without_a_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    chinese._loaded.cache_clear()
    with pytest.raises(EngineError, match=f"the package {package}: pip install rjieba pypinyin"):
        said("好")
