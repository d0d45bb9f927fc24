"""One call, as every client's program here makes it: what is said, when, and what the test is told of it.

Knows: a microphone's pace, what has been played by now, the plan of the call. Does not know: any client, nor our own
code; it runs in each client's own environment.

A program hands over what its client brings (`audio`, `over`, `interrupted`), sends what the microphone hears, and
tells what the client tells its user: one JSON object a line. node/call.mjs is the same for Node.
"""

from __future__ import annotations

import array
import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

RATE_HZ: Final = 24_000
CHUNK_S: Final = 0.02
CHUNK_BYTES: Final = 960
PATIENCE_S: Final = 40.0
"""For one answer, on a busy machine."""
CUT_AFTER_S: Final = 2.5
"""The story is interrupted when so much of it has been heard."""
WRITTEN: Final = "What did I say first?"

Write = Callable[[str], Awaitable[object]]
Press = Callable[[bytes], Awaitable[object]]


class Call:
    """clips: folder with the user's words, NAME.pcm (16-bit mono, 24 kHz). out: where the answers go, alike."""

    def __init__(self, clips: Path, out: Path) -> None:
        self._clips, self._out = clips, out
        self._saying = b""
        noise = random.Random(0)
        self._room = array.array("h", (noise.randint(-10, 10) for _ in range(CHUNK_BYTES // 2))).tobytes()
        """Digital silence comes from no microphone."""
        self.history: list[dict[str, str]] = []
        """Of the client, as it was told last: role and text."""
        self._muted = False
        self._changed = asyncio.Event()
        self._sound, self._plays_until = bytearray(), 0.0
        self._over = self._cut = False

    # --- what the client brings

    def audio(self, pcm: bytes) -> None:
        self._sound += pcm
        self._plays_until = max(time.monotonic(), self._plays_until) + len(pcm) / 2 / RATE_HZ
        self._changed.set()

    def over(self) -> None:
        """A response has ended. One that only calls a tool has no sound, and another follows."""
        self._over = self._over or bool(self._sound)
        self._changed.set()

    def interrupted(self) -> None:
        """What has not been played yet is not to be played any more."""
        self._cut = bool(self._sound)
        self._plays_until = time.monotonic()
        self._changed.set()

    def tell(self, kind: str, **fields: Any) -> None:
        print(json.dumps({"kind": kind, **fields}), flush=True)

    def weather(self, city: str) -> str:
        """The tool."""
        self.tell("tool", city=city)
        return "warm and sunny"

    # --- the user

    async def microphone(self) -> AsyncIterator[bytes]:
        """20 ms at a time, at the pace of speech, for ever."""
        begin, sent = time.monotonic(), 0
        while True:
            sent += 1
            await asyncio.sleep(begin + sent * CHUNK_S - time.monotonic())
            if self._muted:
                continue
            words, self._saying = self._saying[:CHUNK_BYTES], self._saying[CHUNK_BYTES:]
            if words and not self._saying:
                self._changed.set()
            yield words + self._room[len(words) :]

    async def run(self, write: Write, press: Press | None = None) -> None:
        """A question, one that needs a tool, an interruption, and a question that is written.

        press: the microphone is off; says this with a button, where a client can.
        """
        await self._answered("question", self._say("question"))
        await self._answered("weather", self._say("weather"))
        await self._say("story")
        await self._until(lambda: bool(self._sound), "the story began")
        await asyncio.sleep(CUT_AFTER_S)
        speaking = asyncio.create_task(self._say("repeat"))
        await self._until(lambda: self._cut or self._over, "the story stopped")
        self._keep("story")
        await self._answered("repeat", speaking)
        await self._answered("written", write(WRITTEN))
        if press is not None:
            self._muted = True
            await self._answered("pressed", press((self._clips / "question.pcm").read_bytes()))

    async def greeted(self) -> None:
        """The agent speaks first."""
        await self._until(lambda: self._over, "the greeting")
        await asyncio.sleep(max(0.0, self._plays_until - time.monotonic()))
        self._forget()

    async def _say(self, clip: str) -> None:
        self._saying += (self._clips / f"{clip}.pcm").read_bytes()
        await self._until(lambda: not self._saying, "the words were spoken")

    async def _answered(self, name: str, asking: Awaitable[object]) -> None:
        await asking
        await self._until(lambda: self._over, f"{name} was answered")
        await asyncio.sleep(max(0.0, self._plays_until - time.monotonic()))
        self._keep(name)

    def _keep(self, name: str) -> None:
        file = self._out / f"{name}.pcm"
        file.write_bytes(self._sound)
        self.tell("answer", name=name, file=str(file))
        self._forget()

    def _forget(self) -> None:
        self._sound, self._plays_until = bytearray(), 0.0
        self._over = self._cut = False

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise SystemExit(f"{PATIENCE_S:g} s went by before {what}") from None


def arguments() -> tuple[str, Call]:
    """URL (http://host:port), and the call, from the command line: URL CLIPS OUT."""
    url, clips, out = sys.argv[1:4]
    return url, Call(Path(clips), Path(out))
