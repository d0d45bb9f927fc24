"""A text spoken aloud, phrase by phrase, so that its beginning is there long before its end.

Knows: phrases, the speaker. Does not know: formats, HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.conversation.events import SpokenBy
from voxtral_voice.conversation.phrases import PhraseSplitter
from voxtral_voice.engines.base import SPEAK_RATE_HZ
from voxtral_voice.engines.spoken_language import language_of_text
from voxtral_voice.errors import EngineError
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.work import steps
from voxtral_voice.server.runner import (
    MAX_PHRASE_AUDIO_S,
    PHRASE_AUDIO_S,
    PHRASE_AUDIO_S_PER_CHAR,
    spoken_by,
)
from voxtral_voice.server.runtime import Runtime


def speaking(runtime: Runtime, text: str, voice: str) -> SpokenBy:
    """Who says all of it. Raises ApiError for a voice that is not there."""
    try:
        return spoken_by(runtime.engines.speaker, text, voice, None)
    except EngineError as error:
        raise errors.of_engine("speaker", error, runtime.failed("speaker", error)) from error


async def spoken(runtime: Runtime, text: str, *, by: SpokenBy, speed: float) -> AsyncGenerator[Samples, None]:
    """24 kHz. Raises ApiError when the speaker fails, and when there is nothing to say aloud in the text."""
    splitter = PhraseSplitter()
    silent = True
    phrases = [cut.text for cut in (*splitter.feed(text), *splitter.finish()) if not cut.silent]
    for phrase in phrases:
        async with aclosing(_phrase(runtime, phrase, by, speed)) as chunks:
            async for samples in chunks:
                silent = False
                yield samples
    if silent:
        raise errors.invalid("Invalid value for 'input': there is nothing to say aloud in it.", "input")


async def _phrase(runtime: Runtime, text: str, by: SpokenBy, speed: float) -> AsyncGenerator[Samples, None]:
    limit_s, samples = _longest_s(text, speed), 0
    language = language_of_text(text, by.language) or None
    speak = partial(runtime.engines.speaker.speak, text, voice=by.used, speed=speed, language=language)
    async with aclosing(steps(runtime, "speaker", speak)) as chunks:
        async for chunk in chunks:
            samples += chunk.samples.size
            if samples > limit_s * SPEAK_RATE_HZ:
                error = EngineError("speaker", f"it made more than {limit_s:g} s of audio for {len(text)} characters")
                raise errors.of_engine("speaker", error, runtime.failed("speaker", error))
            if chunk.samples.size:
                yield chunk.samples


def _longest_s(text: str, speed: float) -> float:
    longest_s = min(PHRASE_AUDIO_S + PHRASE_AUDIO_S_PER_CHAR * len(text), MAX_PHRASE_AUDIO_S)
    return longest_s / min(speed, 1.0)
