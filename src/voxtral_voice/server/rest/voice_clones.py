"""POST /v1/voices and DELETE /v1/voices/{id}: a voice made of a clip, and unmade.

Knows: these endpoints' fields, that nothing is done without consent, the order of work. Does not know: how a voice is
made (`engines.voice_clone`), where it is kept (`cloned_voices`).

The clip is held in memory, or by the form in a temporary file without a name, until the voice is made; then it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import BinaryIO, Final

import numpy as np
import orjson
from starlette.requests import Request

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.engines.base import VAD_FRAME_SAMPLES
from voxtral_voice.engines.voice_clone import LONGEST_CLIP_S, ClonedVoice, VoiceCloner
from voxtral_voice.engines.voice_clone_clip import speech_of
from voxtral_voice.errors import AudioError, BusyError, RequestError, ServerError
from voxtral_voice.observe import log
from voxtral_voice.realtime.fields import Json, JsonObject, invalid, text
from voxtral_voice.server.cloned_voices import LONGEST_CONSENT, LONGEST_NAME, ClonedVoices, Record, StoreFull
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.bodies import file, form, text_fields
from voxtral_voice.server.rest.decode import decoded
from voxtral_voice.server.rest.edge import Answer, json_answer
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.rest.hearing import VOICE_ACTIVITY_S, Ear
from voxtral_voice.server.rest.work import working
from voxtral_voice.server.runtime import ENGINE_FAULTS

PARAM: Final = "audio_sample"
MOST_BYTES: Final = 48 * 1024 * 1024
"""Two minutes of two channels at 48 kHz in 32 bits."""
SHORTEST_CONSENT: Final = 20
"""A sentence; "yes" says nothing of what was agreed to."""
CLONE_S: Final = 300.0
"""Alone it takes a quarter of a minute; conversations come first."""


Keep = Callable[[ClonedVoice], Record]
"""`ClonedVoices.add` with all but what was made. Raises StoreFull, ServerError."""


class VoiceClones:
    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._runtime = ear.runtime
        self._waiting: set[str] = set()
        """Owners of the voices that are being made."""

    async def create(self, request: Request) -> Answer:
        cloner, store = self._required()
        content = await form(request)
        fields = text_fields(content)
        name, consent = fields.required("name", _name), fields.required("consent", _consent)
        clip = file(content, PARAM).file
        owner = request.state.who.name
        try:
            store.check_room(owner)
            await asyncio.to_thread(store.check_writable)
        except StoreFull as error:
            raise _full(error) from error
        except ServerError as error:
            raise _broken(error) from error
        made = self._made(cloner, clip, partial(store.add, owner, name, consent))
        return Answer("application/json", self._one_at_a_time(owner, made))

    async def delete(self, request: Request) -> Answer:
        _, store = self._required()
        voice_id = request.path_params["id"]
        try:
            deleted = await asyncio.to_thread(store.delete, voice_id, request.state.who.name)
        except ServerError as error:
            raise _broken(error) from error
        if not deleted:
            message = f"There is no cloned voice {voice_id[:100]!r} of yours."
            raise ApiError(404, message, code="voice_not_found", param="id")
        return json_answer({"id": voice_id, "object": "voice.deleted", "deleted": True})

    def _required(self) -> tuple[VoiceCloner, ClonedVoices]:
        cloner, store = self._runtime.engines.cloner, self._runtime.cloned
        if cloner is None or store is None:
            raise ApiError(
                501, "This server clones no voices: Kokoro has to be its speaker.", code="voice_cloning_unavailable"
            )
        return cloner, store

    async def _one_at_a_time(self, owner: str, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """So that nobody has all the places, for minutes."""
        async with aclosing(pieces):
            if owner in self._waiting:
                raise errors.busy_with_yours()
            self._waiting.add(owner)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                self._waiting.discard(owner)

    async def _made(self, cloner: VoiceCloner, file: BinaryIO, keep: Keep) -> AsyncGenerator[bytes, None]:
        clip = await self._decoded(file)
        probabilities = await self._probabilities(clip)
        try:
            speech = await asyncio.to_thread(speech_of, clip, probabilities)
            async with asyncio.timeout(CLONE_S):
                made = await cloner.clone(speech)
            record = await asyncio.to_thread(keep, made)
        except StoreFull as error:
            raise _full(error) from error
        except ServerError as error:
            raise _broken(error) from error
        except ENGINE_FAULTS as error:
            raise _unmade(error) from error
        yield orjson.dumps(_object(record))

    async def _decoded(self, file: BinaryIO) -> Samples:
        """Whole frames; the last one is filled up with silence."""
        steps = partial(decoded, file, longest_s=LONGEST_CLIP_S)
        try:
            async with aclosing(self._ear.decoder.stream(steps)) as blocks:
                clip = np.concatenate([block async for block in blocks])
        except AudioError as error:
            raise errors.invalid(f"Invalid value for '{PARAM}': {error}", PARAM, "invalid_audio") from error
        return np.pad(clip, (0, -clip.size % VAD_FRAME_SAMPLES))

    async def _probabilities(self, clip: Samples) -> Sequence[float]:
        session = self._runtime.engines.voice_activity.session()
        async with working(self._runtime, "voice_activity", VOICE_ACTIVITY_S):
            return await session.probabilities(clip.reshape(-1, VAD_FRAME_SAMPLES))


def _name(value: Json, param: str) -> str:
    name = text(LONGEST_NAME, 1)(value, param).strip()
    if not name or not name.isprintable():
        raise invalid(param, "a name of letters that can be shown", value)
    return name


def _consent(value: Json, param: str) -> str:
    consent = text(LONGEST_CONSENT)(value, param).strip()
    if len(consent) < SHORTEST_CONSENT or not consent.isprintable():
        raise invalid(param, "a sentence that says whose voice it is, and that they agree to its being cloned", value)
    return consent


def _object(record: Record) -> JsonObject:
    return {
        "object": "voice",
        "id": record.id,
        "name": record.name,
        "owner": record.owner,
        "created_at": record.created_at,
        "consent": record.consent,
        "gender": record.gender,
        "pitch_hz": record.pitch_hz,
        "similarity": round(record.similarity, 3),
    }


def _full(error: StoreFull) -> ApiError:
    return ApiError(409, str(error), code="too_many_voices")


def _broken(error: ServerError) -> ApiError:
    """The sentence names a folder of this machine: it is for the log."""
    log.event("cloned_voices_unwritable", "error", reason=str(error))
    return ApiError(500, "The folder of cloned voices cannot be written; the server's log says why.", code="not_stored")


def _unmade(error: Exception) -> ApiError:
    if isinstance(error, RequestError) and not isinstance(error, BusyError):
        return errors.invalid(f"Invalid value for '{PARAM}': {error.told}", PARAM, "unusable_recording")
    reason = str(error) or type(error).__name__
    log.event("voice_not_cloned", "error", reason=reason)
    if isinstance(error, TimeoutError):
        return ApiError(503, f"The voice was not made within {CLONE_S:g} s: the server is busy.", code="engine_timeout")
    return errors.of_engine("voice cloner", error, getattr(error, "told", "it has a fault, which was logged."))
