"""Japanese. The dictionary comes with a package."""

from __future__ import annotations

import sys

import pytest

from voxtral_voice.engines.phonemes import japanese
from voxtral_voice.engines.phonemes.japanese import Japanese
from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.stretches import Stretch
from voxtral_voice.engines.phonemes.symbols import SYMBOL_IDS
from voxtral_voice.errors import EngineError


def said(text: str) -> str:
    sounds = Japanese().read([Stretch("ja", word, i) for i, word in enumerate(text.split())])
    return "".join(sound.symbols if sound.glued else f" {sound.symbols}" for sound in sounds).strip()


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("こんにちは, 世界!", "koɲɲiʨiβa, sekai!"),
        ("私は毎朝コーヒーを飲みました.", "βataɕi βa maiasa koːçiː o nomʲi maɕita."),
        ("東京へ行く", "toːkʲoː e ikɯ"),
        ("きっと食べなかった", "kʲiʔto tabe nakaʔta"),
        ("ビール3本と8匹", "bʲiːɾɯ saɴ boɴ to haʔpʲikʲi"),
        ("1,234円", "seɴ ɲi çakɯ saɴ ʥɨː jo eɴ"),
        ("新聞とギター", "ɕimbɯɴ to ɡʲitaː"),
        ("“ありがとう”", "“aɾʲiɡatoː”"),
    ],
)
def test_readings(text: str, symbols: str) -> None:
    assert said(text) == symbols


def test_latin_letters_are_said_as_the_japanese_say_them() -> None:
    assert said("PythonとAIは便利") == "paisoɴ to eːai βa benɾʲi"


def test_the_words_are_pieces_of_the_text() -> None:
    assert [sound.written for sound in Japanese().read([Stretch("ja", "飲みました.", 0)])] == ["飲み", "ました"]


def test_a_word_of_the_lexicon_is_said_so() -> None:
    assert Japanese().read([Stretch("ja", "“東京”", 0, "tˈo")]) == [Sound(0, "“tˈo”", written="東京")]


def test_what_has_no_sound_leaves_its_stops() -> None:
    assert said("はい 😀…") == "hai…"


def test_every_kana_has_symbols_that_the_model_knows() -> None:
    every = "".join(map(chr, range(0x30A1, 0x30F7)))
    for kana in every:
        assert set(japanese._of_kana(f"ア{kana}ア")) <= set(SYMBOL_IDS)


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "haqumei", None)
    japanese._haqumei.cache_clear()
    with pytest.raises(EngineError, match="pip install haqumei"):
        said("はい")
