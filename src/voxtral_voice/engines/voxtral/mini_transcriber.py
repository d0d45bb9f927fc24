"""Voxtral Mini as a transcriber of whole turns, in this process.

Knows: which languages it hears, how long a transcript may become, loops, that finals come before partials. Does not
know: models, prompts' tokens.

A partial that waits has no place in the model: the final that it waits for may need one, and a reply. It goes on later
from what it has written. No more partials are written at once than there are places that replies leave, so that no
reply waits for one.

The model takes no words to expect. The language is a hint that it follows; a language that it does not know is refused,
since it would be written as another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.repetition import without_loop
from voxtral_voice.engines.spoken_language import language_of
from voxtral_voice.engines.voxtral.mini_model import MiniModel
from voxtral_voice.engines.voxtral.mini_prompt import transcription
from voxtral_voice.engines.voxtral.mini_sound import Sound, pieces
from voxtral_voice.errors import EngineError, RequestError

if TYPE_CHECKING:
    from voxtral_voice.engines.voxtral.mini_network import Reading

SEAM: Final = "transcriber"
LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "hi", "it", "nl", "pt")
"""By the model card, and Arabic by vLLM's list."""
_TOKENS_PER_S: Final = {"ar": 12, "hi": 16}
"""Fastest speech. Where the language is not known it may be Hindi."""
_TOKENS_PER_S_ELSE: Final = 8
_SPARE_TOKENS: Final = 16
_LOOKED_EVERY: Final = 8
"""Tokens between two looks for a loop."""
WARM_UP_S: Final = 1
_FINALS: Final = "final transcripts"


class MiniTranscriber:
    """model: perhaps shared with a responder. In that case an answer to the same audio begins before its transcript."""

    streams = False

    def __init__(self, model: MiniModel) -> None:
        self._model = model
        self._partials = asyncio.Semaphore(max(1, model.reserved))
        self._started = False

    @property
    def name(self) -> str:
        return self._model.name

    async def start(self) -> None:
        if not self._started:
            await self._model.start(SEAM)
            self._started = True
        noise = np.random.default_rng(0).normal(0, 0.05, WARM_UP_S * LISTEN_RATE_HZ).astype(np.float32)
        await self.transcribe(noise, language="en", prompt="", final=True)

    async def aclose(self) -> None:
        if self._started:
            self._started = False
            await self._model.aclose()

    def stream(self, *, language: str | None, prompt: str) -> None:
        """It hears a turn as a whole."""

    async def transcribe(
        self,
        audio: Samples,
        *,
        language: str | None,
        prompt: str,  # noqa: ARG002
        final: bool,
    ) -> Transcript:
        """A partial begins, and goes on after each token, only while no final is written."""
        if audio.ndim != 1:
            raise EngineError(SEAM, f"The transcriber takes mono samples, not shape {list(audio.shape)}.")
        if language is not None and language not in LANGUAGES:
            raise RequestError(
                SEAM, f"Voxtral Mini does not know the language {language!r}; it knows {', '.join(LANGUAGES)}."
            )
        async with self._in_turn(final=final):
            texts = [await self._text(sound, language, final=final) for sound in pieces(audio)]
        text = " ".join(text for text in texts if text)
        return Transcript(text, language or language_of(text, None))

    async def _text(self, sound: Sound, language: str | None, *, final: bool) -> str:
        from voxtral_voice.engines.voxtral.mini_network import Reading

        vocabulary = self._model.vocabulary(SEAM)
        reading = Reading(transcription(vocabulary, sound, language), keep=False)
        await self._model.hear(reading, seam=SEAM)
        await self._model.busy.over(sound.digest)  # an answer to it was begun by now, if there is to be one at once
        limit = _most_tokens(sound, language)
        ids: list[int] = []
        while not await self._written(reading, ids, limit, final=final):
            await self._model.busy.over(_FINALS)
        kept = without_loop(ids, hit_limit=len(ids) >= limit)
        text = vocabulary.text()
        return "".join(map(text.add, kept)).strip()

    async def _written(self, reading: Reading, ids: list[int], limit: int, *, final: bool) -> bool:
        """Goes on with `ids`. False: not to the end, since a final came."""
        going_on = replace(reading, begun=tuple(ids))
        async with aclosing(self._model.write(going_on, limit - len(ids), seam=SEAM)) as tokens:
            async for token in tokens:
                ids.append(token)
                if len(ids) == limit or (len(ids) % _LOOKED_EVERY == 0 and _loops(ids)):
                    return True
                if not final and self._model.busy.does(_FINALS):
                    return False
        return True

    @asynccontextmanager
    async def _in_turn(self, *, final: bool) -> AsyncIterator[None]:
        if final:
            with self._model.busy.doing(_FINALS):
                yield
        else:
            async with self._partials:
                await self._model.busy.over(_FINALS)
                yield


def _most_tokens(sound: Sound, language: str | None) -> int:
    per_s = _TOKENS_PER_S.get(language or "hi", _TOKENS_PER_S_ELSE)
    return _SPARE_TOKENS + per_s * len(sound.samples) // LISTEN_RATE_HZ


def _loops(ids: Sequence[int]) -> bool:
    return len(without_loop(ids, hit_limit=False)) < len(ids)
