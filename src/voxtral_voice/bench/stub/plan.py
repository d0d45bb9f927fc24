"""What the stub answers to which clip, and how long each step of it takes: the same in every run with the same seed.

Knows: texts, latencies and their distributions. Does not know: audio, HTTP, clocks.

Everything is keyed by what is said, never by the order of arrival: a framework that asks twice, early or in another
order waits as long and hears the same. A latency is log-normal with the declared median and 95th percentile, and no
longer than its 99th.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from voxtral_voice.bench.clip import Clip

_Z95: Final = NormalDist().inv_cdf(0.95)
_Z99: Final = NormalDist().inv_cdf(0.99)

_ADJECTIVES: Final = (
    "silver quiet golden early gentle northern hidden painted distant narrow wooden bright ancient crooked little "
    "southern sleepy copper velvet frozen"
).split()
_NOUNS: Final = (
    "harbour garden lantern mountain river orchard railway window village meadow kitchen castle engine island market "
    "theatre library station bakery fountain"
).split()
_VERBS: Final = "opens waits closes sleeps shines hums wakes sings rests glows".split()
_TIMES: Final = "tonight tomorrow today again nearby outside".split()
_SECONDS: Final = (
    "It does so every single week.",
    "Nobody there was surprised by it.",
    "You can see it from here.",
    "There is nothing more to say.",
    "People come to watch it happen.",
    "That is all there is today.",
)


@dataclass(frozen=True, slots=True)
class Latency:
    p50_ms: float
    p95_ms: float

    def at(self, chance: float) -> float:
        """chance: uniform in (0, 1)."""
        if self.p50_ms == 0:
            return 0.0
        spread = math.log(self.p95_ms / self.p50_ms) / _Z95
        return self.p50_ms * math.exp(spread * min(NormalDist().inv_cdf(chance), _Z99))


NONE: Final = Latency(0, 0)


@dataclass(frozen=True, slots=True)
class Latencies:
    transcript: Latency = Latency(250, 300)
    """From the request to the text."""
    first_token: Latency = Latency(300, 450)
    token_ms: float = 1000 / 60
    """Between two tokens."""
    first_audio: Latency = Latency(100, 150)
    """From the request to the first piece of audio."""
    realtime: float = 3.0
    """Seconds of audio a second, after the first piece; 0 = all at once."""
    leading_silence_ms: float = 0.0
    """Before the first sound of every phrase."""


INSTANT: Final = Latencies(NONE, NONE, 0.0, NONE, 0.0)


@dataclass(frozen=True, slots=True)
class Known:
    """What every framework waits for one clip's answer, in ms, whatever it does."""

    transcript_ms: float
    first_token_ms: float
    first_phrase_ms: float
    """From the first token to the one that shows that the first sentence is over: a stop alone does not ("3.5")."""
    first_audio_ms: float
    leading_silence_ms: float

    @property
    def total_ms(self) -> float:
        waits = self.transcript_ms + self.first_token_ms + self.first_phrase_ms
        return waits + self.first_audio_ms + self.leading_silence_ms


class StubPlan:
    """clips: all that will be heard. Two clips with the same words share their answer and their latencies."""

    def __init__(self, clips: Sequence[Clip], seed: int = 1, latencies: Latencies = Latencies()) -> None:
        self.clips = tuple(clips)
        self.latencies = latencies
        self._seed = seed
        self._clips = {clip.id: clip for clip in clips}
        self._spoken = sorted({words for clip in clips if (words := words_of(clip.text))}, key=len, reverse=True)
        self._replies: dict[str, str] = {}
        for words in sorted(self._spoken):
            self._replies[words] = self._new_reply(words)

    def known_ms(self, clip_id: str) -> Known:
        """Raises KeyError for a clip that is not in the plan."""
        text = self._clips[clip_id].text
        reply = self.reply(text)
        first = tokens_of_first_sentence(reply)
        return Known(
            self.transcript_ms(text),
            self.first_token_ms(text),
            (first - 1) * self.latencies.token_ms,
            self.first_audio_ms(first_sentence(reply)),
            self.latencies.leading_silence_ms,
        )

    def reply(self, said: str) -> str:
        """Two short sentences; those for two clips differ in the first. said: what the user is believed to have said,
        perhaps with other words in front."""
        key = self._key(said)
        return self._replies.get(key) or _reply(self._digest("reply", key))

    def transcript_ms(self, text: str) -> float:
        return self.latencies.transcript.at(self._chance("transcript", words_of(text)))

    def first_token_ms(self, said: str) -> float:
        return self.latencies.first_token.at(self._chance("first token", self._key(said)))

    def first_audio_ms(self, text: str) -> float:
        return self.latencies.first_audio.at(self._chance("first audio", words_of(text)))

    def _key(self, said: str) -> str:
        """The clip's words, when these are the last ones said: some frameworks send two turns as one message."""
        words = words_of(said)
        return next((spoken for spoken in self._spoken if f" {words}".endswith(f" {spoken}")), words)

    def _new_reply(self, words: str) -> str:
        """One whose first sentence is nobody else's."""
        taken = {first_sentence(reply) for reply in self._replies.values()}
        tries = (_reply(self._digest("reply", f"{words}/{i}" if i else words)) for i in range(10_000))
        return next(reply for reply in tries if first_sentence(reply) not in taken)

    def _chance(self, kind: str, key: str) -> float:
        return (self._digest(kind, key) % 2**52 + 0.5) / 2**52

    def _digest(self, kind: str, key: str) -> int:
        return int.from_bytes(hashlib.blake2b(f"{self._seed}/{kind}/{key}".encode(), digest_size=16).digest(), "big")


def words_of(text: str) -> str:
    """Lower-case words with single spaces, without punctuation: how two spellings of the same words are compared."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def tokens_of(text: str) -> list[str]:
    """As a language model streams it: a word with the space before it, or one mark. Joined they are the text."""
    return re.findall(r"\s*(?:[\w']+|[^\w\s])|\s+$", text)


def tokens_of_first_sentence(reply: str) -> int:
    """How many tokens show that the first sentence is over: those of it, and the next, which begins with a space."""
    tokens = tokens_of(reply)
    return min(len(tokens), tokens.index(".") + 2)


def first_sentence(reply: str) -> str:
    return reply[: reply.index(".") + 1]


def _reply(digest: int) -> str:
    """Of 5 words and 6."""
    words = []
    for choice in (_ADJECTIVES, _NOUNS, _VERBS, _TIMES, _SECONDS):
        digest, index = divmod(digest, len(choice))
        words.append(choice[index])
    adjective, noun, verb, time, second = words
    return f"The {adjective} {noun} {verb} {time}. {second}"
