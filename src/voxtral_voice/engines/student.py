"""Speaker on hibari: Kokoro's af_heart distilled into 7.9 MB, many times faster, English only.

Knows: the student's model and signal processing (from the package `hibari-tts`, weights included), and when it may
stand in for Kokoro. Does not know: how text becomes symbols, sessions.

The student reads Kokoro's symbols and is trained on Kokoro's own audio. It is asked for its durations (25 ms frames
per token) as Kokoro is, for word times. Its noise is seeded, so that the same text is the same audio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime

from voxtral_voice.engines.base import SPEAK_RATE_HZ, Samples, Speaker, SpeechChunk, Voice
from voxtral_voice.engines.even_speed import with_even_speed
from voxtral_voice.engines.kokoro import (
    FASTEST,
    FRAME_MS,
    at_speed,
    check_speed,
    chunk_of,
    language_of,
    open_model,
    read_phrase,
    run_model,
    running,
    speed_of,
)
from voxtral_voice.engines.phonemes import Phonemizer, Utterance, is_english
from voxtral_voice.engines.voices import VOICES, known
from voxtral_voice.engines.worker import Worker
from voxtral_voice.errors import EngineError

VOICE: Final = "af_heart"
GAIN_DB: Final = 2.9
"""Brings the student to the loudness of all voices: `benchmarks/voice_gains.json`."""
_FRAMES_OUTPUT: Final = "/Clip_output_0"
_SEED: Final = 0


class Student:
    """A Speaker with one voice, `af_heart`, for English text."""

    def __init__(self, phonemizer: Phonemizer | None = None) -> None:
        self._worker = Worker("student")
        self._phonemizer = phonemizer or Phonemizer()
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def name(self) -> str:
        return "hibari af_heart"

    @property
    def voices(self) -> Mapping[str, Voice]:
        return {VOICE: VOICES[VOICE]}

    async def start(self) -> None:
        await self._worker.run(self._load)

    async def aclose(self) -> None:
        self._worker.close()
        self._session = None

    def find(self, name: str) -> Voice:
        return known(self.voices, name)

    async def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        """As `base.Speaker.speak`. Raises EngineError for text that is not English."""
        self.find(voice)
        check_speed(speed)
        if not can_speak(text, language):
            raise EngineError("speaker", "The student voice reads English only: let Kokoro speak this phrase.")
        running(self._session)
        async with aclosing(self._worker.stream(lambda: self._chunks(text, speed, language))) as chunks:
            async for chunk in chunks:
                yield chunk

    # --- on the worker's thread

    def _load(self) -> None:
        from hibari.voices import voice_path

        path = Path(voice_path("heart"))
        self._session = open_model(path, extra_output=_FRAMES_OUTPUT, threads=1, prepare=_with_even_speed)
        for _ in self._chunks("Hello.", 1.0, None):
            pass

    def _chunks(self, text: str, speed: float, language: str | None) -> Iterator[SpeechChunk]:
        made_ms = 0.0
        for utterance in read_phrase(self._phonemizer, text, language_of(VOICES[VOICE], language)):
            audio, frames = self._run(utterance, min(speed, FASTEST))
            audio, token_ms = at_speed(audio, frames * FRAME_MS, speed)
            chunk = chunk_of(utterance, audio, token_ms, text, speed, made_ms)
            made_ms += chunk.samples.size * 1000 / SPEAK_RATE_HZ
            yield chunk

    def _run(self, utterance: Utterance, speed: float) -> tuple[Samples, Samples]:
        """Audio, and the frames of each token."""
        from hibari import dsp

        session = running(self._session)
        feeds = {"ids": np.array([utterance.ids], np.int64), "speed": speed_of(session, len(utterance.ids), speed)}
        *spectrum, frames = run_model(session, None, feeds)
        audio = dsp.synth(*(part[0] for part in spectrum), np.random.default_rng(_SEED))
        return (audio * 10 ** (GAIN_DB / 20)).astype(np.float32), frames


def _with_even_speed(model: bytes) -> bytes:
    made: bytes = with_even_speed(onnx.load_model_from_string(model), _FRAMES_OUTPUT).SerializeToString()
    return made


def can_speak(text: str, language: str | None) -> bool:
    """The student knows the sounds of English only."""
    return is_english(text, language_of(VOICES[VOICE], language))


class WithStudent:
    """One Speaker: English text in `af_heart` by the student, everything else by Kokoro."""

    def __init__(self, kokoro: Speaker, student: Speaker) -> None:
        self._kokoro = kokoro
        self._student = student

    @property
    def name(self) -> str:
        return f"{self._kokoro.name}, {self._student.name}"

    @property
    def voices(self) -> Mapping[str, Voice]:
        return self._kokoro.voices

    async def start(self) -> None:
        await self._kokoro.start()
        await self._student.start()

    async def aclose(self) -> None:
        await self._kokoro.aclose()
        await self._student.aclose()

    def find(self, name: str) -> Voice:
        return self._kokoro.find(name)

    def speak(
        self, text: str, *, voice: str, speed: float, language: str | None = None
    ) -> AsyncGenerator[SpeechChunk, None]:
        by_student = voice in self._student.voices and can_speak(text, language)
        return (self._student if by_student else self._kokoro).speak(text, voice=voice, speed=speed, language=language)
