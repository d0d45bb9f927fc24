"""One utterance on one connection: sound in, words out, watched.

Knows: when words are late. Does not know: what came before, what to do when it fails (`realtime`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from voxtral_voice.engines.vllm import realtime_wire as wire
from voxtral_voice.engines.vllm.hearing import TAIL_TOKENS, TOKEN_MS, Hearing
from voxtral_voice.engines.vllm.sockets import Socket
from voxtral_voice.errors import EngineError

HANG_S: Final = 3.0
"""Without a token that is due: 37 of them in a row. Silence is no reason, for it has tokens too, empty ones; a server
that is merely slow makes one now and then."""
FINISH_S: Final = 5.0
"""For the words to the end, and real time for what is still behind: slower than that is too slow to talk with."""
PIECE_BYTES: Final = 32_000
"""A second: what is sent at once of a turn that is sent again."""


class Utterance:
    def __init__(self, socket: Socket, delay_ms: int, hang_s: float | None = None) -> None:
        self.socket = socket
        self.hearing = Hearing(delay_ms)
        self._hang_s = HANG_S if hang_s is None else hang_s
        self._finish_s = FINISH_S + self._hang_s - HANG_S
        self.finishing = False
        """The server was told that the utterance is over."""
        self._sent = 0
        self._heard_at = 0.0
        """When the last token came that was due, or became due."""

    async def say(self, pcm: bytearray) -> None:
        """pcm: all of the utterance so far; what is new of it is sent. Raises EngineError."""
        while self._sent < len(pcm):
            if self._sent == 0:
                await self.socket.say(wire.START)
            piece = bytes(pcm[self._sent : self._sent + PIECE_BYTES])
            await self.socket.say(wire.append(piece))
            self._sent += len(piece)
            waited = self.hearing.behind > 0
            self.hearing.sent(piece)
            self._heard_at = self._heard_at if waited else _now()
            await self.listen(0.0)

    async def listen(self, patience_s: float) -> None:
        """Take what came; for so long, wait for what is due. Raises EngineError, also when nothing comes any more."""
        until = _now() + patience_s
        while (frame := await self.socket.hear(max(0.0, until - _now()) if self.hearing.behind else 0.0)) is not None:
            if isinstance(frame, wire.Done):
                raise self.socket.error("ended an utterance by itself")
            self._take(frame)
        if self.hearing.behind and _now() - self._heard_at > self._hang_s:
            raise self._hung()

    async def finish(self) -> wire.Done:
        """The utterance is over: all its words. The connection is free then. When this was cancelled it may be
        called again, and goes on. Raises EngineError."""
        if not self.finishing:
            await self.socket.say(wire.FINISH)
            self.hearing.finished()
            self.finishing = True
        limit_s = self._finish_s + self.hearing.behind * TOKEN_MS / 1000
        try:
            async with asyncio.timeout(limit_s):
                while (frame := await self.socket.hear(self._hang_s)) is not None:
                    if isinstance(frame, wire.Done):
                        return self._whole(frame)
                    self._take(frame)
        except TimeoutError:
            raise self.socket.hung(f"had not heard all after {limit_s:.0f} s") from None
        raise self._hung()

    def _whole(self, done: wire.Done) -> wire.Done:
        """The model may have come to its own end; what is sent to this connection next would then be lost."""
        if self.hearing.behind > TAIL_TOKENS:
            raise self.socket.error("ended an utterance before its end")
        return done

    def _take(self, frame: wire.Frame) -> None:
        if isinstance(frame, wire.Delta):
            self.hearing.heard(frame.text)
            self._heard_at = _now()
        if self.hearing.endless:
            raise self.socket.error("sent more words than there was sound")

    def _hung(self) -> EngineError:
        return self.socket.hung(f"was sent sound and said nothing for {self._hang_s:g} s")


def _now() -> float:
    return asyncio.get_running_loop().time()
