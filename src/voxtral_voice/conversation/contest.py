"""What is a sound during the assistant's reply: an interruption, a backchannel or noise? One pure function.

Knows: how long and how loud the sound is, its words so far, the words that people say while they listen, what we are
saying. Does not know: clocks, audio, models, the floor. Frames that are our own voice (`audio.echo`) are left out of
the sound before it comes here; what gets through is known by its words.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Verdict(Enum):
    """Of a sound so far. It may change while the sound goes on: "yeah" becomes "yeah, but wait"."""

    UNDECIDED = auto()
    INTERRUPTION = auto()
    BACKCHANNEL = auto()
    NOISE = auto()


@dataclass(frozen=True, slots=True)
class Sound:
    elapsed_ms: float
    """Since its first voiced sample, the silence behind it included."""
    voiced_ms: float
    """Voiced frames in it. A short gap does not make it another sound: "no, no, stop"."""
    silent_ms: float
    """Since its last voiced sample; 0 = it goes on."""
    level_db: float | None
    """Mean RMS level of its voiced frames, dBFS."""
    usual_db: float | None
    """The user's own level in this session's turns; None = not known yet."""
    words: str | None
    """Transcript so far; None = not known (yet), "" = there are no words."""
    words_to_ms: float
    """How much of the sound the transcript covers, as elapsed_ms."""
    language: str | None
    """ISO 639-1."""
    saying: str
    """What we are saying at about this time."""


@dataclass(frozen=True, slots=True)
class Dial:
    """A number that grows with patience."""

    fast: float
    careful: float

    def at(self, patience: float) -> float:
        return self.fast + (self.careful - self.fast) * min(1.0, max(0.0, patience))


TRANSCRIBE_AT_MS: Final = (192.0, 416.0, 704.0)
"""A sound is worth a transcript when so much of it is voiced, and once more at its end."""
OVER_MS: Final = 128.0
"""A silence this long ends the sound."""
ANY_WORD_MS: Final = Dial(150.0, 450.0)
"""Voiced time from which a word that is no backchannel interrupts."""
WORDLESS_MS: Final = Dial(500.0, 1100.0)
"""A sound whose words are not known interrupts when so much of it is voiced: longer than a backchannel."""
WAIT_MS: Final = 600.0
"""So long after its end a sound's words are waited for."""
FRESH_MS: Final = 450.0
"""A transcript says what the whole sound is when no more than this came after it."""
QUIET_DB: Final = 15.0
"""A sound that is this much below the user's own level is somebody else, or far away."""
QUIET_TIMES: Final = 2.0
"""It has to last so many times longer."""
LONGEST_CHARS: Final = 1_000
"""Of a transcript; what is behind them does not matter any more."""


def verdict(sound: Sound, patience: float) -> Verdict:
    """patience: 0 (quick to stop) to 1 (slow); more of it never makes an interruption of anything."""
    match kind_of(sound.words, sound.language, sound.saying):
        case Kind.STRONG:
            return Verdict.INTERRUPTION
        case Kind.OTHER:
            if sound.voiced_ms >= _longer_if_quiet(sound, ANY_WORD_MS.at(patience)):
                return Verdict.INTERRUPTION
            return Verdict.BACKCHANNEL if _has_been_over(sound, WAIT_MS) else Verdict.UNDECIDED
        case Kind.BACKCHANNEL:
            return _without_interruption(sound, patience, Verdict.BACKCHANNEL)
        case Kind.OURS | Kind.NONE:
            return _without_interruption(sound, patience, Verdict.NOISE)
        case Kind.UNKNOWN:
            return _wordless(sound, patience)


def look_again_ms(sound: Sound, patience: float) -> float | None:
    """The `elapsed_ms` at which an undecided sound is decided at the latest if it goes on as it does now (voiced or
    silent) and no more words come; None when it is decided."""
    if verdict(sound, patience) is not Verdict.UNDECIDED:
        return None
    if sound.silent_ms > 0:
        return sound.elapsed_ms + max(0.0, WAIT_MS - sound.silent_ms)
    word = kind_of(sound.words, sound.language, sound.saying) is Kind.OTHER
    limit_ms = (ANY_WORD_MS if word else WORDLESS_MS).at(patience)
    return sound.elapsed_ms + max(0.0, _longer_if_quiet(sound, limit_ms) - sound.voiced_ms, _stale_in_ms(sound))


def _without_interruption(sound: Sound, patience: float, otherwise: Verdict) -> Verdict:
    """The words so far are none that interrupt."""
    if _stale_in_ms(sound) > 0:
        return otherwise if sound.silent_ms >= OVER_MS or _long(sound, patience) else Verdict.UNDECIDED
    return _wordless(sound, patience)


def _wordless(sound: Sound, patience: float) -> Verdict:
    """Nothing is known but how long it is."""
    if _long(sound, patience):
        return Verdict.INTERRUPTION
    return Verdict.BACKCHANNEL if _has_been_over(sound, WAIT_MS) else Verdict.UNDECIDED


def _long(sound: Sound, patience: float) -> bool:
    return sound.voiced_ms >= _longer_if_quiet(sound, WORDLESS_MS.at(patience))


def _has_been_over(sound: Sound, wait_ms: float) -> bool:
    return sound.silent_ms >= wait_ms


def _stale_in_ms(sound: Sound) -> float:
    """How long the transcript still says what the sound is, if the sound goes on."""
    if sound.words is None:
        return 0.0
    return max(0.0, FRESH_MS - (sound.elapsed_ms - sound.silent_ms - sound.words_to_ms))


def _longer_if_quiet(sound: Sound, limit_ms: float) -> float:
    if sound.level_db is None or sound.usual_db is None or sound.level_db > sound.usual_db - QUIET_DB:
        return limit_ms
    return limit_ms * QUIET_TIMES


# --- words ------------------------------------------------------------------------------------------------------


class Kind(Enum):
    """Of a sound's words."""

    UNKNOWN = auto()
    NONE = auto()
    """There are no words in it."""
    OURS = auto()
    """What we are saying ourselves."""
    BACKCHANNEL = auto()
    STRONG = auto()
    """A word that asks for the floor."""
    OTHER = auto()


BACKCHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "": tuple(
        "m mm mmm mhm mmhm mhmm mm-hmm mm-hm mmhmm hm hmm hmmm ah aha ahh oh ohh uh um er eh ha haha huh uh-huh".split()
    ),
    "en": (
        *"yeah yes yep yup ya okay ok k right alright sure cool great good nice wow really true exactly".split(),
        *"indeed absolutely definitely totally interesting perfect fine gotcha lovely".split(),
        *("all right", "i see", "got it", "of course", "go on", "go ahead", "makes sense", "that makes sense"),
        *("that's right", "that's true", "fair enough", "very good", "oh my", "no way", "no problem", "i know"),
        *("thank you", "thanks"),
    ),
    "hi": (
        *"हाँ हां हा हूँ हूं हम्म हम अच्छा अच्छे ठीक ओके जी सही बिलकुल बिल्कुल वाह ओह आह हाँजी हांजी यस राइट".split(),
        *("ठीक है", "जी हाँ", "हाँ जी", "सही है", "सही बात", "अच्छा जी", "समझ गया", "समझ गई", "बहुत अच्छा"),
        *"haan han haa accha acha achha theek thik ji sahi bilkul".split(),
        *("theek hai", "thik hai", "ji haan", "haan ji", "sahi hai"),
    ),
    "es": (
        *"sí si ajá vale bueno bien claro ya ok okay exacto cierto genial perfecto entiendo verdad".split(),
        *("de acuerdo", "muy bien", "ya veo", "por supuesto", "está bien"),
    ),
    "fr": (
        *"oui ouais mouais bien bon voilà ok okay exact exactement parfait super ah".split(),
        *("d'accord", "très bien", "je vois", "bien sûr", "tout à fait", "c'est vrai", "ça marche"),
    ),
    "it": (
        *"sì si bene okay ok certo esatto giusto vero capito perfetto già ecco".split(),
        *("va bene", "ho capito", "d'accord", "d'accordo", "molto bene"),
    ),
    "pt": (
        *"sim é tá ok okay certo claro bom bem exato entendi pois isso legal verdade perfeito".split(),
        *("tá bom", "está bem", "muito bem", "com certeza", "pois é"),
    ),
    "ja": tuple(
        "はい うん ええ へえ へー そう そうですね そうですか そうそう なるほど ふーん ああ おお うーん ね".split()
    ),
    "zh": tuple("嗯 嗯嗯 对 是 是的 好 好的 行 哦 啊 对对 没错 明白 知道了 可以 噢 哈 對 沒錯".split()),
}
"""What people say while they listen, by language; "" = in any. Said alone, in any order and number, it stops nobody."""

STRONG: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        *"stop wait no nope cancel pause quiet enough shush sorry excuse actually".split(),
        *("hold on", "hang on", "shut up", "one second", "one moment", "be quiet", "never mind", "not that"),
    ),
    "hi": (
        *"रुको रुकिए रुकिये रुक रूको नहीं नही बस ठहरो ठहरिए चुप सुनो सुनिए बंद".split(),
        *"ruko rukiye ruk nahi nahin bas thahro chup suno suniye".split(),
        *("एक मिनट", "ek minute"),
    ),
    "es": ("no", "para", "espera", "alto", "basta", "perdona", "silencio", "un momento"),
    "fr": ("non", "stop", "attends", "attendez", "arrête", "arrêtez", "pardon", "silence", "un instant"),
    "it": ("no", "aspetta", "ferma", "fermati", "basta", "scusa", "zitto", "silenzio", "un attimo"),
    "pt": ("não", "para", "pare", "espera", "espere", "chega", "desculpa", "silêncio", "um momento"),
    "ja": (
        "いや",
        "いいえ",
        "違う",
        "違います",
        "待って",
        "ちょっと待って",
        "止めて",
        "やめて",
        "ストップ",
        "すみません",
    ),
    "zh": ("不", "不是", "不对", "停", "等等", "等一下", "别说了", "停下", "打住", "不要"),
}
"""What asks for the floor, in the language heard or in English."""


def kind_of(words: str | None, language: str | None, saying: str) -> Kind:
    """words: a transcript so far. language: ISO 639-1; None = any."""
    if words is None:
        return Kind.UNKNOWN
    said = _tokens(words)
    if not said:
        return Kind.NONE
    if len(said) > 1 and f" {' '.join(said)} " in f" {' '.join(_tokens(saying))} ":
        return Kind.OURS
    backchannels, strong = _phrases(_BACKCHANNELS, language), _phrases(_STRONG, language)
    while said:
        size = _longest(said, backchannels)
        if _longest(said, strong) > size:
            return Kind.STRONG
        if not size:
            return Kind.OTHER
        said = said[size:]
    return Kind.BACKCHANNEL


Phrase = tuple[str, ...]
"""Comparable words."""
_LONGEST_PHRASE: Final = 7
_APOSTROPHES: Final = "'’"
_SAME: Final = "\u093c\u0901\u0902"
"""The Hindi nukta and nasal signs, which are written in several ways or left out."""


def _longest(said: Phrase, phrases: frozenset[Phrase]) -> int:
    """Words of the longest phrase that it begins with; 0 = none."""
    return next((size for size in range(_LONGEST_PHRASE, 0, -1) if said[:size] in phrases), 0)


def _phrases(tables: dict[str, frozenset[Phrase]], language: str | None) -> frozenset[Phrase]:
    """What counts in a language: its own phrases, the English ones, those of any; of an unknown one, all."""
    names = ("", "en", language) if language in tables else tuple(tables)
    return frozenset[Phrase]().union(*(tables[name] for name in names if name in tables))


def _tokens(text: str) -> Phrase:
    """Comparable words: no case, accents and punctuation; the letters of Chinese and Japanese one by one."""
    cut = unicodedata.normalize("NFKD", text[:LONGEST_CHARS])[:LONGEST_CHARS]
    return tuple("".join(map(_comparable, cut.casefold())).split())


def _comparable(letter: str) -> str:
    if letter in _APOSTROPHES or letter in _SAME or "\u0300" <= letter <= "\u036f":
        return ""
    if "\u3040" <= letter <= "\u30ff" or "\u3400" <= letter <= "\u9fff":
        return f" {letter} "
    return letter if unicodedata.category(letter)[0] in "LMN" else " "


def _tables(written: dict[str, tuple[str, ...]]) -> dict[str, frozenset[Phrase]]:
    return {language: frozenset(map(_tokens, phrases)) for language, phrases in written.items()}


_BACKCHANNELS: Final = _tables(BACKCHANNELS)
_STRONG: Final = _tables(STRONG)
