"""One turn on its way into a transcriber that hears it while it is said.

Knows: the turn's audio so far, an engine's stream and its faults. Does not know: attempts, events, where audio comes
from.

All audio of the turn is kept until it is over: an engine's stream that has failed, or was stopped while it was pushed,
is closed, and the next one gets everything from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import numpy as np

from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript, TranscriptStream
from voxtral_voice.server.runtime import ENGINE_FAULTS

CLOSE_S: Final = 5.0


class TurnStream:
    """begin: a new stream of the engine. start_sample: of the turn. call_s: for one call of the engine; a push has the
    length of its audio on top. Whoever calls `push`, `words` or `flush` holds
    `place`."""

    def __init__(self, begin: Callable[[], TranscriptStream], start_sample: int, call_s: float) -> None:
        self.place = asyncio.Semaphore(1)
        """The engine takes one call at a time; who asked first comes first."""
        self.taken_to = start_sample
        """Behind the audio that was added."""
        self._begin = begin
        self._call_s = call_s
        self._audio: list[Samples] = []  # bound: the longest turn
        self._pushed = 0
        """Pieces of it that the engine's stream has."""
        self._engine: TranscriptStream | None = None
        self._words = ""
        self._over = asyncio.Event()

    def add(self, audio: Samples) -> None:
        """What was said behind `taken_to`."""
        if len(audio):
            self._audio.append(audio)
            self.taken_to += len(audio)

    async def push(self) -> None:
        """All that was added. Raises what the engine raises, or TimeoutError."""
        await self._caught_up()

    async def words(self) -> str | None:
        """So far; None once the turn is over, as nobody waits for them. Raises as `push` does."""
        if self.over:
            return None
        await self._caught_up()
        return self._words

    async def flush(self) -> Transcript:
        """Of all that was added, as if the turn ended here. Raises as `push` does. May be cancelled."""
        engine = await self._caught_up()
        try:
            async with asyncio.timeout(self._call_s):
                return await engine.flush()
        except ENGINE_FAULTS:
            await self._close()
            raise

    async def _caught_up(self) -> TranscriptStream:
        """It has all that was added."""
        caught_up = False
        try:
            engine = await self._push()
            caught_up = True
            return engine
        finally:
            if not caught_up:
                await self._close()

    async def _push(self) -> TranscriptStream:
        if self._engine is None:
            self._engine, self._pushed, self._words = self._begin(), 0, ""
        engine, pieces = self._engine, self._audio[self._pushed :]
        if pieces:
            audio = np.concatenate(pieces)
            async with asyncio.timeout(self._call_s + len(audio) / LISTEN_RATE_HZ):
                self._words = await engine.push(audio)
            self._pushed += len(pieces)
        return engine

    # --- its end ------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        """The turn is over: nothing is asked for any more."""
        self._over.set()

    async def keep(self) -> None:
        """Until all that was asked for is done after the end; or until this is cancelled."""
        try:
            await self._over.wait()
            await self.place.acquire()
        finally:
            await self._close()

    async def _close(self) -> None:
        """Whatever that raises: nobody has a use for it any more."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(*ENGINE_FAULTS):
                async with asyncio.timeout(CLOSE_S):
                    await engine.aclose()
