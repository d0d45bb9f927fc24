"""OpenAI's HTTP endpoints, on the engines of the sessions.

Knows: which path is which endpoint, and how many requests each takes at once. Does not know: who may ask (`door`).

    GET  /v1/models, /v1/models/{id}      what runs here
    GET  /v1/sessions                     where each session is, for an operator
    GET  /v1/voices, /v1/voices/{id}/sample   who speaks, and how it sounds
    POST /v1/voices, DELETE /v1/voices/{id}   a voice made of a clip, and unmade
    POST /v1/audio/speech                 text -> speech
    POST /v1/audio/transcriptions         a recording -> text
    POST /v1/chat/completions             messages -> an answer, or calls of tools
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

from fastapi import APIRouter

from voxtral_voice.server.rest import chat, speech, transcriptions, voice_clones
from voxtral_voice.server.rest.chat import ChatCompletions
from voxtral_voice.server.rest.edge import Endpoint, Handle
from voxtral_voice.server.rest.hearing import Ear
from voxtral_voice.server.rest.models import Models
from voxtral_voice.server.rest.places import places
from voxtral_voice.server.rest.sessions import SessionList
from voxtral_voice.server.rest.speech import Speech
from voxtral_voice.server.rest.transcriptions import Transcriptions
from voxtral_voice.server.rest.voice_clones import VoiceClones
from voxtral_voice.server.rest.voices import VoiceList
from voxtral_voice.server.runtime import Runtime

MOST_LISTS: Final = 64
MOST_SAMPLES: Final = 8
MOST_SPEECHES: Final = 16
MOST_TRANSCRIPTIONS: Final = 4
"""Each holds an uploaded file, and keeps the transcriber busy as long as it has audio left."""
MOST_CLONES: Final = 2
"""Each holds two minutes of audio and waits for the speaker to have nothing else to do."""
MOST_CHATS: Final = 16
"""Each may hold 32 MiB of recordings and pictures."""


def router(runtime: Runtime) -> APIRouter:
    ear, models = Ear(runtime, MOST_TRANSCRIPTIONS + MOST_CHATS + MOST_CLONES), Models(runtime)
    voices, clones = VoiceList(runtime), VoiceClones(ear)
    routes = APIRouter()

    def add(method: str, path: str, handle: Handle, most: int, most_bytes: int = 0, *, engines: bool = False) -> None:
        place = places(runtime) if engines else nullcontext
        endpoint = Endpoint(handle, most=most, most_bytes=most_bytes, place=place)
        routes.add_route(path, endpoint, methods=[method])  # type: ignore[arg-type]

    add("GET", "/v1/models", models.list, MOST_LISTS)
    add("GET", "/v1/models/{id:path}", models.retrieve, MOST_LISTS)
    add("GET", "/v1/sessions", SessionList(runtime).list, MOST_LISTS)
    add("GET", "/v1/voices", voices.list, MOST_LISTS)
    add("GET", "/v1/voices/{id}/sample", voices.sample, MOST_SAMPLES, engines=True)
    add("POST", "/v1/voices", clones.create, MOST_CLONES, voice_clones.MOST_BYTES, engines=True)
    add("DELETE", "/v1/voices/{id}", clones.delete, MOST_LISTS)
    speak = Speech(runtime, models).handle
    add("POST", "/v1/audio/speech", speak, MOST_SPEECHES, speech.MOST_BYTES, engines=True)
    transcribe = Transcriptions(ear, models).handle
    add("POST", "/v1/audio/transcriptions", transcribe, MOST_TRANSCRIPTIONS, transcriptions.MOST_BYTES, engines=True)
    answer = ChatCompletions(ear, models).handle
    add("POST", "/v1/chat/completions", answer, MOST_CHATS, chat.MOST_BYTES, engines=True)
    return routes
