"""POST /v1/audio/speech: a text, spoken.

Knows: this endpoint's fields and answers. Does not know: how speech is made or encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson
import pybase64
from starlette.requests import Request

from voxtral_voice.conversation.events import SpokenBy
from voxtral_voice.realtime.fields import Fields, Json, JsonObject, choice, number, text
from voxtral_voice.realtime.reply_events import OUR_FIELD
from voxtral_voice.realtime.server_events import voice_object
from voxtral_voice.realtime.voices import Voices
from voxtral_voice.server.rest.bodies import json_fields
from voxtral_voice.server.rest.edge import EVENTS, Answer, event
from voxtral_voice.server.rest.encode import FORMATS, KINDS, Format
from voxtral_voice.server.rest.models import Models
from voxtral_voice.server.rest.speaking import speaking, spoken
from voxtral_voice.server.runtime import Runtime

MOST_CHARS: Final = 4096
MOST_BYTES: Final = 256 * 1024
"""4096 characters of input and as many of instructions, at most twelve bytes each in JSON."""

MOST_VOICE_CHARS: Final = 256
VOICE_HEADER: Final = b"x-voxtral-voice"
"""Which voice speaks, and why that one, as JSON."""


@dataclass(frozen=True, slots=True)
class Wish:
    text: str
    voice: str
    speed: float
    format: Format
    events: bool


class Speech:
    def __init__(self, runtime: Runtime, models: Models) -> None:
        self._runtime = runtime
        self._models = models

    async def handle(self, request: Request) -> Answer:
        wish = self._read(await json_fields(request), self._runtime.voices(request.state.who))
        by = speaking(self._runtime, wish.text, wish.voice)
        headers = ((VOICE_HEADER, orjson.dumps(voice_object(by))),)
        if wish.events:
            return Answer(EVENTS, self._events(wish, by), streamed=True, headers=headers)
        return Answer(KINDS[wish.format].media_type, self._encoded(wish, by), streamed=True, headers=headers)

    def _read(self, fields: Fields, voices: Voices) -> Wish:
        self._models.require("speaker", fields.required("model", text()))
        return Wish(
            fields.required("input", text(MOST_CHARS, 1)),
            fields.optional("voice", partial(_voice, voices), voices.default),
            fields.optional("speed", number(0.25, 4), 1.0),
            fields.optional("response_format", choice(*FORMATS), "mp3"),
            fields.optional("stream_format", choice("audio", "sse"), "audio") == "sse",
        )

    async def _encoded(self, wish: Wish, by: SpokenBy) -> AsyncGenerator[bytes, None]:
        encoder = await asyncio.to_thread(KINDS[wish.format].make)
        speech = spoken(self._runtime, wish.text, by=by, speed=wish.speed)
        async with aclosing(speech) as chunks:
            async for samples in chunks:
                if data := await asyncio.to_thread(encoder.push, samples):
                    yield data
        if data := await asyncio.to_thread(encoder.finish):
            yield data

    async def _events(self, wish: Wish, by: SpokenBy) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._encoded(wish, by)) as pieces:
            async for data in pieces:
                yield event({"type": "speech.audio.delta", "audio": pybase64.b64encode(data).decode()})
        none = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}  # a speaker counts no tokens
        voice: JsonObject = {"voice": voice_object(by)}
        yield event({"type": "speech.audio.done", "usage": {**none}, OUR_FIELD: voice})


def _voice(voices: Voices, value: Json, param: str) -> str:
    """A name, or {"id": a name}."""
    if isinstance(value, dict):
        value, param = Fields(value, param).required("id", text(MOST_VOICE_CHARS)), f"{param}.id"
    return voices.resolve(text(MOST_VOICE_CHARS)(value, param), param)
