"""`voxtral-voice serve` with a client's tools: asked, called, answered, through real sockets on both sides."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.engines.chat_server import FORMS, ChatServer, Form
from tests.engines.llama_server import EXAMPLES, MODEL, llama_server
from tests.engines.llama_server import WEATHER as LLAMA_TOOL
from tests.engines.speech import say
from tests.server.caller import Caller, calling
from voxtral_voice.audio.resample import resample
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Message

START_S: Final = 60.0
WEATHER: Final = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
QUESTION: Final = "What is the weather in Rome and Oslo?"
DEGREES: Final = {"Rome": "25 degrees", "Oslo": "12 degrees"}


@asynccontextmanager
async def served(*flags: str, profile: str = "fake") -> AsyncIterator[str]:
    command = ["-m", "voxtral_voice", "serve", f"--profile={profile}", "--port=0", *flags]
    server = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            url = (await server.stdout.readline()).decode().strip()
        assert url, "the server did not start"
        yield url
    finally:
        server.terminate()
        await server.wait()


async def ask(caller: Caller, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})


async def answer(caller: Caller) -> dict[str, Any]:
    """Of the next `response.create`."""
    count = caller.count("response.done") + 1
    await caller.send("response.create")
    response: dict[str, Any] = (await caller.until("response.done", count))["response"]
    assert response["status"] == "completed", response
    return response


def words_of(response: dict[str, Any]) -> str:
    """Spoken or written."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return " ".join(part.get("transcript") or part.get("text") or "" for part in parts)


def calls_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"] == "function_call"]


async def round_of_two(url: str, modality: str) -> tuple[str, str]:
    """Returns what was said before the calls, and the answer."""
    async with calling(url) as caller:
        await caller.update(tools=[WEATHER], output_modalities=[modality])
        await ask(caller, QUESTION)
        first = await answer(caller)
        calls = calls_of(first)
        assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
            ("get_weather", {"location": "Rome"}),
            ("get_weather", {"location": "Oslo"}),
        ]
        for call in reversed(calls):  # outputs come in any order
            output = DEGREES[json.loads(call["arguments"])["location"]]
            item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
            await caller.send("conversation.item.create", item=item)
        second = await answer(caller)
        assert (calls_of(second), caller.errors()) == ([], [])
        return words_of(first), words_of(second)


@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_the_scripted_responder_calls_and_answers(modality: str) -> None:
    async with served() as url:
        said, answered = await round_of_two(url, modality)
    assert said == "Let me check."
    assert answered == "I found: 12 degrees and 25 degrees."


@pytest.mark.parametrize("form", FORMS)
async def test_a_server_that_sends_calls_in_its_own_way(form: Form) -> None:
    server = ChatServer(form, refuses=frozenset({"parallel_tool_calls"}))
    async with server.open() as chat, served(f"--responder-url={chat.url}", "--responder-model=llm") as url:
        said, answered = await round_of_two(url, "text")
    assert said == "One moment."
    assert answered == "It is 12 degrees."


async def test_the_talk_goes_on_while_a_tool_runs() -> None:
    """The output comes two answers later, and is told then."""
    server = ChatServer()
    async with (
        server.open() as chat,
        served(f"--responder-url={chat.url}", "--responder-model=llm") as url,
        calling(url) as caller,
    ):
        await caller.update(tools=[WEATHER], output_modalities=["text"])
        await ask(caller, "What is the weather in Rome?")
        (call,) = calls_of(await answer(caller))
        await ask(caller, "And who are you?")
        assert words_of(await answer(caller)) == "I see."
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": "25 degrees"}
        await caller.send("conversation.item.create", item=item)
        assert words_of(await answer(caller)) == "It is 25 degrees."
        assert caller.errors() == []


def as_item(message: Message) -> dict[str, object]:
    """Of the examples: each has one thing to say."""
    if message.role == "tool":
        return {"type": "function_call_output", "call_id": message.call_id, "output": message.text}
    if message.calls:
        (call,) = message.calls
        return {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    kind = "output_text" if message.role == "assistant" else "input_text"
    return {"type": "message", "role": message.role, "content": [{"type": kind, "text": message.text}]}


@pytest.mark.models
async def test_a_real_model_is_asked_aloud_and_calls(model_files: Callable[[str], Path]) -> None:
    """Spoken question -> Whisper -> llama.cpp's server, whose small model calls the tool -> output -> spoken answer."""
    question = resample(say("What is the weather in Rome?"), LISTEN_RATE_HZ, SPEAK_RATE_HZ)
    instructions, *examples = EXAMPLES
    tool = {"type": "function", "name": LLAMA_TOOL.name, "description": LLAMA_TOOL.description}
    async with (
        llama_server(model_files(MODEL)) as llm,
        served(f"--responder-url={llm}", "--responder-model=smollm2", profile="embedded") as url,
        calling(url) as caller,
    ):
        await caller.update(
            instructions=instructions.text, tools=[{**tool, "parameters": json.loads(LLAMA_TOOL.parameters)}]
        )
        for message in examples:
            await caller.send("conversation.item.create", item=as_item(message))
        await caller.say(np.concatenate([question, np.zeros(SPEAK_RATE_HZ, np.float32)]))
        response = (await caller.until("response.done"))["response"]
        (call,) = calls_of(response)
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Rome"})
        assert response["usage"]["output_tokens"] > 0
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": "25 degrees"}
        await caller.send("conversation.item.create", item=item)
        assert "25 degrees" in words_of(await answer(caller))
        assert caller.count("response.output_audio.delta") > 0
        assert caller.errors() == []
