"""Scripted engines: every seam of `base` with declared latencies, no model and no randomness.

They ship with the package: `--profile fake`, tests, demos and the benchmark of everything around the models
use them.

Knows: the seams, energy of audio, a tone. Does not know: any model or native library.

Latencies are slept with the `sleep` given (asyncio.sleep by default; a test gives one that takes no time).
Each fake counts its steps (a call; for streams a word); `Broken` makes it fail from a step on. The attribute
`broken` may be changed at any time, so a test can break an engine and mend it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import numpy as np

from voxtral_voice.engines.base import (
    LISTEN_RATE_HZ,
    NO_TOOLS,
    SPEAK_RATE_HZ,
    VAD_FRAME_SAMPLES,
    CallPiece,
    Finish,
    Message,
    Piece,
    Samples,
    SpeechChunk,
    Tools,
    Transcript,
    Usage,
    Voice,
    WordTime,
)
from voxtral_voice.engines.fake_calls import calls_for
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voices import VOICES, StyleSource, voice_or_blend
from voxtral_voice.errors import EngineError

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""

SPEECH_LEVEL_DBFS: Final = -45.0
"""A frame whose RMS is above this counts as speech."""
TONE_HZ: Final = 440.0
TONE_AMPLITUDE: Final = 0.1
WORD_MS: Final = 200.0
GAP_MS: Final = 40.0
FADE_MS: Final = 10.0
STREAMED_WORD_MS: Final = 240.0
"""Of speech, a word's worth."""
ARGUMENT_CHARS: Final = 8
"""Of a call, one token's worth."""
_STOPS: Final = " .!?।"


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault: every step after the engine's first `after_steps` raises EngineError(seam, message)."""

    message: str
    after_steps: int = 0


class _Fake:
    """What the fakes share: a seam's name, latency, counted steps, the fault."""

    seam: str

    def __init__(self, broken: Broken | None, sleep: Sleep) -> None:
        self.broken = broken
        self._sleep = sleep
        self._steps = 0

    @property
    def name(self) -> str:
        return f"fake {self.seam.replace('_', ' ')}"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def _step(self, latency_ms: float) -> None:
        await self._sleep(latency_ms / 1000)
        if self.broken is not None and self._steps >= self.broken.after_steps:
            raise EngineError(self.seam, self.broken.message)
        self._steps += 1


# --- voice activity -----------------------------------------------------------------------------------------


class FakeVoiceActivity(_Fake):
    """An energy gate: 1.0 for a frame above SPEECH_LEVEL_DBFS, else 0.0."""

    seam = "voice_activity"

    def __init__(self, latency_ms: float = 0.0, *, broken: Broken | None = None, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(broken, sleep)
        self._latency_ms = latency_ms

    def session(self) -> _EnergyGate:
        return _EnergyGate(lambda: self._step(self._latency_ms))


class _EnergyGate:
    def __init__(self, step: Callable[[], Awaitable[None]]) -> None:
        self._step = step

    async def probabilities(self, frames: Samples) -> Sequence[float]:
        await self._step()
        return [float(loud) for loud in _is_loud(frames)]

    def reset(self) -> None:
        """A gate has no memory."""


def _is_loud(frames: Samples) -> Sequence[bool]:
    """frames: [n, 512]."""
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return [bool(p > 10 ** (SPEECH_LEVEL_DBFS / 10)) for p in power]


def _is_silent(audio: Samples) -> bool:
    whole_frames = len(audio) // VAD_FRAME_SAMPLES
    frames = audio[: whole_frames * VAD_FRAME_SAMPLES].reshape(whole_frames, VAD_FRAME_SAMPLES)
    return not any(_is_loud(frames))


# --- turn judge ---------------------------------------------------------------------------------------------


class FakeTurnJudge(_Fake):
    """Always equally sure."""

    seam = "turn_judge"

    def __init__(
        self,
        probability: float = 0.95,
        latency_ms: float = 20.0,
        *,
        broken: Broken | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(broken, sleep)
        self._probability = probability
        self._latency_ms = latency_ms

    async def complete_probability(self, audio: Samples) -> float:  # noqa: ARG002
        await self._step(self._latency_ms)
        return self._probability


# --- transcriber --------------------------------------------------------------------------------------------


class FakeTranscriber(_Fake):
    """Hears the lines of a script, one per final transcript, from the top again after the last.

    A partial hears the first half of the next line's words. Silence is heard as "" and consumes no line; nor
    does a call that is cancelled. `lines` may be a function of the turn's audio instead.

    streaming: it hears a turn while it is said, one line in each stream. A word is heard STREAMED_WORD_MS after the one
    before it, and delay_ms later; a push takes push_ms, a flush flush_ms.
    """

    seam = "transcriber"

    def __init__(
        self,
        lines: Sequence[str] | Callable[[Samples], str] = ("Hello there.", "How are you today?"),
        latency_ms: float = 60.0,
        *,
        streaming: bool = False,
        delay_ms: float = 480.0,
        push_ms: float = 5.0,
        flush_ms: float = 40.0,
        broken: Broken | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(broken, sleep)
        self._lines = lines
        self._next = 0
        self._latency_ms = latency_ms
        self.streams = streaming
        self.delay_ms, self.push_ms, self.flush_ms = delay_ms, push_ms, flush_ms
        self.open_streams = 0
        """Those that were not closed."""

    def stream(self, *, language: str | None, prompt: str) -> _FakeStream | None:  # noqa: ARG002
        return _FakeStream(self, language or "en") if self.streams else None

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,  # noqa: ARG002
        final: bool,
    ) -> Transcript:
        await self._step(self._latency_ms)
        text = "" if _is_silent(audio) else self._hear(audio, final=final)
        return Transcript(text, language or "en")

    def _hear(self, audio: Samples, *, final: bool) -> str:
        line = self._lines(audio) if callable(self._lines) else self._lines[self._next % len(self._lines)]
        if final:
            self._next += 1
            return line
        words = line.split()
        return " ".join(words[: len(words) // 2])


class _FakeStream:
    """One turn of a streaming FakeTranscriber."""

    def __init__(self, transcriber: FakeTranscriber, language: str) -> None:
        self._transcriber, self._language = transcriber, language
        self._audio = np.zeros(0, np.float32)
        self._line: str | None = None
        self._closed = False
        transcriber.open_streams += 1

    async def push(self, audio: Samples) -> str:
        assert not self._closed
        self._audio = np.concatenate((self._audio, audio))
        await self._transcriber._step(self._transcriber.push_ms)
        heard_ms = len(self._audio) * 1000 / LISTEN_RATE_HZ - self._transcriber.delay_ms
        return " ".join(self._whole().split()[: max(0, int(heard_ms / STREAMED_WORD_MS))])

    async def flush(self) -> Transcript:
        assert not self._closed
        await self._transcriber._step(self._transcriber.flush_ms)
        return Transcript(self._whole(), self._language)

    async def aclose(self) -> None:
        self._transcriber.open_streams -= not self._closed
        self._closed = True

    def _whole(self) -> str:
        if _is_silent(self._audio):
            return ""
        if self._line is None or callable(self._transcriber._lines):
            self._line = self._transcriber._hear(self._audio, final=True)
        return self._line


# --- responder ----------------------------------------------------------------------------------------------


def echo(messages: Sequence[Message]) -> str:
    """`You said: <last user text>.`, with one stop at the end; of pictures how many. `I found: <outputs>.` when the
    last messages are what tools gave, `You spoke for <seconds> seconds.` when the last one is to be heard."""
    outputs = [m.text for m in takewhile(lambda m: m.role == "tool", reversed(messages))]
    if outputs:
        return f"I found: {' and '.join(reversed(outputs)).rstrip(_STOPS)}."
    said = next((m for m in reversed(messages) if m.role == "user"), Message("user", "nothing"))
    if said.audio is not None:
        return f"You spoke for {len(said.audio) / LISTEN_RATE_HZ:.1f} seconds."
    count = len(said.pictures)
    shown = f" You showed {count} picture{'s' if count > 1 else ''}." if count else ""
    return f"You said: {said.text.rstrip(_STOPS)}.{shown}"


def no_opinion(words: str) -> None:
    """Of whether the words are a finished utterance."""


def finished_at_a_stop(words: str) -> float:
    """0.9 for words that end in a full stop, question or exclamation mark, else 0.05."""
    return 0.9 if words.rstrip().endswith((".", "!", "?", "।")) else 0.05


class FakeResponder(_Fake):
    """Says `reply(messages)`, streamed word by word; a word counts as one token.

    Where tools may be called, `fake_calls` decides whether they are: then it says before_calls, unless a call was
    demanded, and calls, ARGUMENT_CHARS of the arguments a token. finished: the probability that `prepare` gives the
    user's words so far, after prepare_ms. listens: it is given the sound of the newest turn.
    """

    seam = "responder"

    def __init__(
        self,
        reply: Callable[[Sequence[Message]], str] = echo,
        first_token_ms: float = 40.0,
        token_ms: float = 10.0,
        *,
        finished: Callable[[str], float | None] = no_opinion,
        prepare_ms: float = 20.0,
        before_calls: str = "Let me check.",
        listens: bool = False,
        broken: Broken | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(broken, sleep)
        self._reply = reply
        self._first_token_ms = first_token_ms
        self._token_ms = token_ms
        self._finished = finished
        self._prepare_ms = prepare_ms
        self._before_calls = before_calls
        self.listens = listens
        self._calls = 0

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        await self._step(self._prepare_ms)
        words = messages[-1].text
        return self._finished(words) if words else None

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,
    ) -> AsyncGenerator[Piece, None]:
        pieces = self._script(messages, tools)
        for i, piece in enumerate(pieces[:max_tokens]):
            await self._step(self._token_ms if i else self._first_token_ms)
            yield piece
        written = len(pieces[:max_tokens])
        read = sum(len(message.text.split()) for message in messages)
        yield Finish("length" if written < len(pieces) else "stop", Usage(read, written))

    def _script(self, messages: Sequence[Message], tools: Tools) -> list[Piece]:
        calls = calls_for(messages, tools)
        if not calls:
            return _words(self._reply(messages))
        said = _words(self._before_calls) if tools.choice == "auto" else []
        return [*said, *(piece for i, call in enumerate(calls) for piece in self._call(i, *call))]

    def _call(self, index: int, name: str, arguments: str) -> list[Piece]:
        self._calls += 1
        starts = range(0, len(arguments), ARGUMENT_CHARS)
        texts = [arguments[start : start + ARGUMENT_CHARS] for start in starts]
        return [CallPiece(index, f"call_{self._calls}", name, text) for text in texts]


def _words(text: str) -> list[Piece]:
    return [f" {word}" if i else word for i, word in enumerate(text.split())]


# --- speaker ------------------------------------------------------------------------------------------------


class FakeSpeaker(_Fake):
    """A soft 440 Hz tone of WORD_MS and a gap of GAP_MS a word, one chunk per word; `speed` divides both.

    realtime_factor: seconds of waiting per second of audio, after the first chunk.
    """

    seam = "speaker"

    def __init__(
        self,
        first_audio_ms: float = 50.0,
        realtime_factor: float = 0.1,
        *,
        others: StyleSource | None = None,
        broken: Broken | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(broken, sleep)
        self._first_audio_ms = first_audio_ms
        self._realtime_factor = realtime_factor
        self._others = others

    @property
    def voices(self) -> Mapping[str, Voice]:
        return VOICES

    def find(self, name: str) -> Voice:
        """Blends are of the table's voices."""
        other = self._others.voice(name) if self._others else None
        return other or voice_or_blend(name)

    async def speak(
        self,
        text: str,
        *,
        voice: str,
        speed: float,
        language: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.find(voice)
        words = [word for word in text.split() if any(c.isalnum() for c in word)]
        tone, times = _tone(speed), _word_times(words, speed)
        for i in range(len(words)):
            chunk_ms = len(tone) * 1000 / SPEAK_RATE_HZ
            await self._step(self._realtime_factor * chunk_ms if i else self._first_audio_ms)
            yield SpeechChunk(tone, () if i else times)


def _word_times(words: Sequence[str], speed: float) -> tuple[WordTime, ...]:
    step_ms = (WORD_MS + GAP_MS) / speed
    return tuple(WordTime(word, i * step_ms, i * step_ms + WORD_MS / speed) for i, word in enumerate(words))


def _tone(speed: float) -> Samples:
    """One word: the tone, faded in and out against clicks, and the gap behind it."""
    t = np.arange(round(WORD_MS * SPEAK_RATE_HZ / 1000 / speed))
    fade = FADE_MS * SPEAK_RATE_HZ / 1000
    envelope = np.clip(np.minimum(t, t[::-1]) / fade, 0, 1)
    wave = TONE_AMPLITUDE * envelope * np.sin(2 * np.pi * TONE_HZ / SPEAK_RATE_HZ * t)
    gap = np.zeros(round(GAP_MS * SPEAK_RATE_HZ / 1000 / speed))
    return np.concatenate([wave, gap]).astype(np.float32)


# --- voice cloner -----------------------------------------------------------------------------------------------


class FakeCloner(_Fake):
    """Makes the same voice of every clip; its styles are as loud as the clip."""

    seam = "cloner"

    def __init__(
        self, latency_ms: float = 500.0, *, broken: Broken | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        super().__init__(broken, sleep)
        self._latency_ms = latency_ms

    async def clone(self, clip: Samples) -> ClonedVoice:
        await self._step(self._latency_ms)
        rms = np.sqrt(np.mean(np.square(clip, dtype=np.float64)))
        return ClonedVoice(np.full((510, 1, 256), rms, np.float32), 0.0, "female", 200.0, 1.0)
