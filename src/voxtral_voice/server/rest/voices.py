"""GET /v1/voices, and what each of them sounds like.

Knows: what is told of a voice, the sentence that it says of itself, which samples are kept. Does not know: how cloned
voices are made or deleted, how speech is made or encoded.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import numpy as np
from starlette.requests import Request

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.conversation.events import SpokenBy
from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voices import described
from voxtral_voice.realtime.fields import FieldError, JsonObject
from voxtral_voice.server.cloned_voices import Record
from voxtral_voice.server.rest.edge import Answer, json_answer
from voxtral_voice.server.rest.encode import KINDS
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.rest.speaking import spoken
from voxtral_voice.server.runtime import Runtime

SENTENCES: Final = {
    "en": "Hello, how are you? This is what I sound like.",
    "es": "Hola, ¿cómo estás? Así suena mi voz.",
    "fr": "Bonjour, comment allez-vous ? Voici ma voix.",
    "hi": "नमस्ते, आप कैसे हैं? मेरी आवाज़ ऐसी है।",
    "it": "Ciao, come stai? Questa è la mia voce.",
    "ja": "こんにちは、お元気ですか。これが私の声です。",
    "pt": "Olá, tudo bem? Esta é a minha voz.",
    "zh": "你好，你好吗？这就是我的声音。",
}
"""By ISO 639-1."""
FORMAT: Final = KINDS["mp3"]
"""Every browser decodes it, and three seconds are 25 kB."""


class VoiceList:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: dict[str, bytes] = {}
        """Of stock voices, whose number bounds it: 54 samples are 1.4 MB. A blend's is spoken each time, and so is a
        cloned voice's, of which nothing stays behind."""
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def list(self, request: Request) -> Answer:
        """The default ones first, the client's own last."""
        stock = [voice_json(voice) for voice in self._runtime.engines.speaker.voices.values()]
        cloned = self._runtime.cloned
        own = [] if cloned is None else [cloned_json(record) for record in cloned.owned_by(request.state.who.name)]
        voice = self._runtime.config.speaker.voice
        return json_answer({"object": "list", "default_voice": voice, "data": [*stock, *own]})

    async def sample(self, request: Request) -> Answer:
        try:
            voice = self._runtime.voices(request.state.who).resolve(request.path_params["id"], "id")
        except FieldError as error:
            raise ApiError(404, error.problem.message, code="voice_not_found", param="id") from error
        return Answer(FORMAT.media_type, self._sample(voice))

    async def _sample(self, voice: str) -> AsyncGenerator[bytes, None]:
        if voice not in self._runtime.engines.speaker.voices:
            yield await self._spoken(voice)
            return
        async with self._making[voice]:  # who asks meanwhile waits for it
            if voice not in self._kept:
                self._kept[voice] = await self._spoken(voice)
        yield self._kept[voice]

    async def _spoken(self, name: str) -> bytes:
        language = self._runtime.engines.speaker.find(name).speaks
        text, by = SENTENCES.get(language, SENTENCES["en"]), SpokenBy(name, name, language, "asked")
        async with aclosing(spoken(self._runtime, text, by=by, speed=1.0)) as chunks:
            pieces = [samples async for samples in chunks]
        return await asyncio.to_thread(_encoded, np.concatenate(pieces))


def _encoded(samples: Samples) -> bytes:
    encoder = FORMAT.make()
    return encoder.push(samples) + encoder.finish()


def cloned_json(record: Record) -> JsonObject:
    mine: JsonObject = {"name": record.name, "owner": record.owner, "created_at": record.created_at}
    return voice_json(record.voice) | mine


def voice_json(voice: Voice) -> JsonObject:
    return {"object": "voice", **described(voice)}
