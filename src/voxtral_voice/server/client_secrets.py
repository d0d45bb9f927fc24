"""Client secrets over HTTP: a page gets one from its own server instead of an API key, with its session made ready.

Knows: the two requests and their answers. Does not know: who may ask (`door`), how a secret is kept (`auth`), what a
session's fields mean (`realtime`).

    POST /v1/realtime/client_secrets   {expires_after?, session?} -> {value, expires_at, session}
    POST /v1/realtime/sessions         the older form: the session itself -> the session, with client_secret
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from voxtral_voice.realtime.fields import FieldError, Fields, JsonObject, Problem, choice, integer
from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.voices import Voices
from voxtral_voice.realtime.wire import Opening, opened
from voxtral_voice.server.auth import Refusal
from voxtral_voice.server.connection import new_id
from voxtral_voice.server.door import refused
from voxtral_voice.server.runtime import Runtime

LEAST_S: Final = 10
MOST_S: Final = 7200
DEFAULT_S: Final = 600
LARGEST_BODY: Final = 2**20
"""In bytes; the texts and tools of a session fit in it many times."""
BODY_S: Final = 10.0
"""For a body to arrive."""


@dataclass(frozen=True, slots=True)
class Minted:
    value: str
    expires_at: int
    session: JsonObject
    """As `session.created` will show it, but for its id."""


def router(runtime: Runtime) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/realtime/client_secrets")
    async def client_secrets(request: Request) -> JSONResponse:
        minted = await _minted(request, runtime, is_session=False)
        if isinstance(minted, JSONResponse):
            return minted
        return JSONResponse({"value": minted.value, "expires_at": minted.expires_at, "session": minted.session})

    @routes.post("/v1/realtime/sessions")
    async def sessions(request: Request) -> JSONResponse:
        minted = await _minted(request, runtime, is_session=True)
        if isinstance(minted, JSONResponse):
            return minted
        secret = {"value": minted.value, "expires_at": minted.expires_at}
        return JSONResponse({**minted.session, "client_secret": secret})

    return routes


async def _minted(request: Request, runtime: Runtime, *, is_session: bool) -> Minted | JSONResponse:
    """is_session: the body is the session. Returns what is wrong as an answer."""
    try:
        encoded = await _body(request)
        body = _parsed(encoded)
        patch: JsonObject = {"type": "realtime", **body.values} if is_session else _session(body)
        seconds = DEFAULT_S if is_session else _seconds(body)
        shown = _shown(runtime, patch)
    except FieldError as error:
        return _wrong(error.problem)
    minted = runtime.auth.secrets.mint(patch, seconds, request.state.who, len(encoded))
    return refused(minted) if isinstance(minted, Refusal) else Minted(*minted, shown)


async def _body(request: Request) -> bytes:
    """Raises FieldError when it is too large, or does not come."""
    encoded = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                encoded += piece
                if len(encoded) > LARGEST_BODY:
                    raise _unreadable(f"the body is larger than {LARGEST_BODY} bytes")
    except (TimeoutError, ClientDisconnect):
        raise _unreadable("the body did not arrive") from None
    return bytes(encoded)


def _parsed(encoded: bytes) -> Fields:
    """No body is an empty one."""
    try:
        return Fields.of(orjson.loads(encoded or b"{}"), "body")
    except orjson.JSONDecodeError as error:
        raise _unreadable(f"it is not JSON: {error}") from error


def _seconds(body: Fields) -> int:
    after = Fields(body.values).inner("expires_after")
    after.optional("anchor", choice("created_at"), "created_at")
    return after.optional("seconds", integer(LEAST_S, MOST_S), DEFAULT_S)


def _session(body: Fields) -> JsonObject:
    return Fields(body.values).optional("session", Fields.of, Fields({"type": "realtime"})).values


def _shown(runtime: Runtime, patch: JsonObject) -> JsonObject:
    """The session that the secret will open. Raises FieldError."""
    config = runtime.config
    voices = Voices(tuple(runtime.engines.speaker.voices), config.speaker.voice)
    expires_at = round(time.time() + config.server.max_session_minutes * 60)
    usual = SessionObject(
        new_id("sess"),
        runtime.model,
        expires_at,
        voices,
        voices.default,
        server_patience=config.turns.chosen_patience,
    )
    session, problem = opened(usual, Opening(session_patch=patch))
    if problem is not None:
        raise FieldError(problem)
    return session.to_json()


def _unreadable(reason: str) -> FieldError:
    return FieldError(Problem("invalid_json", f"The request cannot be read: {reason}."))


def _wrong(problem: Problem) -> JSONResponse:
    error = {"type": "invalid_request_error", "param": problem.param, "code": problem.code, "message": problem.message}
    return JSONResponse({"error": error}, 400)
