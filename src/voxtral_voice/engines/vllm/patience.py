"""A limit to the waiting for a server that streams.

Knows: how long the first piece and each next one may take. Does not know: what comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.errors import EngineError

FIRST_S: Final = 8.0
"""Until an answer begins: a slow GPU needs half a second for a long prompt and half a minute of sound, and has others
before. A session waits 20 s for an engine; this is what went wrong, said by the one who knows."""
STEP_S: Final = 4.0
"""Between two pieces: a hundred tokens of a slow GPU."""

T = TypeVar("T")


def nobody() -> None:
    """Looks after the server."""


async def patient(
    pieces: AsyncGenerator[T, None], server: OpenAIServer, suspect: Callable[[], None] = nobody
) -> AsyncGenerator[T, None]:
    """The same pieces. Raises EngineError when one is late, and calls `suspect`; in the end `pieces` is closed."""
    limit_s = FIRST_S
    async with aclosing(pieces):
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                suspect()
                raise _late(server, limit_s) from None
            yield piece
            limit_s = STEP_S


def _late(server: OpenAIServer, limit_s: float) -> EngineError:
    did = f"was silent for {limit_s:g} s"
    return server.error(f"{server.url} {did}: it hangs, or has too much to do.", did)
