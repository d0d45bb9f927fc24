"""OpenAI's three endpoints over a Transcriber, a Responder and a Speaker: one small ASGI application.

Knows: HTTP as OpenAI's clients speak it, server-sent events. Does not know: what the engines are, ports.

    POST /v1/audio/transcriptions     GET /v1/models
    POST /v1/chat/completions         GET /stats
    POST /v1/audio/speech

A client that goes away stops the engine's work at once. An engine's failure is a status of 500 with OpenAI's error
body, an error event in a stream of text, and a body without its end in a stream of audio.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.bench.stub import forms
from voxtral_voice.bench.stub.forms import BadRequest, ChatForm
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Responder, Speaker, Transcriber, Transcript
from voxtral_voice.errors import EngineError, RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
OPENAI_VOICES: Final = frozenset("alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split())
"""Sent by clients that cannot name others; each means the speaker's first voice."""
MODELS: Final = {
    "object": "list",
    "data": [{"id": "stub", "object": "model", "created": 0, "owned_by": "voxtral-voice"}],
}
"""Whatever name a request gives, it means this one."""
JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream; charset=utf-8"


class Serves(Protocol):
    """The engines behind one port, and what there is to tell about them."""

    @property
    def transcriber(self) -> Transcriber: ...
    @property
    def responder(self) -> Responder: ...
    @property
    def speaker(self) -> Speaker: ...
    @property
    def unknown(self) -> int:
        """Requests so far whose audio was no known clip; 0 for engines that know none."""


class Left(Exception):  # noqa: N818 - a way to leave, not an error
    """The client went away."""


@dataclass(slots=True)
class Counts:
    """Of one port since it was opened."""

    served: int = 0
    """Answered to the end."""
    in_flight: int = 0
    left: int = 0
    """Given up by the client."""
    failed: int = 0
    """Answered with an error."""


class StubApp:
    def __init__(self, engines: Serves) -> None:
        self._engines = engines
        self.counts = Counts()
        self._routes: Mapping[tuple[str, str], Callable[[_Exchange], Coroutine[None, None, None]]] = {
            ("POST", "/v1/audio/transcriptions"): self._transcribe,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/audio/speech"): self._speak,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        route = self._routes.get((scope["method"], scope["path"]))
        if route is not None:
            await self._counted(exchange, route(exchange))
        elif scope["path"] == "/stats":
            await exchange.answer(self.stats())
        elif scope["path"] == "/v1/models":
            await exchange.answer(MODELS)
        else:
            await exchange.refuse(404, f"There is nothing at {scope['method']} {scope['path']}.")

    def stats(self) -> dict[str, int]:
        counts = self.counts
        return {
            "served": counts.served,
            "in_flight": counts.in_flight,
            "left": counts.left,
            "failed": counts.failed,
            "unknown": self._engines.unknown,
        }

    async def _counted(self, exchange: _Exchange, work: Coroutine[None, None, None]) -> None:
        self.counts.in_flight += 1
        try:
            await exchange.carry_out(work)
            self.counts.served += 1
        except* Left:
            self.counts.left += 1
        except* BadRequest as group:
            await self._fail(exchange, _first(group).status, str(_first(group)))
        except* RequestError as group:
            await self._fail(exchange, 400, str(_first(group)))
        except* EngineError as group:
            await self._fail(exchange, 500, str(_first(group)))
        finally:
            self.counts.in_flight -= 1

    async def _fail(self, exchange: _Exchange, status: int, message: str) -> None:
        self.counts.failed += 1
        await exchange.refuse(status, message)

    # --- the endpoints ------------------------------------------------------------------------------------------

    async def _transcribe(self, exchange: _Exchange) -> None:
        form = forms.transcription(exchange.content_type, await exchange.body())
        exchange.listens()
        heard = await self._engines.transcriber.transcribe(
            form.audio, language=form.language, prompt=form.prompt, final=True
        )
        if form.stream:
            await exchange.begin(EVENTS)
            await exchange.event({"type": "transcript.text.delta", "delta": heard.text})
            await exchange.event({"type": "transcript.text.done", "text": heard.text})
            await exchange.end()
        elif form.style == "text":
            await exchange.answer_bytes(heard.text.encode() + b"\n", b"text/plain; charset=utf-8")
        else:
            duration_s = len(form.audio) / LISTEN_RATE_HZ
            await exchange.answer(_verbose(heard, duration_s) if form.style == "verbose_json" else {"text": heard.text})

    async def _chat(self, exchange: _Exchange) -> None:
        form = forms.chat(await exchange.body())
        exchange.listens()
        if form.stream:
            await self._stream_chat(exchange, form)
            return
        pieces = [piece async for piece in self._pieces(form)]
        message = {"role": "assistant", "content": "".join(pieces), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": _reason(form, len(pieces)), "logprobs": None}
        usage = _usage(len(pieces))
        await exchange.answer({**_completion(form, "chat.completion"), "choices": [choice], "usage": usage})

    async def _stream_chat(self, exchange: _Exchange, form: ChatForm) -> None:
        base, count = _completion(form, "chat.completion.chunk"), 0
        async with aclosing(self._pieces(form)) as pieces:
            async for piece in pieces:
                if count == 0:
                    await exchange.begin(EVENTS)
                    await exchange.event({**base, "choices": [_delta({"role": "assistant", "content": ""})]})
                count += 1
                await exchange.event({**base, "choices": [_delta({"content": piece})]})
        if count == 0:
            await exchange.begin(EVENTS)
        await exchange.event({**base, "choices": [_delta({}, _reason(form, count))]})
        if form.usage:
            await exchange.event({**base, "choices": [], "usage": _usage(count)})
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()

    async def _pieces(self, form: ChatForm) -> AsyncGenerator[str, None]:
        """The text; no client of the stub offers tools."""
        responder = self._engines.responder
        async with aclosing(responder.respond(form.messages, language=None, max_tokens=form.max_tokens)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece

    async def _speak(self, exchange: _Exchange) -> None:
        form = forms.speaking(await exchange.body())
        exchange.listens()
        speaker = self._engines.speaker
        voice = next(iter(speaker.voices)) if form.voice in OPENAI_VOICES else form.voice
        if voice not in speaker.voices:
            raise BadRequest(f"There is no voice {voice!r}: use one of {', '.join(speaker.voices)}.")
        kind = b"audio/wav" if form.style == "wav" else b"audio/pcm"
        async with aclosing(speaker.speak(form.text, voice=voice, speed=form.speed)) as chunks:
            async for chunk in chunks:
                if not exchange.begun:
                    await exchange.begin(kind)
                    if form.style == "wav":
                        await exchange.write(_endless_wav())
                await exchange.write(float_to_pcm16(chunk.samples))
        if not exchange.begun:
            await exchange.begin(kind)
        await exchange.end()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._group: asyncio.TaskGroup | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sends_events = False
        self.begun = False

    async def carry_out(self, work: Coroutine[None, None, None]) -> None:
        """Raises a group with Left or what `work` raised."""
        async with asyncio.TaskGroup() as self._group:
            await work
            if self._watching is not None:
                self._watching.cancel()

    def listens(self) -> None:
        """From here on the client's leaving ends the work."""
        assert self._group is not None
        self._watching = self._group.create_task(self._until_left())

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise Left

    # --- the request --------------------------------------------------------------------------------------------

    @property
    def content_type(self) -> bytes:
        return next((value for name, value in self._scope["headers"] if name == b"content-type"), b"")

    async def body(self) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Left
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise BadRequest(f"The body is larger than {MAX_BODY_BYTES} bytes.", 413)
        return b"".join(parts)

    # --- the answer ---------------------------------------------------------------------------------------------

    async def begin(self, kind: bytes, status: int = 200, length: int | None = None) -> None:
        headers = [(b"content-type", kind)]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        self._sends_events = kind == EVENTS
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event(self, content: Mapping[str, object]) -> None:
        await self.write(b"data: " + orjson.dumps(content) + b"\n\n")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, content: Mapping[str, object], status: int = 200) -> None:
        await self.answer_bytes(orjson.dumps(content), JSON, status)

    async def answer_bytes(self, body: bytes, kind: bytes, status: int = 200) -> None:
        await self.begin(kind, status, len(body))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        content = {"error": {"message": message, "type": kind, "param": None, "code": None}}
        if not self.begun:
            await self.answer(content, status)
        elif self._sends_events:
            await self.event(content)
            await self.end()
        # a stream of audio can only be left without its end: the server then closes the connection


def _completion(form: ChatForm, kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-stub", "object": kind, "created": int(time.time()), "model": form.model}


def _delta(delta: Mapping[str, str], reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _reason(form: ChatForm, pieces: int) -> str:
    return "length" if pieces == form.max_tokens else "stop"


def _usage(pieces: int) -> dict[str, int]:
    """The prompt is not counted: no engine here says how long it is."""
    return {"prompt_tokens": 0, "completion_tokens": pieces, "total_tokens": pieces}


def _verbose(heard: Transcript, duration_s: float) -> dict[str, object]:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": duration_s,
        "text": heard.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    return {
        "task": "transcribe",
        "language": heard.language,
        "duration": duration_s,
        "text": heard.text,
        "segments": [segment] if heard.text else [],
    }


def _endless_wav() -> bytes:
    """A header that promises no length, as written into pipes: mono, 16 bits."""
    endless = 0xFFFF_FFFF
    form = struct.pack("<HHIIHH", 1, 1, SPEAK_RATE_HZ, 2 * SPEAK_RATE_HZ, 2, 16)
    return b"RIFF" + struct.pack("<I", endless) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + b"\xff" * 4


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
