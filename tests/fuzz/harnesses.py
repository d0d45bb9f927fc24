"""For each parser of bytes from outside: what it is given, and what it may say to that.

    HARNESSES["client_events"].run(b"...")      AssertionError, or any error that nobody has announced: a fault found

Knows: the parsers and the errors that they may raise. Does not know: where the bytes come from (`run` has them made,
`test_fuzz` draws a few).
"""

from __future__ import annotations

import asyncio
import copy
import io
import json
import tempfile
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import orjson
import uvicorn
from starlette.requests import Request
from uvicorn.server import ServerState

from tests.fuzz.events import EVENTS, Chosen, spoil, spoiled
from tests.realtime.make import VOICES, counted_ids
from tests.server.stack import echo
from voxtral_voice.config import ServerConfig
from voxtral_voice.errors import AudioError
from voxtral_voice.observe.redact import redacted
from voxtral_voice.realtime import resume
from voxtral_voice.realtime.audio_formats import Decoder
from voxtral_voice.realtime.client_events import ClientEvent, parse
from voxtral_voice.realtime.fields import FieldError, Fields, Problem
from voxtral_voice.realtime.wire import Wire
from voxtral_voice.server.auth import Auth, Refusal, shown_key
from voxtral_voice.server.protocols.frames import BoundedWebSocket
from voxtral_voice.server.protocols.heads import HEAD_BYTES, PatientHttp
from voxtral_voice.server.rest.bodies import form, text_fields
from voxtral_voice.server.rest.chat_request import read_chat
from voxtral_voice.server.rest.decode import decoded
from voxtral_voice.server.rest.errors import ApiError

LONGEST_MESSAGE: Final = 2_000
"""Of what a client is told about what it sent."""
DECODED_S: Final = 1.0
"""Most of a file here: longer ones are refused."""


@dataclass(frozen=True, slots=True)
class Harness:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    """Good input, to begin with."""
    share: int
    """Of all inputs, in thousandths: cheap parsers that read most have most."""
    most_bytes: int = 4096


# --- the wire -----------------------------------------------------------------------------------------------------


def client_events(data: bytes) -> None:
    frame = data if data[:1] == b"\0" else data.decode(errors="ignore")
    found = parse(frame)
    if isinstance(found, Problem):
        assert len(found.message) < LONGEST_MESSAGE, found.message
        orjson.dumps(found.message.encode(errors="surrogatepass").decode(errors="replace"))
    else:
        assert isinstance(found, ClientEvent)


def a_wire() -> Wire:
    return Wire("sess_1", counted_ids(), VOICES, "voxtral-voice", 1_800_000_000)


def wire(data: bytes) -> None:
    """A session that is told one thing after the other."""
    session = a_wire()
    session.opening()
    for frame in data.decode(errors="ignore").split("\n")[:20]:
        incoming = session.client(frame, lambda _: None)
        for answer in incoming.frames:
            assert orjson.loads(answer)["type"]
        assert len(incoming.pcm) % 2 == 0


def spoiled_events(data: bytes) -> None:
    """The bytes choose which events a session is told, and what is wrong with them."""
    session, chance = a_wire(), Chosen(data)
    for _ in range(8):
        incoming = session.client(spoiled(chance), lambda _: None)
        for answer in incoming.frames:
            assert orjson.loads(answer)["type"]
        if chance.is_over:
            return


def resuming(data: bytes) -> None:
    text = data.decode("latin-1").split("\n")
    asked = resume.asked({resume.TOKEN_HEADER: text[0], resume.AFTER_HEADER: text[-1]}, text)
    if asked is not None:
        assert len(resume.digest(asked.token)) == 32
        tokens = resume.Tokens()
        tokens.renew(resume.make_token("sess_1", "secret"))
        assert tokens.accept(asked.token) == (asked.token == "sess_1.secret")


def audio(data: bytes) -> None:
    """Pieces of any length give as many samples as they would as one."""
    for name in ("audio/pcm", "audio/pcmu", "audio/pcma"):
        decoder = Decoder(name)
        pieces = [decoder.push(data[at : at + 7]) for at in range(0, len(data), 7)]
        assert all(len(piece) % 2 == 0 for piece in pieces)
        expected = len(data) // 2 * 2 if name == "audio/pcm" else len(data) * 6
        assert sum(map(len, pieces)) == expected


# --- over HTTP ----------------------------------------------------------------------------------------------------


@cache
def the_auth() -> Auth:
    return Auth(ServerConfig(allowed_hosts=("voice.example",)))


def headers(data: bytes) -> None:
    """Of a handshake: a name of the server, an origin, a key."""
    texts = [*data.decode("latin-1").split("\n"), "", "", ""]
    given = {"authorization": texts[0], "host": texts[1], "origin": texts[2]}
    shown_key(given, texts[3:])
    assert isinstance(the_auth().misnamed(given), Refusal | None)
    checking = the_auth().check(given, texts[3:], opens_session=True)
    with suppress(StopIteration):
        checking.send(None)
        raise AssertionError("without a file of keys nothing is waited for")


def bodies(data: bytes) -> None:
    with suppress(ValueError, FieldError):
        content = orjson.loads(data)
        with suppress(AudioError):
            read_chat(Fields.of(content, ""))


def spoiled_chats(data: bytes) -> None:
    chance = Chosen(data)
    content = copy.deepcopy(chance.choice(CHAT))
    for _ in range(1 + chance.randrange(4)):
        spoil(content, chance)
    with suppress(FieldError, AudioError):
        read_chat(Fields.of(content, ""))


def forms(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "app": None,  # Starlette turns what it cannot read into an HTTP error where there is an app
        "headers": [(b"content-type", b"multipart/form-data" + kind)],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def read() -> None:
        request = Request(scope, receive)
        with suppress(ApiError):
            text_fields(await form(request))
        await request.close()

    loop().run_until_complete(read())


def files(data: bytes) -> None:
    with suppress(AudioError):
        total = 0
        for block in decoded(io.BytesIO(data), longest_s=DECODED_S):
            assert np.isfinite(block).all()
            total += block.size
        assert 0 < total <= DECODED_S * 16_000


def lines(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    assert redacted(redacted(text)) == redacted(text)


# --- connections --------------------------------------------------------------------------------------------------


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def stack() -> uvicorn.Config:
    config = uvicorn.Config(echo, http=PatientHttp, ws=BoundedWebSocket, lifespan="off", log_config=None)
    config.load()
    return config


class Wires(asyncio.Transport):
    """A connection that goes nowhere. Whoever is behind it may close it, and then gets nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.written = 0
        self.protocol: Any = None

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _talk(pieces: list[bytes]) -> None:
    async def talk() -> None:
        state = ServerState()
        wires = Wires()
        wires.protocol = PatientHttp(stack(), state, {}, asyncio.get_running_loop())
        wires.protocol.connection_made(wires)
        for piece in pieces:
            if wires.closed:
                break
            wires.protocol.data_received(piece)
            await asyncio.sleep(0)
        wires.protocol.connection_lost(None)
        while state.tasks:
            await asyncio.wait(state.tasks)
        assert not state.connections
        assert not vars(state).get("without_head")
        assert wires.written < 2 * HEAD_BYTES + 3 * sum(map(len, pieces)) + 500 * len(pieces)

    loop().run_until_complete(talk())


def requests(data: bytes) -> None:
    """In pieces where there is an 0xFF."""
    _talk(data.split(b"\xff"))


HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frames(data: bytes) -> None:
    """Behind a good handshake; in two pieces."""
    half = len(data) // 2
    _talk([HANDSHAKE, data[:half], data[half:]])


# --- good input ---------------------------------------------------------------------------------------------------

CHAT: Final[tuple[dict[str, Any], ...]] = (
    {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "stop": ["a"], "max_tokens": 5},
    {
        "model": "m",
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "{}"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "auto",
    },
)
FORM: Final = (
    b'; boundary=b\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b\r\n'
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n'
)
REQUESTS: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab\xffcdGET / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n3;x=y\r\nabc\r\n0\r\na: b\r\n\r\n",
    b"HEAD /%2e%2e HTTP/1.0\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n",
    HANDSHAKE,
)
FRAMES: Final = (
    b"\x81\x82\0\0\0\0{}\x88\x82\0\0\0\0\x03\xe8",
    b"\x01\x81\0\0\0\0a\x89\x81\0\0\0\0p\x80\x81\0\0\0\0b",
    b"\x81\x81\0\0\0\0\xff\x88\x82\0\0\0\0\x03\xe8" * 2,
    b"\x82\xfe\x00\x80\0\0\0\0" + bytes(128) + b"\x8a\x80\0\0\0\0",
)


def _sounds() -> tuple[bytes, ...]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(800))
    heads = (
        b"OggS",
        b"fLaC\0\0\0\x22",
        b"\x1aE\xdf\xa3",
        b"ID3\x03\0",
        b"FORM\0\0\0\0AIFF",
        b"#!AMR\n",
        b"\xff\xf1P\x80",
    )
    return (buffer.getvalue(), *(head + bytes(200) for head in heads), b"\0\0\0\x18ftypisom" + bytes(100))


def _json(*values: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(json.dumps(value, separators=(",", ":")).encode() for value in values)


HARNESSES: Final[dict[str, Harness]] = {
    "client_events": Harness(client_events, _json(*EVENTS), 390),
    "wire": Harness(wire, (*_json(*EVENTS), b"\n".join(_json(*EVENTS))), 90),
    "spoiled_events": Harness(spoiled_events, (bytes(range(200)), b"\3\1\2\0" * 20), 50, 256),
    "resuming": Harness(resuming, (b"sess_1.secret\nevent_1", b"\nvoxtral-voice-resume.sess_1.x"), 50, 256),
    "audio": Harness(audio, (bytes(range(256)), b"\xff\x7f" * 20), 20, 256),
    "headers": Harness(
        headers, (b"Bearer x\nlocalhost:8000\nhttp://localhost:8000\nrealtime\nopenai-insecure-api-key.x",), 100, 512
    ),
    "bodies": Harness(bodies, _json(*CHAT), 40),
    "spoiled_chats": Harness(spoiled_chats, (bytes(range(200)),), 60, 256),
    "forms": Harness(forms, (FORM, b'; boundary="b"; charset=utf-7\n--b'), 50, 2048),
    "files": Harness(files, _sounds(), 50, 4096),
    "lines": Harness(lines, (b"Authorization: Bearer abc", b'"GET /?key=x&a=b" [(b"cookie", b"x")]'), 20, 512),
    "requests": Harness(requests, REQUESTS, 40, 1024),
    "frames": Harness(frames, FRAMES, 40, 1024),
}
assert sum(harness.share for harness in HARNESSES.values()) == 1000
tempfile.tempdir = tempfile.gettempdir()
"""Looked up once."""
