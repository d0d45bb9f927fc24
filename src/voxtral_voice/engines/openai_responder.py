"""Responder behind any URL that speaks OpenAI's `/chat/completions`, streamed.

Knows: that request, server-sent events. Does not know: HTTP's failures (`openai_http`), sessions.

Sampling is the server's own. The parser takes what servers really send: events without blank lines between them, with
or without a space behind "data:", comments, chunks without choices, thoughts beside the content (which are not spoken),
and a whole answer instead of a stream. It insists on an end, `[DONE]` or a finish reason: without one the answer broke
off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final

import orjson

from voxtral_voice.engines.base import NO_TOOLS, Message, Piece, Tools
from voxtral_voice.engines.openai_http import Answer, OpenAIServer, message_in, sentence
from voxtral_voice.engines.remote import Remote

PATH: Final = "/chat/completions"
MAX_LINE_BYTES: Final = 1024 * 1024
DONE: Final = b"[DONE]"
DRAIN_S: Final = 0.2
INSTRUCTIONS: Final = Message(
    "system", "You are a voice assistant. Answer in one to three short spoken sentences, without lists or markdown."
)
"""Unless the session has its own."""


class OpenAIResponder:
    def __init__(self, remote: Remote) -> None:
        self._server = OpenAIServer("responder", remote)

    @property
    def name(self) -> str:
        return self._server.name

    async def start(self) -> None:
        await self._server.start()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Piece, None]:
        request: dict[str, object] = {"model": self._server.model, "messages": _shown(messages), "stream": True}
        if max_tokens is not None:
            request["max_tokens"] = max_tokens
        async with self._server.post(PATH, orjson.dumps(request)) as answer:
            if answer.kind == "application/json":
                for text in self._texts(answer, await answer.json()):
                    yield text
                return
            async with aclosing(self._stream(answer)) as chunks:
                async for chunk in chunks:
                    for text in self._texts(answer, chunk):
                        yield text

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        """A request would cost its server a whole prompt for nothing that can be kept."""
        return None

    async def _stream(self, answer: Answer) -> AsyncGenerator[Mapping[str, Any], None]:
        """The chunks until the end of the answer. Raises EngineError when it breaks off."""
        events, pieces, ended = Events(), answer.pieces(), False
        async for piece in pieces:
            for event in self._read(events, piece, answer):
                if event == DONE:
                    await _drain(pieces)
                    return
                chunk = self._chunk(event, answer)
                ended = ended or _reason(chunk) is not None
                yield chunk
        if not ended:
            raise self._server.error(f"The answer of {answer.url} broke off in the middle.")

    def _read(self, events: Events, piece: bytes, answer: Answer) -> list[bytes]:
        found = events.feed(piece)
        if events.unfinished > MAX_LINE_BYTES:
            raise self._server.error(f"{answer.url} sent a line of more than {MAX_LINE_BYTES} bytes.")
        return found

    def _chunk(self, event: bytes, answer: Answer) -> Mapping[str, Any]:
        try:
            chunk = orjson.loads(event)
        except orjson.JSONDecodeError as error:
            shown = repr(event[:80].decode(errors="replace"))
            raise self._server.error(f"{answer.url} sent an event that is not JSON: {shown}.") from error
        return chunk if isinstance(chunk, dict) else {}

    def _texts(self, answer: Answer, chunk: Mapping[str, Any]) -> Iterator[str]:
        """Raises EngineError for an error event and for an answer that is withheld."""
        if (failure := message_in(chunk)) is not None:
            raise self._server.error(sentence(f"{answer.url} failed at the answer: {failure}"))
        if text := _text(chunk):
            yield text
        if _reason(chunk) == "content_filter":
            raise self._server.refused(f"{answer.url} withholds the answer (content_filter).")


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


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, which is due at once, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass


def _shown(messages: Sequence[Message]) -> list[dict[str, str]]:
    head = [] if messages and messages[0].role == "system" else [INSTRUCTIONS]
    return [{"role": message.role, "content": message.text} for message in (*head, *messages)]


def _choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


def _text(chunk: Mapping[str, Any]) -> str:
    """Of a chunk of a stream, or of a whole answer."""
    choice = _choice(chunk)
    part = choice.get("delta") or choice.get("message") or {}
    content = part.get("content") if isinstance(part, dict) else None
    return content if isinstance(content, str) else ""


def _reason(chunk: Mapping[str, Any]) -> str | None:
    reason = _choice(chunk).get("finish_reason")
    return reason if isinstance(reason, str) and reason else None
