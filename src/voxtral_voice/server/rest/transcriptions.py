"""POST /v1/audio/transcriptions: a recording, written down.

Knows: this endpoint's fields. Does not know: how speech is heard, how subtitles are written (`subtitles`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

import orjson
from starlette.datastructures import FormData
from starlette.requests import Request

from voxtral_voice.realtime.fields import Check, Json, JsonObject, choice, invalid, text
from voxtral_voice.realtime.session_object import LANGUAGE
from voxtral_voice.server.rest import subtitles
from voxtral_voice.server.rest.bodies import every, file, form, refused, text_fields, yes
from voxtral_voice.server.rest.edge import EVENTS, Answer, event
from voxtral_voice.server.rest.hearing import Ear, Hearing, Segment
from voxtral_voice.server.rest.models import Models

MOST_BYTES: Final = 26 * 1024 * 1024
"""OpenAI takes files of 25 MiB; the rest is for the form."""
PLAIN: Final = "text/plain; charset=utf-8"

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
FORMATS: Final[tuple[Format, ...]] = ("json", "text", "srt", "verbose_json", "vtt")


@dataclass(frozen=True, slots=True)
class Wish:
    hearing: Hearing
    format: Format
    stream: bool


class Transcriptions:
    def __init__(self, ear: Ear, models: Models) -> None:
        self._ear = ear
        self._models = models

    async def handle(self, request: Request) -> Answer:
        wish = self._read(await form(request))
        if wish.stream:
            return Answer(EVENTS, _events(wish.hearing), streamed=True)
        return Answer("application/json" if "json" in wish.format else PLAIN, _whole(wish))

    def _read(self, content: FormData) -> Wish:
        fields = text_fields(content)
        self._models.require("transcriber", fields.required("model", text()))
        for value in every(content, "timestamp_granularities"):
            _granularity(value, "timestamp_granularities[]")
        for _ in every(content, "include"):
            raise refused("include[]", "this transcriber does not tell its probabilities; leave it out.")
        form: Check[Format] = choice(*FORMATS)
        wanted: Format = fields.optional("response_format", form, "json")
        stream = fields.optional("stream", yes, False)
        if stream and wanted not in ("json", "text"):
            raise refused("stream", f"{wanted} is not streamed; use json or text, or leave stream out.")
        language = fields.optional("language", _language, None)
        prompt = fields.optional("prompt", text(), "")
        recording = file(content, "file").file
        return Wish(Hearing(self._ear, recording, param="file", language=language, prompt=prompt), wanted, stream)


def _granularity(value: Json, param: str) -> None:
    if choice("word", "segment")(value, param) == "word":
        raise refused(param, "this transcriber does not know the times of words; use 'segment'.")


def _language(value: Json, param: str) -> str | None:
    tag = text(35)(value, param)
    if not LANGUAGE.fullmatch(tag):
        raise invalid(param, "a language code such as 'en' or 'hi'", tag)
    return tag.split("-")[0].lower()


# --- answers ----------------------------------------------------------------------------------------------------


async def _events(hearing: Hearing) -> AsyncGenerator[bytes, None]:
    told = ""
    async with aclosing(hearing.segments()) as segments:
        async for segment in segments:
            delta = f" {segment.text}" if told else segment.text
            told += delta
            yield event({"type": "transcript.text.delta", "delta": delta})
    yield event({"type": "transcript.text.done", "text": told})  # its usage would be tokens, and nobody counts those


async def _whole(wish: Wish) -> AsyncGenerator[bytes, None]:
    async with aclosing(wish.hearing.segments()) as segments:
        heard = [segment async for segment in segments]
    yield _WRITE[wish.format](heard, wish.hearing)


def _json(heard: Sequence[Segment], hearing: Hearing) -> bytes:
    return orjson.dumps({"text": _text(heard), "usage": _usage(hearing)})


def _verbose_json(heard: Sequence[Segment], hearing: Hearing) -> bytes:
    return orjson.dumps(
        {
            "task": "transcribe",
            "language": hearing.language or "",
            "duration": round(hearing.seconds, 3),
            "text": _text(heard),
            "segments": [subtitles.segment_object(number, segment) for number, segment in enumerate(heard)],
            "usage": _usage(hearing),
        }
    )


def _plain(heard: Sequence[Segment], hearing: Hearing) -> bytes:  # noqa: ARG001
    return f"{_text(heard)}\n".encode()


def _srt(heard: Sequence[Segment], hearing: Hearing) -> bytes:  # noqa: ARG001
    return subtitles.srt(heard).encode()


def _vtt(heard: Sequence[Segment], hearing: Hearing) -> bytes:  # noqa: ARG001
    return subtitles.vtt(heard).encode()


_WRITE: Final[Mapping[Format, Callable[[Sequence[Segment], Hearing], bytes]]] = {
    "json": _json,
    "text": _plain,
    "srt": _srt,
    "verbose_json": _verbose_json,
    "vtt": _vtt,
}


def _text(heard: Sequence[Segment]) -> str:
    return " ".join(segment.text for segment in heard)


def _usage(hearing: Hearing) -> JsonObject:
    return {"type": "duration", "seconds": round(hearing.seconds, 3)}
