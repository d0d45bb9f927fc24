"""The remote responder against a real server of llama.cpp, with the small model of the embedded profile behind it.

The model knows nothing of tools, but the server holds it to their grammar: what comes over the wire is what llama.cpp
sends for any model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
import xllamacpp

from voxtral_voice.engines.base import NO_TOOLS, Call, CallPiece, Finish, Message, NamedTool, Picture, Piece, Tool, Tools
from voxtral_voice.engines.openai_responder import OpenAIResponder
from voxtral_voice.engines.remote import Remote

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

MODEL = "smollm2-135m-instruct-q4_1.gguf"
PLACE = '{"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}'
WEATHER = Tool("get_weather", "The weather in a city.", PLACE)
LIGHTS = Tool("set_lights", "Turn the lights on or off.", '{"type": "object", "properties": {"on": {"type": "boolean"}}}')
QUESTION = Message("user", "What is the weather in Rome?")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def responder(model_files: Callable[[str], Path]) -> AsyncIterator[OpenAIResponder]:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_files(MODEL))
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.use_jinja = True
    parameters.verbosity = -1
    parameters.hostname = "127.0.0.1"
    parameters.port = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = await asyncio.to_thread(xllamacpp.Server, parameters)
    made = OpenAIResponder(Remote(f"{server.listening_address}/v1", "smollm2"))
    await made.start()
    yield made
    await made.aclose()
    del server


async def answer(
    responder: OpenAIResponder,
    messages: Sequence[Message],
    tools: Tools = NO_TOOLS,
    max_tokens: int | None = 200,
) -> list[Piece]:
    stream = responder.respond(messages, language=None, max_tokens=max_tokens, tools=tools)
    return [piece async for piece in stream]


def calls_in(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    found: dict[tuple[int, str, str], str] = {}
    for piece in pieces:
        if isinstance(piece, CallPiece):
            key = (piece.index, piece.call_id, piece.name)
            found[key] = found.get(key, "") + piece.arguments
    assert all(call_id for _, call_id, _ in found)
    return [(name, arguments) for (_, _, name), arguments in found.items()]


def finish_of(pieces: Sequence[Piece]) -> Finish:
    assert isinstance(pieces[-1], Finish)
    return pieces[-1]


async def test_words_and_what_they_took(responder: OpenAIResponder) -> None:
    pieces = await answer(responder, [Message("user", "What is the capital of France?")], max_tokens=40)
    assert "Paris" in "".join(piece for piece in pieces if isinstance(piece, str))
    usage = finish_of(pieces).usage
    assert usage is not None
    assert usage.input_tokens > 20
    assert 0 < usage.output_tokens <= 40


async def test_the_limit_is_a_length(responder: OpenAIResponder) -> None:
    finish = finish_of(await answer(responder, [Message("user", "Tell me a long story.")], max_tokens=5))
    assert finish.reason == "length"
    assert finish.usage is not None
    assert finish.usage.output_tokens == 5


@pytest.mark.parametrize("choice", ["required", NamedTool("get_weather")])
async def test_a_call_that_is_demanded(responder: OpenAIResponder, choice: object) -> None:
    tools = Tools((WEATHER,), choice, parallel=False)  # type: ignore[arg-type]
    pieces = await answer(responder, [QUESTION], tools)
    ((name, arguments),) = calls_in(pieces)
    assert name == "get_weather"
    assert json.loads(arguments).keys() == {"city"}
    assert finish_of(pieces).reason == "stop"


@pytest.mark.parametrize("parallel", [True, False])
async def test_calls_are_whole_and_of_the_tools_that_were_offered(responder: OpenAIResponder, parallel: bool) -> None:
    pieces = await answer(responder, [QUESTION], Tools((WEATHER, LIGHTS), "required", parallel))
    calls = calls_in(pieces)
    assert {name for name, _ in calls} <= {"get_weather", "set_lights"}
    assert parallel or len(calls) == 1
    if finish_of(pieces).reason == "stop":
        assert calls
        assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)


@pytest.mark.parametrize("tools", [NO_TOOLS, Tools((WEATHER,)), Tools((WEATHER,), "none")])
async def test_a_history_in_any_order_is_taken(responder: OpenAIResponder, tools: Tools) -> None:
    history = [
        Message("system", "Be brief."),
        QUESTION,
        Message("assistant", "One moment.", calls=(Call("a", "get_weather", '{"city": "Ro'), Call("b", "f", ""))),
        Message("user", "And who are you?"),
        Message("assistant", "A voice assistant."),
        Message("tool", "lost", call_id="gone"),
        Message("tool", "It is sunny in Rome.", call_id="a"),
    ]
    assert finish_of(await answer(responder, history, tools, max_tokens=30))


async def test_a_picture_is_told_in_words_to_a_model_that_cannot_see(responder: OpenAIResponder) -> None:
    url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    pieces = await answer(responder, [Message("user", "What is this?", (Picture(url),))], max_tokens=20)
    assert any(isinstance(piece, str) for piece in pieces)
