"""A vLLM played from recordings of a real one (0.32 on a CPU, tiny random weights), that can be made faulty.

Knows: the recordings (JSON lines: who sent what, and when), what of them answers what. Does not know: our engines.

The frames of `/v1/realtime` are recorded ones, and so is when they come: how many for how much sound, before and behind
the final commit (`test_recorded` holds this server against the recordings). Their words are another matter: the tiny
model says the same of everything, so that a lost word would not be missed. Here sound has its words in it: `speech`
writes numbers into it, and the server reads them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import psutil
from aiohttp import WSMsgType, web

from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.bench.stub.forms import multipart
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples

RECORDINGS: Final = Path(__file__).parent / "recordings"
MODEL: Final = "tiny"
TOKEN_SAMPLES: Final = 1280
STEP: Final = 0.02
"""Between the levels of two numbers in sound."""
LEFT_TOKENS: Final = 32
RIGHT_TOKENS: Final = 10
"""And the delay, and one."""
WORD_TOKENS: Final = 4

Line = Mapping[str, Any]


# --- recordings ---------------------------------------------------------------------------------------------------


@cache
def lines(name: str) -> list[Line]:
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    request: Line
    answer: Line


def exchanges(name: str) -> list[Exchange]:
    """Of a recording of HTTP."""
    found = [line for line in lines(name) if "method" in line or "status" in line]
    return [Exchange(*pair) for pair in zip(found[::2], found[1::2], strict=True)]


def said(answer: Line) -> str:
    """What a recorded stream says."""
    events = [line.removeprefix("data: ") for line in str(answer["body"]).split("\n\n") if line.startswith("data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@cache
def frame(kind: str, code: str | None = None) -> Mapping[str, Any]:
    """A recorded frame of this type, and with this code."""
    for name in ("realtime_utterances", "realtime_edges", "realtime_errors", "realtime_killed"):
        for line in lines(name):
            event = line.get("event", {})
            if line["from"] == "server" and event.get("type") == kind and (code is None or event.get("code") == code):
                return MappingProxyType(event)
    raise LookupError(f"no recorded {kind} {code}")


# --- sound with words in it ---------------------------------------------------------------------------------------


def speech(*words: int) -> Samples:
    """0 .. 40, no two alike in a row; 320 ms each, and 80 ms of silence behind it."""
    level = [np.float32(STEP * (word + 1)) for word in words]
    sound = [np.concatenate([np.full(WORD_TOKENS * TOKEN_SAMPLES, x), np.zeros(TOKEN_SAMPLES)]) for x in level]
    return np.concatenate([np.zeros(0), *sound]).astype(np.float32)


def silence(ms: int) -> Samples:
    return np.zeros(ms * LISTEN_RATE_HZ // 1000, np.float32)


def words(*numbers: int) -> str:
    """What the server hears of them."""
    return " ".join(f"w{number}" for number in numbers)


def _words_in(sound: Samples, tokens: int) -> list[str]:
    """Of each 80 ms: " w3" where a word is over."""
    padded = np.concatenate([sound, np.zeros(max(0, tokens * TOKEN_SAMPLES - len(sound)), np.float32)])
    parts = padded[: tokens * TOKEN_SAMPLES].reshape(-1, TOKEN_SAMPLES)
    codes = [round(float(np.abs(part).max()) / STEP) for part in parts]
    return [
        f" w{before - 1}" if before and code != before else "" for before, code in zip([0, *codes], codes, strict=False)
    ]


# --- faults -------------------------------------------------------------------------------------------------------

Kind = Literal["hang", "deaf", "reset", "close", "killed", "garbage", "binary", "flood", "blank", "ends", "slow"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one utterance once it has given so many tokens."""

    kind: Kind
    after: int = 0


Door = Literal["open", "mute", "broken", "garbage", "not realtime"]
HttpFault = Literal["mute", "broken", "reset", "garbage", "cut", "stalls", "error", "endless line"]


# --- the server ---------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """One utterance, as the server saw it."""

    sound: Samples
    tokens: int = 0
    final: bool = False
    """It was told that the utterance is over."""
    done: bool = False
    connection: int = 0


@dataclass
class RecordedVllm:
    realtime: bool = True
    """It serves Voxtral Realtime."""
    model_len: int | None = 2048
    lead_tokens: int = 7
    """The delay of 480 ms, and one."""
    url: str = ""
    door: Door = "open"
    """Of new connections to `/v1/realtime`."""
    faults: deque[Fault | None] = field(default_factory=deque)
    """Of the next utterances, in turn; then there are none."""
    http_faults: deque[HttpFault | None] = field(default_factory=deque)
    answers: deque[Line] = field(default_factory=deque)
    """To the next POSTs, in turn; then a recorded one that fits."""
    heard: list[Heard] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    """(path, JSON or the fields of a form)."""
    deaf: bool = False
    """It reads nothing of new connections to `/v1/realtime`."""
    keys: list[str] = field(default_factory=list)
    """Of these, as they were sent."""
    connections: int = 0
    """To `/v1/realtime`, in all."""
    open_connections: int = 0
    busy: int = 0
    """Requests under way."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RecordedVllm]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/realtime", self._tracked(self._realtime))
        app.router.add_post("/v1/chat/completions", self._tracked(self._chat))
        app.router.add_post("/v1/audio/transcriptions", self._tracked(self._transcription))
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await self.revive()
        try:
            yield self
        finally:
            self._stopped.set()
            await self._runner.cleanup()

    async def kill(self) -> None:
        """As `kill -9`: every connection breaks, and none is accepted."""
        assert self._runner is not None
        for site in list(self._runner.sites):
            await site.stop()
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()

    async def revive(self) -> None:
        """Where it was."""
        assert self._runner is not None
        port = int(self.url.rpartition(":")[2].removesuffix("/v1")) if self.url else 0
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    @property
    def client_sockets(self) -> int:
        """Of the other side, to this server."""
        port = int(self.url.rpartition(":")[2].removesuffix("/v1"))
        found = psutil.Process().net_connections("tcp4")
        return sum(1 for c in found if c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED)

    async def until(self, true: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(true)

    # --- HTTP ---------------------------------------------------------------------------------------------------

    def _tracked(self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        async def tracked(request: web.Request) -> web.StreamResponse:
            self.busy += 1
            await self._notify()
            try:
                return await handle(request)
            finally:
                self.busy -= 1
                await self._notify()

        return tracked

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _models(self, _: web.Request) -> web.StreamResponse:
        body = json.loads(exchanges("server")[0].answer["body"])
        body["data"][0]["max_model_len"] = self.model_len
        return web.json_response(body)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.path, body))
        assert not self.realtime, "a chat ends a vLLM with a realtime model"
        fits = exchanges("chat_audio")[1]
        return await self._answered(request, self._chat_refusal(body) or fits.answer)

    async def _transcription(self, request: web.Request) -> web.StreamResponse:
        form = multipart(request.headers["Content-Type"].encode(), await request.read())
        self.requests.append((request.path, form))
        refused = form.get("language") == b"xx"
        fits = exchanges("transcription_refusals" if refused else "transcription_stream")[0]
        return await self._answered(request, fits.answer)

    def _chat_refusal(self, body: Mapping[str, Any]) -> Line | None:
        """What the real one refuses, in its own words."""
        refusals = exchanges("chat_refusals")
        parts = [part for m in body["messages"] if isinstance(m["content"], list) for part in m["content"]]
        sounds = [part for part in parts if part["type"] == "input_audio"]
        if sounds and any(message["role"] == "system" for message in body["messages"]):
            return refusals[0].answer
        if body["model"] != MODEL:
            return refusals[1].answer
        return refusals[2].answer if len(sounds) > 1 else None

    async def _answered(self, request: web.Request, fits: Line) -> web.StreamResponse:
        answer = self.answers.popleft() if self.answers else fits
        fault = self.http_faults.popleft() if self.http_faults else None
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        if fault == "mute":
            await self._stopped.wait()
        if fault == "broken":
            return web.json_response({"error": {"message": "out of memory"}}, status=500)
        if fault == "reset":
            transport.abort()
        if fault == "garbage":
            _talk_nonsense(request)
        response = web.StreamResponse(status=answer["status"], headers={"Content-Type": answer["content_type"]})
        await response.prepare(request)
        await self._streamed(request, response, str(answer["body"]).encode(), fault)
        return response

    async def _streamed(
        self, request: web.Request, response: web.StreamResponse, body: bytes, fault: HttpFault | None
    ) -> None:
        *first, rest = body.split(b"\n\n", 2)
        await response.write(b"".join(event + b"\n\n" for event in first))
        if fault == "stalls":
            await self._stopped.wait()
        if fault == "cut" and request.transport is not None:
            await response.write(rest[: len(rest) // 2])
            request.transport.close()
            return
        if fault == "error":
            failure = exchanges("realtime_model_over_http")[2].answer["body"].encode()
            rest = b"data: " + failure + b"\n\ndata: [DONE]\n\n"
        if fault == "endless line":
            rest = b"data: " + b"x" * 2_000_000
        await response.write(rest)
        await response.write_eof()

    # --- the realtime dialect -----------------------------------------------------------------------------------

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        if self.door == "mute":
            await self._stopped.wait()
        if self.door == "broken":
            return web.Response(status=500)
        if self.door == "garbage":
            _talk_nonsense(request)
        if self.door == "not realtime" or not self.realtime:
            return web.Response(status=int(lines("mini_over_realtime")[0]["status"]))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        self.keys += request.headers.getall("Authorization", [])
        self.open_connections += 1
        try:
            with suppress(ConnectionError):
                await _Connection(self, socket, request, self.connections).serve()
        finally:
            self.open_connections -= 1
        return socket


class _Connection:
    def __init__(self, server: RecordedVllm, socket: web.WebSocketResponse, request: web.Request, number: int) -> None:
        self._server = server
        self._socket = socket
        self._request = request
        self._number = number
        self._model = ""
        self._sound: list[Samples] = []
        self._now: Heard | None = None
        self._fault: Fault | None = None

    async def serve(self) -> None:
        await self._send(frame("session.created"))
        if self._server.deaf and isinstance(self._request.transport, asyncio.Transport):
            self._request.transport.pause_reading()
            await self._server._stopped.wait()
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                break
            await self._receive(json.loads(message.data))

    async def _receive(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "session.update", "model": name}:
                self._model = name
                if name != MODEL:
                    await self._send(frame("error", "model_not_found"))
            case {"type": "input_audio_buffer.commit", "final": True}:
                await self._finish()
            case {"type": "input_audio_buffer.commit"}:
                await self._start()
            case {"type": "input_audio_buffer.append", "audio": audio}:
                sound = pcm16_to_float(base64.b64decode(audio))
                if not len(sound):
                    await self._send(frame("error", "invalid_audio"))
                self._sound.append(sound)
                await self._tokens()
            case _:
                await self._send(frame("error", "unknown_event"))

    async def _start(self) -> None:
        if self._model != MODEL:
            await self._send(frame("error", "model_not_validated"))
        elif self._now is None:
            self._now = Heard(np.zeros(0, np.float32), connection=self._number)
            self._server.heard.append(self._now)
            self._fault = self._server.faults.popleft() if self._server.faults else None
            await self._tokens()

    async def _tokens(self, tail: int | None = None) -> None:
        """Those that are due."""
        if self._now is None:
            return
        self._now.sound = np.concatenate([self._now.sound, *self._sound])
        self._sound.clear()
        samples = len(self._now.sound) - 40
        due = tail or max(0, samples // TOKEN_SAMPLES - self._server.lead_tokens + 1)
        said = _words_in(self._now.sound, due)
        while self._now.tokens < due:
            if (
                self._fault is not None
                and self._now.tokens >= self._fault.after
                and not await self._goes_on(self._fault)
            ):
                break
            blank = self._fault is not None and self._fault.kind == "blank" and self._now.tokens >= self._fault.after
            await self._send(dict(frame("transcription.delta")) | {"delta": "" if blank else said[self._now.tokens]})
            self._now.tokens += 1
        await self._server._notify()

    async def _finish(self) -> None:
        if self._now is None:
            return
        self._now.final = True
        padded = (LEFT_TOKENS + RIGHT_TOKENS + self._server.lead_tokens) * TOKEN_SAMPLES + len(self._now.sound) - 40
        await self._tokens(
            padded // TOKEN_SAMPLES - LEFT_TOKENS - self._server.lead_tokens + 1 if len(self._now.sound) else 0
        )
        if self._fault is not None and self._fault.kind in ("hang", "deaf"):
            return
        await self._done()

    async def _done(self) -> None:
        assert self._now is not None
        recorded = frame("transcription.done")
        usage = recorded["usage"] | {"prompt_tokens": self._server.lead_tokens + LEFT_TOKENS}
        text = "".join(_words_in(self._now.sound, self._now.tokens))
        await self._send(dict(recorded) | {"text": text, "usage": usage})
        self._now.done = True
        self._now, self._sound = None, []

    async def _goes_on(self, fault: Fault) -> bool:
        transport = self._request.transport
        assert isinstance(transport, asyncio.Transport)
        match fault.kind:
            case "hang":
                return False
            case "deaf":
                transport.pause_reading()
                await self._server._stopped.wait()
            case "reset":
                transport.abort()
                raise ConnectionResetError
            case "close":
                await self._socket.close(code=1012)
                raise ConnectionResetError
            case "killed":
                await self._send(frame("error", "processing_error"))
            case "garbage":
                await self._socket.send_str("{not json")
            case "binary":
                await self._socket.send_bytes(b"\x00\x01")
            case "flood":
                for _ in range(2000):
                    await self._send(frame("transcription.delta"))
            case "ends":
                await self._done()
                return False
            case "slow":
                await asyncio.sleep(0.02)
        return True

    async def _send(self, event: Mapping[str, Any]) -> None:
        await self._socket.send_str(json.dumps(dict(event), ensure_ascii=False))


def _talk_nonsense(request: web.Request) -> None:
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    request.transport.close()


def in_packets(sound: Samples, sizes: Sequence[int]) -> list[Samples]:
    """Cut at these lengths, in turn, to the end."""
    packets, at, i = [], 0, 0
    while at < len(sound):
        packets.append(sound[at : at + sizes[i % len(sizes)]])
        at, i = at + len(packets[-1]), i + 1
    return packets
