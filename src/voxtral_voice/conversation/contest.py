"""What is a sound during the assistant's reply: an interruption, a backchannel or noise? One pure function.

Knows: how long and how loud the sound is, its words so far, the words that people say while they listen, what we are
saying. Does not know: clocks, audio, models, the floor. Frames that are our own voice (`audio.echo`) are left out of
the sound before it comes here; what gets through is known by its words.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import pairwise
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
    kind: Kind
    """Of its words so far (`kind_of`)."""
    words_to_ms: float
    """How much of the sound the transcript covers, as elapsed_ms."""
    language: str | None
    """ISO 639-1."""


@dataclass(frozen=True, slots=True)
class Dial:
    """A number that grows with patience."""

    fast: float
    careful: float

    def at(self, patience: float) -> float:
        return self.fast + (self.careful - self.fast) * min(1.0, max(0.0, patience))


TRANSCRIBE_AT_MS: Final = 160.0
"""A sound is worth its first transcript when so much of it is voiced. At 96 ms Whisper base makes "No" of "mhm"."""
TRANSCRIBE_EVERY_MS: Final = 192.0
"""And the next one with so much more of it, and at its end."""
OVER_MS: Final = 128.0
"""A silence this long ends the sound."""
STRONG_MS: Final = {"hi": 256.0}
"""So much of the sound a transcript must cover for a strong word to count, where that is not 0. Of shorter Hindi sounds
Whisper base makes words out of its prompt."""
WORDS_MS: Final = Dial(240.0, 1120.0)
"""While it is not decided nothing more of the reply leaves, so that a user who interrupts is not kept waiting by a rule
that takes its time; one who only listens is. Voiced time from which two words or more that are no backchannel
interrupt. Below it Whisper base makes "I was" of "Oh really" and "Xu Wenren" of "Sure", and up to 640 ms "I saw it" of
"uh-huh"."""
UNSURE: Final = ("hi",)
"""Where words that are on no list do not count: Whisper base makes sentences of Hindi backchannels."""
WORDLESS_MS: Final = Dial(480.0, 1120.0)
"""A sound whose words are not known interrupts when so much of it is voiced: longer than a backchannel. One odd word is
no better: Whisper base writes "mhm" as "Tim", "Emma" or "Hamla"."""
CARRY_ON_MS: Final = 640.0
"""A backchannel that goes on and on is one."""
WAIT_MS: Final = 600.0
"""So long after its end a sound's words are waited for."""
FRESH_MS: Final = 450.0
"""A transcript says what the whole sound is when no more than this came after it."""
QUIET_DB: Final = 15.0
"""A sound that is this much below the user's own level is somebody else, or far away."""
QUIET_TIMES: Final = 2.0
"""It has to last so many times longer."""
FAINT_DB: Final = 25.0
"""A sound without words that is this much below the user's own level is nobody's in this conversation, an echo most
likely."""
DENIAL_MS: Final = 256.0
"""Of the sound that a transcript must cover for a lone "no": a hum begins like one."""
LONGEST_CHARS: Final = 1_000
"""Of a transcript; what is behind them does not matter any more."""


def verdict(sound: Sound, patience: float) -> Verdict:
    """patience: 0 (quick to stop) to 1 (slow); more of it never makes an interruption of anything."""
    kind = sound.kind
    if _below_db(sound) >= FAINT_DB and kind not in (Kind.STRONG, Kind.WORDS):
        return Verdict.NOISE
    if sound.voiced_ms >= _limit_ms(sound, patience):
        return Verdict.INTERRUPTION
    if kind in _HARMLESS and _stale_in_ms(sound) > 0:
        ended = sound.silent_ms >= OVER_MS or sound.voiced_ms >= CARRY_ON_MS
        return _HARMLESS[kind] if ended else Verdict.UNDECIDED
    return Verdict.BACKCHANNEL if sound.silent_ms >= _end_ms(sound) else Verdict.UNDECIDED


def look_again_ms(sound: Sound, patience: float) -> float | None:
    """The `elapsed_ms` at which an undecided sound is decided at the latest if it goes on as it does now (voiced or
    silent) and no more words come; None when it is decided."""
    if verdict(sound, patience) is not Verdict.UNDECIDED:
        return None
    if sound.silent_ms > 0:
        return sound.elapsed_ms + max(0.0, _end_ms(sound) - sound.silent_ms)
    in_ms = _limit_ms(replace(sound, kind=Kind.UNKNOWN), patience) - sound.voiced_ms
    if sound.kind is Kind.WORDS:
        in_ms = min(in_ms, _limit_ms(sound, patience) - sound.voiced_ms)
    elif sound.kind in _HARMLESS:
        in_ms = max(in_ms, _stale_in_ms(sound))
    return sound.elapsed_ms + max(0.0, in_ms)


def _end_ms(sound: Sound) -> float:
    """Silence after which the sound is over and decided: all of its words are known, or will not come any more."""
    known = sound.kind in _HARMLESS and _stale_in_ms(sound) > 0
    return OVER_MS if known or (sound.kind is not Kind.UNKNOWN and _stale_in_ms(sound) >= FRESH_MS) else WAIT_MS


def _limit_ms(sound: Sound, patience: float) -> float:
    """Voiced time from which the sound is an interruption."""
    if sound.kind in _HARMLESS and _stale_in_ms(sound) > 0:
        return math.inf
    if sound.kind in (Kind.STRONG, Kind.DENIAL) and sound.words_to_ms >= _strong_ms(sound):
        return 0.0
    sure = sound.kind is Kind.WORDS and sound.language not in UNSURE
    limit_ms = (WORDS_MS if sure else WORDLESS_MS).at(patience)
    return limit_ms * QUIET_TIMES if _below_db(sound) >= QUIET_DB else limit_ms


def _strong_ms(sound: Sound) -> float:
    least_ms = STRONG_MS.get(sound.language or "", 0.0)
    return max(least_ms, DENIAL_MS) if sound.kind is Kind.DENIAL else least_ms


def _below_db(sound: Sound) -> float:
    """How much fainter than the user's turns; 0 when that is not known."""
    return 0.0 if sound.level_db is None or sound.usual_db is None else sound.usual_db - sound.level_db


def _stale_in_ms(sound: Sound) -> float:
    """How long the transcript still says what the sound is, if the sound goes on."""
    return max(0.0, FRESH_MS - (sound.elapsed_ms - sound.silent_ms - sound.words_to_ms))


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
    """It begins with what asks for the floor, or with what a request begins with."""
    DENIAL = auto()
    """A lone "no": strong too, but a hum begins like one."""
    WORDS = auto()
    """Two other words or more."""
    WORD = auto()
    """One other word, which may be anything."""


_HARMLESS: Final = {
    Kind.NONE: Verdict.NOISE,
    Kind.OURS: Verdict.NOISE,
    Kind.BACKCHANNEL: Verdict.BACKCHANNEL,
}


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
        *"stop wait no nope cancel pause quiet enough shush sorry excuse actually hold".split(),
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

OPENERS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        *"whats who whose why when where which how can could would tell give show let lets but please make".split(),
        *"play turn set open find change explain repeat let's i'd what's".split(),
        *("what about", "what if", "what is", "what are", "what do", "what does", "what did", "what was"),
        *("is it", "is there", "are you", "are there", "do you", "do we", "does it", "did you", "will it"),
    ),
    "hi": (
        *"क्या कैसे कैसा कैसी कौन कहाँ कब क्यों कितना कितने कितनी मुझे मैं मेरा मेरी लेकिन मगर बताओ बताइए दूसरा कल आज".split(),
        *"kya kaise kaun kahan kab kyon mujhe main lekin batao".split(),
    ),
    "es": tuple("qué quién cómo cuándo dónde cuál cuánto puedes podrías dime dame pero".split()),
    "fr": tuple("qui que quoi quand comment pourquoi combien où quel quelle peux pouvez dis donne mais".split()),
    "it": tuple("che chi cosa come quando dove perché quanto quale puoi dimmi dammi ma".split()),
    "pt": tuple("que quem como quando onde qual quanto pode diga mas porquê".split()),
    "ja": ("何", "なに", "どこ", "いつ", "誰", "でも", "教えて"),
    "zh": ("什么", "怎么", "哪", "谁", "为什么", "多少", "但是", "请"),
}
"""How requests and objections begin. Whisper base knows these words after 100 to 200 ms, and wrote none of them for 57
backchannels; "what", "is", "I" and "and" are not here, because it did write those."""


def kind_of(words: str | None, language: str | None, saying: str) -> Kind:
    """words: a transcript so far; None = not known (yet). language: ISO 639-1; None = any. saying: what we are saying
    at about this time."""
    if words is None:
        return Kind.UNKNOWN
    said = whole = _tokens(words)
    if not said:
        return Kind.NONE
    if (ours := _kind_of_ours(said, _tokens(saying))) is not None:
        return ours
    backchannels, strong = _phrases(_BACKCHANNELS, language), _phrases(_STRONG, language)
    while said:
        size = _longest(said, backchannels)
        if _longest(said, strong) > size:
            return Kind.DENIAL if whole in _DENIALS else Kind.STRONG
        if not size:
            return Kind.WORDS if len(set(said)) > 1 else Kind.WORD
        said = said[size:]
    return Kind.BACKCHANNEL


Phrase = tuple[str, ...]
"""Comparable words."""
_LONGEST_PHRASE: Final = 7
_APOSTROPHES: Final = "'’"
_SAME: Final = "\u093c\u0901\u0902"
"""The Hindi nukta and nasal signs, which are written in several ways or left out."""


def _kind_of_ours(said: Phrase, saying: Phrase) -> Kind | None:
    """What it is if it may be our own: one word may be the user's as well, of more at least half the pairs are ours."""
    if len(said) == 1:
        return Kind.WORD if said[0] in saying else None
    own = set(pairwise(saying))
    return Kind.OURS if 2 * sum(pair in own for pair in pairwise(said)) >= len(said) - 1 else None


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
_STRONG: Final = _tables({name: STRONG.get(name, ()) + OPENERS.get(name, ()) for name in (*STRONG,)})
_DENIALS: Final = frozenset(map(_tokens, ("no", "nope", "non", "não")))
