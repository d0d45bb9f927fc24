"""Responder behind any URL that speaks OpenAI's `/chat/completions`, streamed.

Knows: that request's options and what to do without one that a server refuses, what a chunk says. Does not know: how
messages and tools are written (`openai_chat`), how calls are put together (`openai_calls`), events (`openai_stream`),
HTTP's failures (`openai_http`), sessions.

Sampling is the server's own unless it is given. Thoughts beside the content are not spoken. An answer needs an end,
`[DONE]` or a finish reason: without one it broke off.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from voxtral_voice.engines.base import NO_TOOLS, Finish, Message, Piece, Tools, Usage
from voxtral_voice.engines.openai_calls import Calls
from voxtral_voice.engines.openai_chat import messages_json, tool_fields
from voxtral_voice.engines.openai_http import Answer, OpenAIServer
from voxtral_voice.engines.openai_stream import chunks, part_of, reason_of, text_of
from voxtral_voice.engines.prompt import call_ids
from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import EngineError, RequestError

PATH: Final = "/chat/completions"
MAX_CALLS_CHARS: Final = 1024 * 1024
"""Of all tool calls of one answer: a server that sends more does not come to an end."""
MAX_NAME_CHARS: Final = 256
"""Of a tool: no API takes one that is longer."""
DISPENSABLE: Final = ("stream_options", "parallel_tool_calls", "max_tokens")
"""Fields that some servers refuse and that an answer can do without; in place of `max_tokens` goes its newer name."""
NEW_LIMIT: Final = "max_completion_tokens"
NOTHING: Final[Mapping[str, object]] = {}
_OF_PICTURES: Final = re.compile(r"image|picture|vision|multi-?modal", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One way to ask."""

    refused: frozenset[str] = frozenset()
    """The dispensable fields that the server does not take."""
    pictures: bool = True


class OpenAIResponder:
    listens = False

    def __init__(
        self,
        remote: Remote,
        *,
        written: Callable[..., list[dict[str, object]]] = messages_json,
        sampling: Mapping[str, object] = NOTHING,
    ) -> None:
        """written: the messages as the server wants them, as `messages_json`. sampling: fields of every request."""
        self.server = OpenAIServer("responder", remote)
        self._written = written
        self._sampling = sampling
        self._refused: frozenset[str] = frozenset()
        """What the server was found not to take."""
        self._counts = False
        """The server is known to take `stream_options`."""

    @property
    def name(self) -> str:
        return self.server.name

    async def start(self) -> None:
        await self.server.start()

    async def aclose(self) -> None:
        await self.server.aclose()

    async def respond(
        self,
        messages: Sequence[Message],
        *,
        language: str | None,  # noqa: ARG002
        max_tokens: int | None,
        tools: Tools = NO_TOOLS,
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. Calls that come although nothing may be called are not passed on."""
        reading = _Reading(Calls(call_ids(messages)) if tools.may_call else None)
        async with AsyncExitStack() as stack:
            answer = await self._asked(stack, messages, {**_limit(max_tokens), **tool_fields(tools)})
            async with aclosing(chunks(answer)) as found:
                async for chunk in found:
                    for piece in self._pieces(answer, chunk, reading):
                        yield piece
        for piece in reading.end():
            yield piece

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:  # noqa: ARG002
        """A request would cost its server a whole prompt for nothing that can be kept."""
        return None

    # --- asking -------------------------------------------------------------------------------------------------

    async def _asked(self, stack: AsyncExitStack, messages: Sequence[Message], options: Mapping[str, object]) -> Answer:
        """Asked again with less where the server refuses what can be done without; it is remembered. Pictures are tried
        each time: it may be a single one that is refused."""
        wishes = {"stream_options": {"include_usage": True}, **self._sampling, **options}
        way = _Asked(self._refused)
        while True:
            request = self._request(messages, wishes, way)
            try:
                answer = await stack.enter_async_context(self.server.post(PATH, orjson.dumps(request)))
            except EngineError as refusal:
                less = self._less(way, request, refusal, shown=way.pictures and any(m.pictures for m in messages))
                if less is None:
                    raise
                way = less
            else:
                if way.pictures:  # else it may have been them
                    self._refused = way.refused
                self._counts = self._counts or "stream_options" in request
                return answer

    def _request(self, messages: Sequence[Message], wishes: Mapping[str, object], way: _Asked) -> dict[str, object]:
        shown = self._written(messages, pictures=way.pictures)
        request: dict[str, object] = {"model": self.server.model, "messages": shown, "stream": True}
        request |= {name: wish for name, wish in wishes.items() if name not in way.refused}
        if "max_tokens" in way.refused and "max_tokens" in wishes:
            request[NEW_LIMIT] = wishes["max_tokens"]
        return request

    def _less(self, way: _Asked, request: Mapping[str, object], refusal: EngineError, *, shown: bool) -> _Asked | None:
        """What to try next; None: nothing. shown: there are pictures in the request."""
        said = str(refusal)
        if shown and _OF_PICTURES.search(said):
            return replace(way, pictures=False)  # also when it says so with a status of 500
        if not isinstance(refusal, RequestError):
            return None
        at_fault = next((name for name in DISPENSABLE if name in request and _names(said, name)), None)
        if at_fault is None and not self._counts and "stream_options" in request:
            at_fault = "stream_options"
        if at_fault is not None:
            return replace(way, refused=way.refused | {at_fault})
        return replace(way, pictures=False) if shown else None

    # --- reading ------------------------------------------------------------------------------------------------

    def _pieces(self, answer: Answer, chunk: Mapping[str, Any], reading: _Reading) -> list[Piece]:
        """Raises EngineError for an answer that is withheld, or that does not come to an end."""
        pieces = reading.of(chunk)
        if reading.calls_size > MAX_CALLS_CHARS:
            raise answer.error(f"calls tools with more than {MAX_CALLS_CHARS} characters")
        if reading.longest_name > MAX_NAME_CHARS:
            raise answer.error(f"calls a tool by a name of more than {MAX_NAME_CHARS} characters")
        if reading.reason == "content_filter":
            did = "withholds the answer (content_filter)"
            raise self.server.refused(f"{answer.url} {did}.", did)
        return pieces


class _Reading:
    """What one answer's chunks say, taken together. calls: None = they are not wanted."""

    def __init__(self, calls: Calls | None) -> None:
        self._calls = calls
        self._usage: Usage | None = None
        self.reason: str | None = None

    @property
    def calls_size(self) -> int:
        return self._calls.size if self._calls else 0

    @property
    def longest_name(self) -> int:
        return self._calls.longest_name if self._calls else 0

    def of(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Pieces that can go out now."""
        self.reason = reason_of(chunk) or self.reason
        self._usage = _usage(chunk) or self._usage
        part = part_of(chunk)
        text = text_of(part.get("content"))
        pieces: list[Piece] = [text] if text else []
        return [*pieces, *self._calls.take(part.get("tool_calls"))] if self._calls else pieces

    def end(self) -> list[Piece]:
        cut_off = self.reason == "length"
        rest = self._calls.rest(cut_off=cut_off) if self._calls else []
        return [*rest, Finish("length" if cut_off else "stop", self._usage)]


def _limit(max_tokens: int | None) -> dict[str, object]:
    return {} if max_tokens is None else {"max_tokens": max_tokens}


def _names(refusal: str, field: str) -> bool:
    """The refusal is about this field. `max_tokens` too large, says many a server; that it has another name, few."""
    return (NEW_LIMIT if field == "max_tokens" else field) in refusal


def _usage(chunk: Mapping[str, Any]) -> Usage | None:
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return None if read is None or written is None else Usage(read, written, min(cached or 0, read))


def _count(content: object) -> int | None:
    return content if isinstance(content, int) and content >= 0 else None
