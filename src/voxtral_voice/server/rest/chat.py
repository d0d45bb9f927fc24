"""POST /v1/chat/completions: the responder, as a chat model.

Knows: the answers' shapes, whole and streamed. Does not know: the request's fields (`chat_request`), how an answer is
made.
"""

from __future__ import annotations

import io
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal
from uuid import uuid4

import orjson
from starlette.requests import Request

from voxtral_voice.engines.base import CallPiece, Finish, Message, Piece, Usage
from voxtral_voice.errors import EngineError
from voxtral_voice.realtime.fields import Json, JsonObject
from voxtral_voice.server.answer import MAX_CHARS
from voxtral_voice.server.rest import errors
from voxtral_voice.server.rest.bodies import json_fields
from voxtral_voice.server.rest.chat_request import Chat, Recording, Said, read_chat
from voxtral_voice.server.rest.edge import EVENTS, Answer, event
from voxtral_voice.server.rest.errors import ApiError
from voxtral_voice.server.rest.hearing import Ear, Hearing
from voxtral_voice.server.rest.models import Models
from voxtral_voice.server.rest.stop import StopText
from voxtral_voice.server.rest.work import steps

MOST_BYTES: Final = 32 * 1024 * 1024
"""Recordings and pictures, in base64."""
DONE: Final = b"data: [DONE]\n\n"

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(slots=True)
class Ended:
    """How an answer ended; filled in while it is made."""

    reason: FinishReason = "stop"
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What all chunks of an answer begin with."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, kind: str, choices: list[Json], usage: Json) -> JsonObject:
        head: JsonObject = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "choices": choices, "usage": usage}


class ChatCompletions:
    def __init__(self, ear: Ear, models: Models) -> None:
        self._ear = ear
        self._models = models

    async def handle(self, request: Request) -> Answer:
        chat = read_chat(await json_fields(request))
        head = Head(self._models.require("responder", chat.model))
        if chat.stream:
            return Answer(EVENTS, self._chunks(chat, head), streamed=True)
        return Answer("application/json", self._whole(chat, head))

    # --- the answer ---------------------------------------------------------------------------------------------

    async def _whole(self, chat: Chat, head: Head) -> AsyncGenerator[bytes, None]:
        ended, said = Ended(), ""
        calls: dict[int, JsonObject] = {}
        async with aclosing(self._pieces(chat, ended)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    said += piece
                else:
                    _add(calls, piece)
        message: JsonObject = {"role": "assistant", "content": said if said or not calls else None, "refusal": None}
        if calls:
            message["tool_calls"] = [*calls.values()]
        choice: JsonObject = {"index": 0, "message": message, "logprobs": None, "finish_reason": ended.reason}
        yield orjson.dumps(head.completion("chat.completion", [choice], _usage(ended.usage)))

    async def _chunks(self, chat: Chat, head: Head) -> AsyncGenerator[bytes, None]:
        ended = Ended()
        begun: set[int] = set()
        delta: JsonObject = {"role": "assistant", "content": "", "refusal": None}
        async with aclosing(self._pieces(chat, ended)) as pieces:
            async for piece in pieces:
                if delta:  # not before the responder has done something: until then a failure is an HTTP error
                    yield _chunk(head, delta)
                    delta = {}
                yield _chunk(head, {"content": piece} if isinstance(piece, str) else _call_delta(begun, piece))
        yield _chunk(head, delta, ended.reason)
        if chat.usage:
            yield event(head.completion("chat.completion.chunk", [], _usage(ended.usage)))
        yield DONE

    async def _pieces(self, chat: Chat, ended: Ended) -> AsyncGenerator[str | CallPiece, None]:
        """Texts are not empty, and end before a stop sequence. Raises ApiError."""
        stop, called, size = StopText(chat.stops), False, 0
        async with aclosing(self._respond(chat)) as pieces:
            async for piece in pieces:
                size += _size(piece)
                self._check(chat, piece, size)
                match piece:
                    case Finish(reason, usage):
                        ended.reason, ended.usage = reason, usage
                    case CallPiece():
                        called = True
                        if rest := stop.finish():
                            yield rest
                        yield piece
                    case _ if told := stop.feed(piece):
                        yield told
                if stop.stopped:
                    break
        if rest := stop.finish():
            yield rest
        if called and ended.reason == "stop":
            ended.reason = "tool_calls"

    async def _respond(self, chat: Chat) -> AsyncGenerator[Piece, None]:
        messages, language = await self._written(chat.messages)
        runtime = self._ear.runtime
        responder, limit = runtime.engines.responder, chat.max_tokens
        answer = partial(responder.respond, messages, language=language, max_tokens=limit, tools=chat.tools)
        async with aclosing(steps(runtime, "responder", answer)) as pieces:
            async for piece in pieces:
                yield piece

    def _check(self, chat: Chat, piece: Piece, size: int) -> None:
        if size > MAX_CHARS:
            raise self._fault(f"it gave more than {MAX_CHARS:,} characters of answer")
        if isinstance(piece, CallPiece) and not chat.tools.may_call:
            raise self._fault("it called a tool, and none was offered to it")

    def _fault(self, what: str) -> ApiError:
        error = EngineError("responder", what)
        return errors.of_engine("responder", error, self._ear.runtime.failed("responder", error))

    # --- the prompt ---------------------------------------------------------------------------------------------

    async def _written(self, messages: tuple[Said, ...]) -> tuple[list[Message], str | None]:
        """With its recordings written down; and the language of the last of them."""
        written: list[Message] = []
        language: str | None = None
        for said in messages:
            texts = []
            for part in said.parts:
                if isinstance(part, Recording):
                    hearing = Hearing(self._ear, io.BytesIO(part.data), param=part.param)
                    texts.append(await hearing.text())
                    language = hearing.language
                else:
                    texts.append(part)
            text = "\n".join(filter(None, texts))
            written.append(Message(said.role, text, said.pictures, said.calls, said.call_id))
        return written, language


# --- shapes -----------------------------------------------------------------------------------------------------


def _size(piece: Piece) -> int:
    match piece:
        case str():
            return len(piece)
        case CallPiece():
            return len(piece.arguments) + 1
        case _:
            return 0


def _add(calls: dict[int, JsonObject], piece: CallPiece) -> None:
    call = calls.get(piece.index)
    if call is None:
        calls[piece.index] = _call(piece)
    else:
        function = call["function"]
        assert isinstance(function, dict)
        function["arguments"] = f"{function['arguments']}{piece.arguments}"


def _call(piece: CallPiece) -> JsonObject:
    return {
        "id": piece.call_id,
        "type": "function",
        "function": {"name": piece.name, "arguments": piece.arguments},
    }


def _call_delta(begun: set[int], piece: CallPiece) -> JsonObject:
    if piece.index in begun:
        call: JsonObject = {"function": {"arguments": piece.arguments}}
    else:
        begun.add(piece.index)
        call = _call(piece)
    return {"tool_calls": [{"index": piece.index, **call}]}


def _chunk(head: Head, delta: JsonObject, reason: FinishReason | None = None) -> bytes:
    choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return event(head.completion("chat.completion.chunk", [choice], None))


def _usage(usage: Usage | None) -> JsonObject:
    """Every count is 0 when the responder does not count: a guess would be taken for a fact."""
    known = usage or Usage(0, 0)
    return {
        "prompt_tokens": known.input_tokens,
        "completion_tokens": known.output_tokens,
        "total_tokens": known.input_tokens + known.output_tokens,
        "prompt_tokens_details": {"cached_tokens": known.cached_tokens, "audio_tokens": 0},
    }
