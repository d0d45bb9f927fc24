"""Japanese to Kokoro's symbols.

Knows: haqumei (readings of words, numbers with their counters, particles), how kana became Kokoro's symbols. Does not
know: other languages, models.

Kokoro's Japanese voices were trained on readings as they are spoken (は as わ, おう as おー), a space between words and
no pitch. haqumei reads words more like the dictionary they were trained with than espeak does, which has no kanji.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from voxtral_voice.engines.phonemes.sounds import Sound
from voxtral_voice.engines.phonemes.spoken import digits_by_one, spread, stops_around
from voxtral_voice.engines.phonemes.stretches import Stretch
from voxtral_voice.errors import EngineError

if TYPE_CHECKING:
    from haqumei import Haqumei

_SOUNDS: Final = """
ア a イ i ウ ɯ エ e オ o カ ka キ kʲi ク kɯ ケ ke コ ko ガ ɡa ギ ɡʲi グ ɡɯ ゲ ɡe ゴ ɡo サ sa シ ɕi ス sɨ セ se ソ so
ザ ʣa ジ ʥi ズ zɨ ゼ ʣe ゾ ʣo タ ta チ ʨi ツ ʦɨ テ te ト to ダ da ヂ ʥi ヅ zɨ デ de ド do ナ na ニ ɲi ヌ nɯ ネ ne ノ no
ハ ha ヒ çi フ ɸɯ ヘ he ホ ho バ ba ビ bʲi ブ bɯ ベ be ボ bo パ pa ピ pʲi プ pɯ ペ pe ポ po
マ ma ミ mʲi ム mɯ メ me モ mo ヤ ja ユ jɯ ヨ jo ラ ɾa リ ɾʲi ル ɾɯ レ ɾe ロ ɾo ワ βa ヰ i ヱ e ヲ o ヴ vɯ
ァ a ィ i ゥ ɯ ェ e ォ o ャ ja ュ jɯ ョ jo ヮ βa ヵ ka ヶ ke イェ je ウィ βi ウェ βe ウォ βo
キェ kʲe キャ kʲa キュ kʲɨ キョ kʲo ギャ ɡʲa ギュ ɡʲɨ ギョ ɡʲo クァ kᵝa クィ kᵝi クェ kᵝe クォ kᵝo グァ ɡᵝa グィ ɡᵝi
グェ ɡᵝe グォ ɡᵝo シェ ɕe シャ ɕa シュ ɕɨ ショ ɕo ジェ ʥe ジャ ʥa ジュ ʥɨ ジョ ʥo チェ ʨe チャ ʨa チュ ʨɨ チョ ʨo
ヂャ ʥa ヂュ ʥɨ ヂョ ʥo ツァ ʦa ツィ ʦʲi ツェ ʦe ツォ ʦo ティ tʲi テュ tʲɨ ディ dʲi デュ dʲɨ トゥ tɯ ドゥ dɯ
ニェ ɲe ニャ ɲa ニュ ɲɨ ニョ ɲo ヒェ çe ヒャ ça ヒュ çɨ ヒョ ço ビャ bʲa ビュ bʲɨ ビョ bʲo ピャ pʲa ピュ pʲɨ ピョ pʲo
ファ ɸa フィ ɸʲi フェ ɸe フォ ɸo フュ ɸʲɨ フョ ɸʲo ミャ mʲa ミュ mʲɨ ミョ mʲo リャ ɾʲa リュ ɾʲɨ リョ ɾʲo
ヴァ va ヴィ vʲi ヴェ ve ヴォ vo ヴュ bʲɨ ヴョ bʲo ー ː ッ ʔ
"""
_SYMBOLS: Final[dict[str, str]] = dict(zip(_SOUNDS.split()[::2], _SOUNDS.split()[1::2], strict=True))
_MORA: Final = re.compile("|".join(sorted([*_SYMBOLS, "ン"], key=len, reverse=True)))
_NASALS: Final = (("mpb", "m"), ("kɡ", "ŋ"), ("ɲʨʥ", "ɲ"), ("ntdɾz", "n"))
"""ン before these sounds; at other places ɴ."""
_COMMA_IN_NUMBER: Final = re.compile(r"(?<=\d),(?=\d{3})")


class Japanese:
    """Loads in about 0.3 s at the first use and then holds 95 MB."""

    def read(self, stretches: Sequence[Stretch]) -> list[Sound]:
        return [sound for i, stretch in enumerate(stretches) for sound in _sounds(i, stretch)]


def _sounds(number: int, stretch: Stretch) -> Iterator[Sound]:
    before, body, behind = stops_around(_COMMA_IN_NUMBER.sub("", digits_by_one(stretch.text)))
    words = _words(body) if stretch.symbols is None else [(body, stretch.symbols)]
    return spread(words, before, behind, number)


def _words(text: str) -> list[tuple[str, str]]:
    """(as written, symbols): auxiliaries of one verb ending are one word."""
    words: list[tuple[str, str]] = []
    joins = False
    for word in _haqumei().g2p_mapping_detailed(text):
        ending = word.pos == "助動詞"
        if not word.is_ignored and (symbols := _of_kana(word.pron)):
            written = text[slice(*word.char_span)]
            if ending and joins and words:
                written, symbols = words[-1][0] + written, words.pop()[1] + symbols
            words.append((written, symbols))
        joins = ending
    return words


def _of_kana(reading: str) -> str:
    """reading: katakana as spoken; ’ marks a vowel without voice."""
    moras = _MORA.findall(reading.replace("’", ""))
    return "".join(_mora(mora, following) for mora, following in pairwise([*moras, ""]))


def _mora(mora: str, following: str) -> str:
    if mora != "ン":
        return _SYMBOLS[mora]
    first = _SYMBOLS.get(following, " ")[0]
    return next((nasal for before, nasal in _NASALS if first in before), "ɴ")


@functools.cache
def _haqumei() -> Haqumei:
    try:
        from haqumei import Haqumei
    except ImportError as error:
        raise EngineError("speaker", "Japanese needs the package haqumei: pip install haqumei.") from error
    return Haqumei()
