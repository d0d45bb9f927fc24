"""An engine in a process of its own, which does what it should until it is told to do something else.

    transcriber   the word for a tone's pitch              POST /v1/audio/transcriptions
    responder     all the words that the user has said     POST /v1/chat/completions
    speaker       a short tone for each word               POST /v1/audio/speech

Knows: what the three endpoints answer, and the wrong answers. Does not know: who asks, or how it is killed
(`processes`).

It is asked through a pipe, with pairs: ("mode", a Mode), ("hold", "start" | "middle" | ""), ("release", ""). It tells
("up", None) when it can be asked, ("held", None) when a request is held, and ("asked", the messages) of each request to
the responder.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

import numpy as np
import orjson

from tests.engines.odd_server import Request, Respond, begin_stream, json_answer, odd_server, whole, write_chunk
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.bench.stub import forms
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Message

Part = Literal["transcriber", "responder", "speaker"]
PARTS: Final[tuple[Part, ...]] = ("transcriber", "responder", "speaker")
Mode = Literal["good", "status 500", "garbage", "endless", "truncated"]
Hold = Literal["start", "middle", ""]

WORDS: Final = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath")
FIRST_HZ: Final = 300
STEP_HZ: Final = 100
WORD_MS: Final = 50
"""Short, so that nobody waits for an answer to be played."""
TONE_HZ: Final = 440
SECOND: Final = "And that was all."
"""The second sentence of every answer, and its second phrase. The answer's middle is behind its first word: only then
is it known that the first sentence is over."""
JUNK: Final = bytes(range(256)) * 4
BABBLE: Final = 30 * " la la la la la la la la la la, la la la la la la la la la la la la."
FAILURE: Final = {"error": {"message": "it was told to fail", "type": "server_error"}}


def pitch_of(word: str) -> float:
    """Of the tone that means it."""
    return FIRST_HZ + STEP_HZ * WORDS.index(word)


def word_of(audio: Samples) -> str:
    """16 kHz. "" for a silence."""
    if not len(audio) or float(np.max(np.abs(audio))) < 0.01:
        return ""
    strongest_hz = np.argmax(np.abs(np.fft.rfft(audio))) * LISTEN_RATE_HZ / len(audio)
    return WORDS[round((strongest_hz - FIRST_HZ) / STEP_HZ) % len(WORDS)]


def answer_to(messages: tuple[Message, ...]) -> tuple[str, str]:
    """Two sentences, cut in the middle: what the user has said, turn by turn; and that this was all."""
    said = [message.text.strip(" .") for message in messages if message.role == "user" and message.text]
    begin, _, rest = SECOND.partition(" ")
    return f"You said {' '.join(said) or 'nothing'}. {begin}", f" {rest}"


def sound_of(text: str) -> bytes:
    words = sum(any(c.isalnum() for c in word) for word in text.split())
    t = np.arange(words * WORD_MS * SPEAK_RATE_HZ // 1000)
    return float_to_pcm16((0.1 * np.sin(2 * np.pi * TONE_HZ / SPEAK_RATE_HZ * t)).astype(np.float32))


class Engine:
    def __init__(self, part: Part, control: Connection) -> None:
        self._control = control
        self._mode: Mode = "good"
        self._hold: Hold = ""
        self._released = asyncio.Event()
        self.stopped = asyncio.Event()
        answers: dict[Part, Respond] = {"transcriber": self._hear, "responder": self._write, "speaker": self._speak}
        self.respond = answers[part]

    def commanded(self) -> None:
        """All that it was told so far: what is asked next comes behind it."""
        try:
            while self._control.poll():
                self._command(*self._control.recv())
        except EOFError:
            self.stopped.set()

    def _command(self, what: str, how: Any) -> None:
        if what == "mode":
            self._mode = how
        elif what == "hold":
            self._hold = how
            self._released.clear()
        else:
            self._hold = ""
            self._released.set()

    async def _held(self, here: bool) -> None:
        if here:
            self._control.send(("held", None))
            await self._released.wait()

    # --- transcriber --------------------------------------------------------------------------------------------

    async def _hear(self, request: Request, writer: asyncio.StreamWriter) -> None:
        form = forms.transcription(request.headers["content-type"].encode(), request.body)
        await self._held(self._hold == "start")
        text = word_of(form.audio)
        if self._mode == "endless":
            begin_stream(writer, "application/json")
            write_chunk(writer, b'{"text": "')
            await self._without_end(writer, BABBLE.encode())
        elif self._mode == "truncated":
            begin_stream(writer, "application/json")
            write_chunk(writer, b'{"text": "am')
            await _cut(writer)
        else:
            await self._whole(request, writer, json_answer({"text": f"{text}." if text else ""}))

    # --- responder ----------------------------------------------------------------------------------------------

    async def _write(self, request: Request, writer: asyncio.StreamWriter) -> None:
        messages = forms.chat(request.body).messages
        self._control.send(("asked", [(message.role, message.text) for message in messages]))
        await self._held(self._hold == "start")
        if self._mode in ("status 500", "garbage"):
            await self._whole(request, writer, json_answer({}))
            return
        first, second = answer_to(messages)
        begin_stream(writer)
        await _event(writer, _chunk(first))
        await self._held(self._hold == "middle")
        if self._mode == "good":
            await _event(writer, _chunk(second))
            await _event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            await _event(writer, b"[DONE]")
            writer.write(b"0\r\n\r\n")
        else:
            await self._spoil(writer)

    async def _spoil(self, writer: asyncio.StreamWriter) -> None:
        """The rest of a stream that has begun."""
        if self._mode == "status 500":
            await _event(writer, FAILURE)
            writer.write(b"0\r\n\r\n")
        elif self._mode == "garbage":
            await _event(writer, JUNK)
            writer.write(b"0\r\n\r\n")
        elif self._mode == "endless":
            await self._without_end(writer, b"data: " + orjson.dumps(_chunk(BABBLE)) + b"\n\n")
        else:
            write_chunk(writer, b'data: {"choices": [{"del')
            await _cut(writer)

    # --- speaker ------------------------------------------------------------------------------------------------

    async def _speak(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """The middle of what it says is before the second phrase."""
        text = forms.speaking(request.body).text
        sound = sound_of(text)
        await self._held(self._hold == "start" or (self._hold == "middle" and SECOND in text))
        if self._mode in ("status 500", "garbage"):
            await self._whole(request, writer, json_answer({}))
            return
        begin_stream(writer, "audio/pcm")
        write_chunk(writer, sound[: len(sound) // 4 * 2])
        if self._mode == "endless":
            await self._without_end(writer, sound_of("la " * 100))
            return
        if self._mode == "truncated":
            await _cut(writer)
            return
        write_chunk(writer, sound[len(sound) // 4 * 2 :])
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    # --- all of them --------------------------------------------------------------------------------------------

    async def _whole(self, request: Request, writer: asyncio.StreamWriter, good: Respond) -> None:
        answers = {"status 500": json_answer(FAILURE, 500), "garbage": whole(200, JUNK, "text/html")}
        await answers.get(self._mode, good)(request, writer)

    async def _without_end(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        """Until who asked has left, or it is mended; then it breaks off."""
        while self._mode == "endless":
            write_chunk(writer, piece)
            await writer.drain()
            await asyncio.sleep(0)
        await _cut(writer)


def _chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


async def _event(writer: asyncio.StreamWriter, content: object) -> None:
    data = content if isinstance(content, bytes) else orjson.dumps(content)
    write_chunk(writer, b"data: " + data + b"\n\n")
    await writer.drain()


async def _cut(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    writer.close()


def run(part: Part, port: int, control: Connection) -> None:
    """Until the pipe is closed."""
    asyncio.run(_serve(part, port, control))


async def _serve(part: Part, port: int, control: Connection) -> None:
    engine = Engine(part, control)
    asyncio.get_running_loop().add_reader(control.fileno(), engine.commanded)
    async with odd_server(engine.respond, port=port):
        control.send(("up", None))
        await engine.stopped.wait()
