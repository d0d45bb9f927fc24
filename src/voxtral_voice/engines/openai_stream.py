"""A streamed answer, chunk by chunk: server-sent events, and what the chunks of OpenAI's text endpoints have in common.

Knows: events, their end, error events, a whole answer instead of a stream. Does not know: what a chunk says beyond its
text and the reason of its end, HTTP's failures (`openai_http`).

The parser takes what servers really send: events without blank lines between them, with or without a space behind
"data:", comments, chunks without choices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

from voxtral_voice.engines.openai_http import Answer, loaded, message_in, size_of

MAX_LINE_BYTES: Final = 1024 * 1024
DONE: Final = b"[DONE]"
DRAIN_S: Final = 0.2


async def chunks(answer: Answer, *, done_only: bool = False) -> AsyncGenerator[Mapping[str, Any], None]:
    """Until the end of the answer: `[DONE]`, or a chunk with a reason and then the end of the body. done_only: the
    first alone. Raises EngineError for an error event, and when the answer breaks off."""
    if answer.kind == "application/json":
        yield _sound(await answer.json(), answer)
        return
    events, pieces, ended = Events(), answer.pieces(), False
    async for piece in pieces:
        for event in _read(events, piece, answer):
            if event == DONE:
                await _drain(pieces)
                return
            chunk = _chunk(event, answer)
            ended = ended or reason_of(chunk) is not None
            yield _sound(chunk, answer)
    if done_only or not ended:
        raise answer.broken_off()


class Events:
    """The data of server-sent events (HTML Living Standard, 9.2), one line each, from pieces cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def unfinished(self) -> int:
        """Bytes of the line that has not ended."""
        return len(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [data for line in lines if line.startswith(b"data:") and (data := line[5:].strip())]


# --- chunks -------------------------------------------------------------------------------------------------------


def part_of(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """The delta of a chunk of a stream, or the message of a whole answer."""
    choice = _choice(chunk)
    part = choice.get("delta") or choice.get("message")
    return part if isinstance(part, dict) else {}


def text_of(content: object) -> str:
    """Of a text, or of its parts (Mistral's servers think in some of them)."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(map(text_of, (part.get("text") for part in parts)))
    return content if isinstance(content, str) else ""


def reason_of(chunk: Mapping[str, Any]) -> str | None:
    """Of the end, if the answer ends here."""
    reason = _choice(chunk).get("finish_reason")
    return reason if isinstance(reason, str) and reason else None


def _choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


# --- reading ------------------------------------------------------------------------------------------------------


def _read(events: Events, piece: bytes, answer: Answer) -> list[bytes]:
    found = events.feed(piece)
    if events.unfinished > MAX_LINE_BYTES:
        raise answer.error(f"sent a line of more than {MAX_LINE_BYTES} bytes")
    return found


def _chunk(event: bytes, answer: Answer) -> Mapping[str, Any]:
    try:
        chunk = loaded(event)
    except ValueError as error:
        raise answer.error("sent an event that is not JSON", size_of(event)) from error
    return chunk if isinstance(chunk, dict) else {}


def _sound(chunk: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    if (failure := message_in(chunk)) is not None:
        raise answer.error("failed at the answer", f": {failure}")
    return chunk


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, which is due at once, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass
