"""Client secrets over HTTP: a page gets one from its own server instead of an API key, with its session made ready.

Knows: the two requests and their answers. Does not know: who may ask (`door`), how a secret is kept (`auth`), what a
session's fields mean (`realtime`).

    POST /v1/realtime/client_secrets   {expires_after?, session?} -> {value, expires_at, session}
    POST /v1/realtime/sessions         the older form: the session itself -> the session, with client_secret
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request

from voxtral_voice.realtime.fields import FieldError, Fields, JsonObject, choice, integer
from voxtral_voice.realtime.session_object import SessionObject
from voxtral_voice.realtime.wire import Opening, opened
from voxtral_voice.server.auth import Refusal, Who
from voxtral_voice.server.ids import new_id
from voxtral_voice.server.rest.bodies import json_fields
from voxtral_voice.server.rest.edge import Answer, Endpoint, json_answer
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.runtime import Runtime

LEAST_S: Final = 10
MOST_S: Final = 7200
DEFAULT_S: Final = 600
LARGEST_BODY: Final = 2**20
"""In bytes; the texts and tools of a session fit in it many times."""
MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Minted:
    value: str
    expires_at: int
    session: JsonObject
    """As `session.created` will show it, but for its id."""


class ClientSecrets:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def secret(self, request: Request) -> Answer:
        body = await json_fields(request, may_be_empty=True)
        body.only("expires_after", "session")
        minted = self._minted(request, body, _session(body), _seconds(body))
        return json_answer({"value": minted.value, "expires_at": minted.expires_at, "session": minted.session})

    async def session(self, request: Request) -> Answer:
        """The body is the session."""
        body = await json_fields(request, may_be_empty=True)
        minted = self._minted(request, body, {"type": "realtime", **body.values}, DEFAULT_S)
        secret: JsonObject = {"value": minted.value, "expires_at": minted.expires_at}
        return json_answer({**minted.session, "client_secret": secret})

    def _minted(self, request: Request, body: Fields, patch: JsonObject, seconds: int) -> Minted:
        """Raises ApiError when there are too many, FieldError for a session that cannot be."""
        shown = _shown(self._runtime, request.state.who, patch)
        size = len(orjson.dumps(body.values))
        minted = self._runtime.auth.secrets.mint(patch, seconds, request.state.who, size)
        if isinstance(minted, Refusal):
            raise ApiError(minted.status, minted.message, code=minted.code)
        return Minted(*minted, shown)


def router(runtime: Runtime) -> APIRouter:
    routes, secrets = APIRouter(), ClientSecrets(runtime)
    for path, handle in (("client_secrets", secrets.secret), ("sessions", secrets.session)):
        endpoint = Endpoint(handle, most=MOST_AT_ONCE, most_bytes=LARGEST_BODY)
        routes.add_route(f"/v1/realtime/{path}", endpoint, methods=["POST"])  # type: ignore[arg-type]
    return routes


def _seconds(body: Fields) -> int:
    after = Fields(body.values).inner("expires_after")
    after.only("anchor", "seconds")
    after.optional("anchor", choice("created_at"), "created_at")
    return after.optional("seconds", integer(LEAST_S, MOST_S), DEFAULT_S)


def _session(body: Fields) -> JsonObject:
    return Fields(body.values).optional("session", Fields.of, Fields({"type": "realtime"})).values


def _shown(runtime: Runtime, who: Who, patch: JsonObject) -> JsonObject:
    """The session that the secret will open. Raises FieldError."""
    config = runtime.config
    voices = runtime.voices(who)
    expires_at = round(time.time() + config.server.max_session_minutes * 60)
    usual = SessionObject(
        new_id("sess"),
        runtime.model,
        expires_at,
        voices,
        voices.default,
        server_patience=config.turns.chosen_patience,
    )
    session, problems = opened(usual, Opening(session_patch=patch))
    if problems:
        raise FieldError(problems[0])
    return session.to_json()
