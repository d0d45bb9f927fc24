"""The remote responder against a real server: llama.cpp's, with a small model that calls a tool."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engines.llama_server import EXAMPLES, MODEL, WEATHER, llama_server
from voxtral_voice.engines.base import (
    NO_TOOLS,
    Call,
    CallPiece,
    Finish,
    Message,
    NamedTool,
    Picture,
    Piece,
    Tool,
    ToolChoice,
    Tools,
)
from voxtral_voice.engines.openai_responder import OpenAIResponder
from voxtral_voice.engines.remote import Remote

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

LIGHTS = Tool(
    "set_lights", "Turn the lights on or off.", '{"type": "object", "properties": {"on": {"type": "boolean"}}}'
)
QUESTION = Message("user", "What is the weather in Rome?")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def responder(model_files: Callable[[str], Path]) -> AsyncIterator[OpenAIResponder]:
    async with llama_server(model_files(MODEL)) as url:
        made = OpenAIResponder(Remote(url, "smollm2"))
        await made.start()
        yield made
        await made.aclose()


async def answer(
    responder: OpenAIResponder, messages: Sequence[Message], tools: Tools = NO_TOOLS, max_tokens: int = 60
) -> list[Piece]:
    stream = responder.respond(messages, language=None, max_tokens=max_tokens, tools=tools)
    return [piece async for piece in stream]


def calls_in(pieces: Sequence[Piece]) -> list[Call]:
    found: dict[int, Call] = {}
    for piece in pieces:
        if isinstance(piece, CallPiece):
            before = found.get(piece.index, Call(piece.call_id, piece.name, ""))
            found[piece.index] = Call(piece.call_id, piece.name, before.arguments + piece.arguments)
    return list(found.values())


def text_in(pieces: Sequence[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def finish_of(pieces: Sequence[Piece]) -> Finish:
    assert isinstance(pieces[-1], Finish)
    return pieces[-1]


async def test_the_limit_is_a_length_and_tokens_are_counted(responder: OpenAIResponder) -> None:
    finish = finish_of(await answer(responder, [Message("user", "Tell me a long story.")], max_tokens=5))
    assert finish.reason == "length"
    assert finish.usage is not None
    assert finish.usage.output_tokens == 5
    assert finish.usage.input_tokens > 20


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("choice", ["auto", "required", NamedTool("get_weather")])
async def test_a_round_of_a_tool(responder: OpenAIResponder, choice: ToolChoice, parallel: bool) -> None:
    history = [*EXAMPLES, QUESTION]
    tools = Tools((WEATHER, LIGHTS), choice, parallel)
    pieces = await answer(responder, history, tools)
    (call,) = calls_in(pieces)
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Rome"})
    assert call.call_id
    assert len([piece for piece in pieces if isinstance(piece, CallPiece)]) > 2, "told as it comes"
    assert finish_of(pieces).reason == "stop"
    history += [Message("assistant", "", calls=(call,)), Message("tool", "25 degrees", call_id=call.call_id)]
    assert "25 degrees" in text_in(await answer(responder, history, Tools(tools.tools)))


@pytest.mark.parametrize("tools", [NO_TOOLS, Tools((WEATHER,), "none")])
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
    assert finish_of(await answer(responder, history, tools, max_tokens=20)).usage is not None


async def test_a_picture_is_told_in_words_to_a_model_that_cannot_see(responder: OpenAIResponder) -> None:
    picture = Picture(f"data:image/png;base64,{PNG}")
    assert text_in(await answer(responder, [Message("user", "What is this?", (picture,))], max_tokens=20))
