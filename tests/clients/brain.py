"""A language model that does as it is told: an OpenAI-compatible chat server whose answers follow from the words.

Knows: the chat completions API, streamed and whole; tools. Does not know: our server, voices, time. The rules of what
is answered are `answer`; they are simple enough to be foreseen by a test, also when the words were heard and not typed.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

MODEL: Final = "brain"
CITIES: Final = ("Paris", "Rome")
WEATHER: Final = "warm and sunny"
"""What the tests' tool gives back: words that are spoken as they are written."""
STORY: Final = (
    "Once upon a time there was a small house at the edge of the forest. "
    "An old man lived there with his dog and two grey cats. "
    "Every morning he walked down to the river and counted the boats. "
    "In the evening he told the animals what he had seen on the water."
)
"""Some 15 s when it is spoken."""
START_S: Final = 10.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    text: str
    calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as JSON text)."""


def answer(request: Mapping[str, Any]) -> Answer:
    """What the model says to these messages, and which tools it calls."""
    messages: list[Json] = request["messages"]
    if messages[0]["role"] == "system":  # the instructions; later ones are requests (pipecat sends what is typed so)
        messages = messages[1:]
    outputs = _outputs(messages)
    if outputs:
        return Answer(" ".join(f"The weather in {city} is {output}." for city, output in outputs))
    if not messages:
        return Answer("Hello, I am here.")
    words = _text(messages[-1])
    called = _called(request, words)
    if called:
        return Answer("Let me look. " if "look" in words.lower() else "", called)
    return Answer(_said_to(words.lower(), words, messages))


def _said_to(plain: str, words: str, messages: Sequence[Json]) -> str:
    if "story" in plain:
        return STORY
    if "repeat" in plain:
        return next((_text(m) for m in reversed(messages) if m["role"] == "assistant"), "I have said nothing.")
    if "first" in plain:
        return f"First you said: {next(_text(m) for m in messages if m['role'] == 'user')}"
    if "list" in plain:
        return " / ".join(f"{m['role']}: {_text(m)}" for m in messages)
    return f"You said: {words}"


def _called(request: Mapping[str, Any], words: str) -> tuple[tuple[str, str], ...]:
    """Asked for the weather it calls the first tool, once for each city; and when it has to."""
    names = [tool["function"]["name"] for tool in request.get("tools") or ()]
    choice = request.get("tool_choice", "auto")
    if not names or choice == "none":
        return ()
    forced = choice["function"]["name"] if isinstance(choice, dict) else names[0] if choice == "required" else None
    if forced is None and "weather" not in words.lower():
        return ()
    cities = [city for city in CITIES if city.lower() in words.lower()] or list(CITIES[:1])
    if request.get("parallel_tool_calls") is False:
        cities = cities[:1]
    return tuple((forced or names[0], json.dumps({"city": city})) for city in cities)


def _outputs(messages: Sequence[Json]) -> list[tuple[str, str]]:
    """(city, output) of the tools that were called last; clients give a text as it is, in quotes, or in an object."""
    cities = {
        call["id"]: json.loads(call["function"]["arguments"]).get("city", "nowhere")
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    found: list[tuple[str, str]] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        plain = re.search(r"[a-z][a-z ]*[a-z]", re.sub(r'"[^"]*":', "", _text(message)))
        found.append((cities[message["tool_call_id"]], plain[0] if plain else "unknown"))
    return found[::-1]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


# --- HTTP -----------------------------------------------------------------------------------------------------------


class Brain:
    """url: for `--responder-url`. requests: the bodies that came, oldest first."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Json] = []

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        asked: Json = await request.json()
        self.requests.append(asked)
        said = answer(asked)
        if not asked.get("stream"):
            return web.json_response(_whole(said))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in _chunks(said, asked):
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


def _whole(said: Answer) -> Json:
    calls = [_call(i, name, arguments) for i, (name, arguments) in enumerate(said.calls)]
    message = {"role": "assistant", "content": said.text or None, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {
        "id": "chat_1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        "usage": USAGE,
    }


def _chunks(said: Answer, asked: Mapping[str, Any]) -> Iterator[Json]:
    words = re.findall(r"\S+\s*", said.text)
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or len(words)
    yield _chunk({"role": "assistant", "content": ""})
    for word in words[:limit]:
        yield _chunk({"content": word})
    for i, (name, arguments) in enumerate(said.calls):
        yield _chunk({"tool_calls": [_call(i, name, "")]})
        for piece in (arguments[:5], arguments[5:]):
            yield _chunk({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
    yield _chunk({}, "tool_calls" if said.calls else "length" if limit < len(words) else "stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**_chunk({}), "choices": [], "usage": USAGE}


USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def _chunk(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def _call(index: int, name: str, arguments: str) -> Json:
    return {
        "index": index,
        "id": f"call_{threading.get_ident()}_{next(_NUMBERS)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_NUMBERS = _numbers()


@contextmanager
def thinking() -> Iterator[Brain]:
    """On a free port of this machine, in a thread of its own: the tests' own event loops come and go."""
    brain, started, loop = Brain(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with _served(brain):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert started.wait(START_S), "the scripted chat server did not start"
        yield brain
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        loop.close()


@asynccontextmanager
async def _served(brain: Brain) -> AsyncIterator[None]:
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_get("/v1/models", brain.models)
    app.router.add_post("/v1/chat/completions", brain.complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        brain.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield
    finally:
        await runner.cleanup()
