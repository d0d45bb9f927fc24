"""The plan as three engines: they hear, answer and speak what it says, when it says so.

Knows: the plan, sleeping until a moment. Does not know: HTTP, models.

A wait is until a moment counted from the call, not a sleep added to what came before, so that the stub's own work and a
late timer do not add up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.stub.plan import StubPlan, tokens_of
from voxtral_voice.bench.stub.recognise import Match, Recogniser, is_silent
from voxtral_voice.engines.base import (
    LISTEN_RATE_HZ,
    NO_TOOLS,
    SPEAK_RATE_HZ,
    Message,
    Piece,
    Samples,
    SpeechChunk,
    Tools,
    Transcript,
    Voice,
)
from voxtral_voice.engines.voices import VOICES

UNKNOWN: Final = "unknown"
"""Transcript of audio that is no clip of the plan."""
WORD_MS: Final = 350.0
FIRST_CHUNK_MS: Final = 100.0
CHUNK_MS: Final = 200.0
"""A piece comes when its last sample is made."""
TONE_HZ: Final = 440.0
TONE_AMPLITUDE: Final = 0.1
FADE_MS: Final = 2.0
"""The tone is audible in its first 10 ms."""


class _Stub:
    name = "stub"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""


class StubTranscriber(_Stub):
    """`unknown` counts the requests whose audio was no clip."""

    name = "stub transcriber"
    streams = False

    def __init__(self, plan: StubPlan) -> None:
        self._plan = plan
        self._recogniser = Recogniser([_speech(clip) for clip in plan.clips])
        self.unknown = 0

    def stream(self, *, language: str | None, prompt: str) -> None:
        """It hears a turn as a whole."""

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,  # noqa: ARG002
        final: bool,  # noqa: ARG002
    ) -> Transcript:
        """Of a part of a clip the words in that part, by time."""
        began = _now()
        transcript, wait_ms = self._hear(audio, language)
        await _until(began + wait_ms / 1000)
        return transcript

    def _hear(self, audio: Samples, language: str | None) -> tuple[Transcript, float]:
        match = self._recogniser.recognise(audio)
        if match is not None:
            clip = self._plan.clips[match.index]
            return Transcript(_part(clip.text, match), clip.language), self._plan.transcript_ms(clip.text)
        silent = is_silent(audio)
        self.unknown += not silent
        return Transcript("" if silent else UNKNOWN, language or "en"), self._plan.latencies.transcript.p50_ms


class StubResponder(_Stub):
    """Answers the last thing the user said."""

    name = "stub responder"
    listens = False

    def __init__(self, plan: StubPlan) -> None:
        self._plan = plan

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Piece, None]:
        began = _now()
        said = next((message.text for message in reversed(messages) if message.role == "user"), "")
        first_ms, token_ms = self._plan.first_token_ms(said), self._plan.latencies.token_ms
        for i, token in enumerate(tokens_of(self._plan.reply(said))[:max_tokens]):
            await _until(began + (first_ms + i * token_ms) / 1000)
            yield token

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:
        """Its times are known without."""


class StubSpeaker(_Stub):
    """A tone of 440 Hz, 350 ms a word; silence of the plan's length before it."""

    name = "stub speaker"

    def __init__(self, plan: StubPlan) -> None:
        self._plan = plan

    @property
    def voices(self) -> Mapping[str, Voice]:
        return VOICES

    def find(self, name: str) -> Voice:
        """Every name: it has one sound."""
        return self.voices.get(name, Voice(name, "", ""))

    async def speak(
        self,
        text: str,
        *,
        voice: str,  # noqa: ARG002
        speed: float,
        language: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[SpeechChunk, None]:
        began = _now()
        words = sum(any(c.isalnum() for c in word) for word in text.split())
        if not words:
            return
        latencies = self._plan.latencies
        audio = _sound(words * WORD_MS / speed, latencies.leading_silence_ms)
        first_ms = self._plan.first_audio_ms(text)
        for start, end in pairwise([0, *range(_samples(FIRST_CHUNK_MS), len(audio), _samples(CHUNK_MS)), len(audio)]):
            made_ms = max(0.0, end * 1000 / SPEAK_RATE_HZ - FIRST_CHUNK_MS)
            await _until(began + (first_ms + (made_ms / latencies.realtime if latencies.realtime else 0)) / 1000)
            yield SpeechChunk(audio[start:end])


def _speech(clip: Clip) -> Samples:
    """16 kHz, from the first voiced sample to the last: noise around it is not part of the clip."""
    first, last = round(clip.onset_s * clip.rate_hz), round(clip.end_s * clip.rate_hz)
    return resample(clip.samples[first:last], clip.rate_hz, LISTEN_RATE_HZ)


def _part(text: str, match: Match) -> str:
    if match.begin == 0 and match.end == 1:
        return text
    words = text.split()
    return " ".join(words[round(match.begin * len(words)) : round(match.end * len(words))])


@lru_cache(maxsize=64)
def _sound(sound_ms: float, silence_ms: float) -> Samples:
    """Kept: there are few lengths, and nobody changes one."""
    t = np.arange(_samples(sound_ms), dtype=np.float32)
    fade = np.minimum(1, np.minimum(t, t[::-1]) / _samples(FADE_MS))
    tone = TONE_AMPLITUDE * fade * np.sin(2 * np.pi * TONE_HZ / SPEAK_RATE_HZ * t)
    return np.concatenate([np.zeros(_samples(silence_ms)), tone]).astype(np.float32)


def _samples(ms: float) -> int:
    return round(ms * SPEAK_RATE_HZ / 1000)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until(moment: float) -> None:
    """Does not wait at all for a moment that is past."""
    if (wait_s := moment - _now()) > 0:
        await asyncio.sleep(wait_s)
