from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from tests.vllm_lane.servers import MAX_REQUESTS, Served
from tests.vllm_lane.sounds import sound
from voxtral_voice.engines.base import (
    NO_TOOLS,
    Call,
    CallPiece,
    Finish,
    Message,
    NamedTool,
    Piece,
    Tool,
    ToolChoice,
    Tools,
)
from voxtral_voice.engines.vllm.chat import VllmChat
from voxtral_voice.errors import EngineError, RequestError

WEATHER = Tool(
    "weather",
    "What the weather is like in a town.",
    json.dumps(
        {
            "type": "object",
            "properties": {"town": {"type": "string", "enum": ["Bonn", "Pune"]}, "days": {"enum": [1, 2, 3]}},
            "required": ["town", "days"],
            "additionalProperties": False,
        }
    ),
)
TIME = Tool("time", "What time it is.", '{"type": "object", "properties": {}, "additionalProperties": false}')
"""Schemas with few ways to fill them: a random model comes to an end in them."""
AUDIO = Message("user", "", audio=sound(2))
BEFORE = (Message("system", "You are kind."), Message("user", "Hello."), Message("assistant", "Hello to you."))


@pytest.fixture
async def engine(mini: Served) -> AsyncIterator[VllmChat]:
    engine = VllmChat(mini.remote, listens=True)
    await engine.start()
    yield engine
    await engine.aclose()


async def answered(
    engine: VllmChat, messages: Sequence[Message], *, max_tokens: int = 8, tools: Tools = NO_TOOLS
) -> list[Piece]:
    async with aclosing(engine.respond(messages, language="en", max_tokens=max_tokens, tools=tools)) as pieces:
        return [piece async for piece in pieces]


def words(pieces: Sequence[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


async def test_words_are_answered(engine: VllmChat) -> None:
    pieces = await answered(engine, (*BEFORE, Message("user", "How are you?")))
    assert words(pieces)
    assert isinstance(pieces[-1], Finish)
    assert pieces[-1].reason == "length"
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.output_tokens == 8


async def test_sound_is_answered_beside_instructions(engine: VllmChat) -> None:
    """vLLM refuses a system message beside sound; the engine finds another way."""
    pieces = await answered(engine, (*BEFORE, AUDIO))
    assert words(pieces)
    assert isinstance(pieces[-1], Finish)
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.input_tokens > 375  # so many are the sound


async def test_it_comes_in_pieces(engine: VllmChat) -> None:
    assert len([piece for piece in await answered(engine, (AUDIO,), max_tokens=20) if isinstance(piece, str)]) > 10


async def test_what_was_prepared_is_not_computed_again(engine: VllmChat, mini: Served) -> None:
    messages = (*BEFORE, Message("user", "", audio=sound(2, seed=9)))
    await engine.prepare(messages, language="en")
    before = await mini.metric("vllm:prefix_cache_hits_total")
    await answered(engine, messages)
    assert await mini.metric("vllm:prefix_cache_hits_total") - before > 256


@pytest.mark.parametrize(("choice", "name"), [(NamedTool("weather"), "weather"), ("required", None)])
async def test_a_call(engine: VllmChat, choice: ToolChoice, name: str | None) -> None:
    pieces = await answered(engine, (*BEFORE, AUDIO), max_tokens=120, tools=Tools((WEATHER, TIME), choice))
    calls = [piece for piece in pieces if isinstance(piece, CallPiece)]
    assert {call.index for call in calls} == {0}
    assert calls[0].name in {"weather", "time"} if name is None else calls[0].name == name
    arguments = json.loads("".join(call.arguments for call in calls))
    assert set(arguments) == ({"town", "days"} if calls[0].name == "weather" else set())
    assert words(pieces).strip() == ""


async def test_tools_that_need_not_be_called(engine: VllmChat) -> None:
    pieces = await answered(engine, (AUDIO,), tools=Tools((WEATHER, TIME)))
    assert words(pieces)


async def test_a_call_and_its_output_in_the_history(engine: VllmChat) -> None:
    """Ids of any length; vLLM wants nine letters and digits."""
    called = (
        *BEFORE,
        Message("user", "What is the weather?"),
        Message("assistant", "", calls=(Call("call_of_a_long_name_1", "time", "{}"),)),
        Message("tool", "noon", call_id="call_of_a_long_name_1"),
    )
    assert words(await answered(engine, called, tools=Tools((WEATHER, TIME))))
    more = (*called, Message("assistant", "It is noon."), AUDIO)
    assert words(await answered(engine, more, tools=Tools((WEATHER, TIME))))


async def test_several_at_once(engine: VllmChat) -> None:
    """More than the server works on at once."""
    turns = [(Message("user", "", audio=sound(1, seed=seed)),) for seed in range(MAX_REQUESTS + 2)]
    for pieces in await asyncio.gather(*(answered(engine, turn) for turn in turns)):
        assert words(pieces)


async def test_closing_ends_the_servers_work(engine: VllmChat, mini: Served) -> None:
    """Random words may end at any time, so several answers are tried until one is caught at work."""
    for seed in range(20):
        pieces = engine.respond((Message("user", "", audio=sound(2, seed=seed)),), language="en", max_tokens=1000)
        await anext(pieces)
        running = await mini.metric("vllm:num_requests_running")
        await pieces.aclose()
        await mini.until_idle()
        if running == 1:
            return
    pytest.fail("no answer was long enough to be cut off")


async def test_a_history_that_is_too_long(engine: VllmChat) -> None:
    with pytest.raises(RequestError):
        await answered(engine, (Message("user", "word " * 3000),))


async def test_a_realtime_model_is_refused_and_survives_it(realtime: Served) -> None:
    """A chat would end that vLLM (0.32)."""
    engine = VllmChat(realtime.remote, listens=False)
    with pytest.raises(EngineError, match="Realtime"):
        await engine.start()
    assert realtime.process.failing is None
