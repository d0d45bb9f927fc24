"""A chat server with a will of its own: as strict about what it is sent as the strictest, as odd in what it sends.

Knows: OpenAI's chat format, the ways in which servers send calls, which fields some refuse. Does not know: our engine.

Asked for the weather of places with a tool at hand it says a few words and calls the tool once for each place; an
output it says aloud. `form` is the way in which it sends calls.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.engines.odd_server import OddServer, Request, json_answer, odd_server, stream

Delta = dict[str, Any]
Call = tuple[str, str, str]
"""id, name, arguments."""
Form = Callable[[Sequence[Call]], Iterator[list[Delta]]]
"""The `tool_calls` of each chunk."""

WORDS: Final = "One moment."
FIELDS: Final = frozenset(
    "model messages stream stream_options max_tokens max_completion_tokens".split()
    + "tools tool_choice parallel_tool_calls".split()
)


# --- the ways of sending calls ------------------------------------------------------------------------------------


def in_pieces(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    """As OpenAI does."""
    for index, (call_id, name, arguments) in enumerate(calls):
        yield [{"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}]
        for i in range(0, len(arguments), 5):
            yield [{"index": index, "function": {"arguments": arguments[i : i + 5]}}]


def at_once(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    yield [{"index": i, "id": c, "function": {"name": n, "arguments": a}} for i, (c, n, a) in enumerate(calls)]


def index_zero(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    for call_id, name, arguments in calls:
        yield [{"index": 0, "id": call_id, "function": {"name": name, "arguments": arguments}}]


def bare(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    """Neither index nor id."""
    yield [{"function": {"name": name, "arguments": arguments}} for _, name, arguments in calls]


def empty_ids(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    for index, (_, name, arguments) in enumerate(calls):
        yield [{"index": index, "id": "", "type": "function", "function": {"name": name, "arguments": arguments}}]


def objects(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    for index, (call_id, name, arguments) in enumerate(calls):
        yield [{"index": index, "id": call_id, "function": {"name": name, "arguments": json.loads(arguments)}}]


def name_each_time(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    for index, (call_id, name, arguments) in enumerate(calls):
        for i in range(0, len(arguments), 5):
            yield [{"index": index, "id": call_id, "function": {"name": name, "arguments": arguments[i : i + 5]}}]


def in_turns(calls: Sequence[Call]) -> Iterator[list[Delta]]:
    yield [{"index": i, "id": c, "function": {"name": n, "arguments": ""}} for i, (c, n, _) in enumerate(calls)]
    for at in range(0, max(len(arguments) for *_, arguments in calls), 5):
        yield [{"index": i, "function": {"arguments": a[at : at + 5]}} for i, (*_, a) in enumerate(calls)]


FORMS: Final[tuple[Form, ...]] = (
    in_pieces,
    at_once,
    index_zero,
    bare,
    empty_ids,
    objects,
    name_each_time,
    in_turns,
)


# --- the server ---------------------------------------------------------------------------------------------------


@dataclass
class ChatServer:
    """refuses: fields that it does not know. whole: never a stream."""

    form: Form = in_pieces
    refuses: frozenset[str] = frozenset()
    sees: bool = True
    whole: bool = False
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    """Of the requests, refused ones too."""
    _calls: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OddServer]:
        async with odd_server(self._respond) as server:
            yield server

    async def _respond(self, request: Request, writer: asyncio.StreamWriter) -> None:
        body = request.json()
        self.bodies.append(body)
        refusal = self._refusal(body)
        if refusal is not None:
            await json_answer({"error": {"message": refusal, "type": "invalid_request_error"}}, 400)(request, writer)
            return
        text, calls = self._answer(body)
        answer = self._all_of(text, calls) if self.whole else self._streamed(body, text, calls)
        await answer(request, writer)

    def _answer(self, body: Mapping[str, Any]) -> tuple[str, list[Call]]:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return f"It is {last['content']}.", []
        places = re.findall(r"[A-Z]\w+", str(last["content"]).partition(" in ")[2])
        if not body.get("tools") or not places:
            return "I see.", []
        name = body["tools"][0]["function"]["name"]
        return WORDS, [self._call(name, place) for place in places]

    def _call(self, name: str, place: str) -> Call:
        self._calls += 1
        return f"server{self._calls}", name, json.dumps({"location": place})

    def _all_of(self, text: str, calls: Sequence[Call]) -> Any:
        (entries,) = at_once(calls) if calls else ([],)
        message = {"role": "assistant", "content": text, "tool_calls": entries or None}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return json_answer({"choices": [choice], "usage": USAGE})

    def _streamed(self, body: Mapping[str, Any], text: str, calls: Sequence[Call]) -> Any:
        deltas: list[Delta] = [{"role": "assistant", "content": ""}, {"content": text}]
        deltas += [{"tool_calls": entries} for entries in (self.form(calls) if calls else ())]
        chunks: list[object] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append({"choices": [], "usage": USAGE})
        return stream(*(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n")

    # --- what it refuses ----------------------------------------------------------------------------------------

    def _refusal(self, body: Mapping[str, Any]) -> str | None:
        unknown = [name for name in body if name in self.refuses or name not in FIELDS]
        if unknown:
            return f"Extra inputs are not permitted: {unknown[0]}"
        return next(filter(None, (self._fault(m) for m in body["messages"])), None) or order_fault(body["messages"])

    def _fault(self, message: Mapping[str, Any]) -> str | None:
        content, calls = message["content"], message.get("tool_calls")
        if isinstance(content, list) and not self.sees:
            return "This model does not take image input."
        if calls and not all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls):
            return "Arguments have to be a JSON object."
        if message["role"] == "tool" and not isinstance(message["tool_call_id"], str):
            return "A tool message needs a tool_call_id."
        return "Content may only be null beside tool_calls." if content is None and not calls else None


USAGE: Final = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 5},
}


def order_fault(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Every call is followed by its outputs, and by nothing else before them."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            waiting.remove(message["tool_call_id"])
        elif waiting:
            break
        else:
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
    if waiting:
        return "An assistant message with 'tool_calls' must be followed by tool messages."
    return "The last message must be from the user or a tool." if messages[-1]["role"] == "assistant" else None
