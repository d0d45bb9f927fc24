"""A client whose connection may be lost: it comes back with its token, and goes on as if nothing had happened.

Knows: the extra lines of the protocol for that (docs/protocol.md, "Resume"). Does not know: how connections are lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.faults.engine import pitch_of
from tests.realtime import order
from tests.realtime.oracle import read
from tests.server.caller import PATIENCE_S, Caller, Event, silence, tone

TOKEN_HEADER: Final = "X-Voxtral-Voice-Resume"
AFTER_HEADER: Final = "X-Voxtral-Voice-After"
TONE_MS: Final = 480
HALF_MS: Final = 320
"""Said so far, when somebody is in the middle of a word."""
SILENCE_MS: Final = 320
LARGE: Final = 60_000
RETRIEVED: Final = 60


class Talker(Caller):
    def __init__(self, socket: ClientConnection, url: str, *, resumes: bool) -> None:
        super().__init__(socket)
        self._url, self._resumes = url, resumes
        self._sent: list[str | bytes] = []
        self._listening: list[asyncio.Task[None]] = []
        self.greetings: list[Event] = []
        """`session.created` of each connection after the first."""
        self._abandoned: list[ClientConnection] = []
        self.words: list[str] = []
        """What it has begun to say."""

    # --- talking ------------------------------------------------------------------------------------------------

    async def send_raw(self, frame: str | bytes) -> None:
        """Of a connection that is lost, nobody hears; it is sent again when there is another one."""
        self._sent.append(frame)
        with suppress(ConnectionClosed):
            await self.socket.send(frame)

    async def begin_word(self, word: str, *, heard: bool = True) -> None:
        """heard: it waits until the server has noticed."""
        await self.nobody_speaks()
        self.words.append(word)
        count = self.count("input_audio_buffer.speech_started") + 1
        await self.say(tone(HALF_MS, pitch_of(word)))
        if heard:
            await self.until("input_audio_buffer.speech_started", count)

    async def nobody_speaks(self) -> None:
        """As the server sees it: it knows best how far its answer has been played."""
        await self.until_true(lambda: self._floor == "open", "an open floor")

    @property
    def _floor(self) -> str:
        told = self.all("voxtral_voice.floor")
        return told[-1]["state"] if told else "open"

    async def end_word(self) -> None:
        await self.say(tone(TONE_MS - HALF_MS, pitch_of(self.words[-1])))
        await self.say(silence(SILENCE_MS))

    async def say_word(self, word: str, *, heard: bool = True) -> None:
        await self.begin_word(word, heard=heard)
        await self.end_word()

    async def ask(self, word: str) -> Event:
        """Returns the response to it."""
        count = self.count("response.done") + 1
        await self.say_word(word)
        return await self.response(count)

    async def response(self, count: int) -> Event:
        """The so-manieth, at its end."""
        response: Event = (await self.until("response.done", count))["response"]
        return response

    # --- what it knows ------------------------------------------------------------------------------------------

    @property
    def understood(self) -> list[str]:
        """Words that it was told were understood."""
        told = self.all("conversation.item.input_audio_transcription.completed")
        return [event["transcript"].strip(" .") for event in told]

    @property
    def not_understood(self) -> int:
        """Turns of which it was told that their words were lost."""
        return self.count("conversation.item.input_audio_transcription.failed")

    def said_in(self, response_id: str) -> str:
        deltas = self.all("response.output_audio_transcript.delta")
        return "".join(event["delta"] for event in deltas if event["response_id"] == response_id)

    # --- the connection -----------------------------------------------------------------------------------------

    def begin_listening(self) -> None:
        self._listening.append(asyncio.create_task(self.listen()))

    async def lost(self) -> None:
        """It has seen that the connection is gone."""
        async with asyncio.timeout(PATIENCE_S):
            while self.hung_up is None:
                self._changed.clear()
                await self._changed.wait()

    async def resume(self, url: str | None = None) -> Event:
        """Over a new connection, to another address if one is given. Returns its greeting."""
        session = (self.all("session.created") + self.all("session.updated"))[-1]["session"]
        resume = (self.greetings[-1]["session"] if self.greetings else session)["voxtral_voice"]["resume"]
        headers = {TOKEN_HEADER: resume["token"], AFTER_HEADER: self._last_event_id()}
        self._url = url or self._url
        self.socket = await _connected(self._url, additional_headers=headers)
        self.hung_up = None
        greeting: Event = orjson.loads(await self.socket.recv())
        self.greetings.append(greeting)
        for frame in self._sent[greeting["session"]["voxtral_voice"]["resume"]["received"] :]:
            await self.socket.send(frame)
        self.begin_listening()
        return greeting

    def abandon(self) -> None:
        """The connection is forgotten, without a word to the other side."""
        self._abandoned.append(self.socket)
        self._listening.pop().cancel()
        self.hung_up = (1006, "")

    async def asks_for_much(self) -> None:
        """More than buffers hold, of what it does not read."""
        content = [{"type": "input_text", "text": "x" * LARGE}]
        item = {"id": "big", "type": "message", "role": "system", "content": content}
        await self.send("conversation.item.create", item=item)
        for _ in range(RETRIEVED):
            await self.send("conversation.item.retrieve", item_id="big")

    def _last_event_id(self) -> str:
        last: str = self.events[-1]["event_id"]
        return last

    async def leave(self) -> None:
        with suppress(WebSocketException, OSError):
            await self.socket.close()
        for socket in self._abandoned:
            socket.transport.abort()
        _, late = await asyncio.wait(self._listening, timeout=PATIENCE_S)
        assert not late, "a connection does not end"


async def _connected(url: str, **options: Any) -> ClientConnection:
    address = url.replace("http", "ws", 1) + "/v1/realtime"
    return await connect(address, compression=None, max_size=None, proxy=None, close_timeout=2, **options)


@asynccontextmanager
async def talking(url: str, *, resumes: bool = False, finished: bool = True) -> AsyncIterator[Talker]:
    """One session, over as many connections as it takes. All of its events are judged in the end, as if they had come
    over one: their shape, their order, and that none came twice."""
    talker = Talker(await _connected(url), url, resumes=resumes)
    talker.begin_listening()
    try:
        await talker.until("session.created")
        await talker.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        await talker.update(voxtral_voice={"events": True, **({"resume": True} if resumes else {})})
        yield talker
    finally:
        await talker.leave()
    order.check(read(talker.frames, ours=True), finished=finished)
