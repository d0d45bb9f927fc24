from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.server.caller import PATIENCE_S
from tests.server.conftest import Serving, quick
from tests.server.rest.sdk import ask, problem, recording, tone
from tests.server.rest.test_speech import post
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
    Tools,
    Usage,
)
from voxtral_voice.engines.breaker import OPENS_AT
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeTranscriber
from voxtral_voice.server import rest

HELLO: list[Any] = [{"role": "user", "content": "Hello."}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SPOKEN = {
    "type": "input_audio",
    "input_audio": {"data": base64.b64encode(recording("mp3", tone(2))).decode(), "format": "mp3"},
}


class Script(FakeResponder):
    """Gives these pieces, and keeps what it was asked."""

    def __init__(self, *pieces: Piece) -> None:
        super().__init__(first_token_ms=0, token_ms=0)
        self._pieces = pieces
        self.asked: list[tuple[list[Message], str | None, int | None, Tools]] = []

    async def respond(
        self, messages: Sequence[Message], *, language: str | None, max_tokens: int | None, tools: Tools = NO_TOOLS
    ) -> AsyncGenerator[Piece, None]:
        self.asked.append(([*messages], language, max_tokens, tools))
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece


CALLS = (
    "Let me see.",
    CallPiece(0, "call_1", "get_weather", '{"city"'),
    CallPiece(0, "call_1", "get_weather", ':"Oslo"}'),
    CallPiece(1, "call_2", "get_weather", "{}"),
    Finish("stop", Usage(20, 8, 4)),
)


def create(client: openai.OpenAI, messages: Any = HELLO, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **options)


def chunks(client: openai.OpenAI, **options: Any) -> list[Any]:
    with create(client, stream=True, **options) as stream:
        return [*stream]


async def test_an_answer(serving: Serving) -> None:
    async with serving(quick()) as server:
        answer = await ask(server.url, create)
    ChatCompletion.model_validate(answer.model_dump())
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: Hello.")
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    assert answer.model == "fake-responder"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1, 3, 4)


async def test_a_stream(serving: Serving) -> None:
    async with serving(quick()) as server:
        told = await ask(server.url, chunks)
    for chunk in told:
        ChatCompletionChunk.model_validate(chunk.model_dump())
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in told}) == 1
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == "You said: Hello."
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in told)


async def test_a_stream_with_usage(serving: Serving) -> None:
    async with serving(quick()) as server:
        *rest_of, last = await ask(server.url, lambda client: chunks(client, stream_options={"include_usage": True}))
    assert (last.choices, last.usage.total_tokens) == ([], 4)
    assert all(chunk.choices for chunk in rest_of)


async def test_a_stream_ends_with_done(serving: Serving) -> None:
    async with serving(quick()) as server:
        body = {"model": "gpt-4o", "messages": HELLO, "stream": True}
        answer = await post(server, body, "/v1/chat/completions")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_calls(serving: Serving) -> None:
    async with serving(quick(responder=Script(*CALLS))) as server:
        answer = await ask(server.url, lambda client: create(client, tools=[WEATHER]))
    ChatCompletion.model_validate(answer.model_dump())
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("Let me see.", "tool_calls")
    calls = [(call.id, call.type, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [
        ("call_1", "function", "get_weather", '{"city":"Oslo"}'),
        ("call_2", "function", "get_weather", "{}"),
    ]
    assert (answer.usage.total_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (28, 4)


async def test_calls_streamed(serving: Serving) -> None:
    async with serving(quick(responder=Script(*CALLS))) as server:
        told = await ask(server.url, lambda client: chunks(client, tools=[WEATHER]))
    deltas = [call for chunk in told for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.id, call.function.name, call.function.arguments) for call in deltas] == [
        (0, "call_1", "get_weather", '{"city"'),
        (0, None, None, ':"Oslo"}'),
        (1, "call_2", "get_weather", "{}"),
    ]
    assert told[-1].choices[0].finish_reason == "tool_calls"


async def test_a_round_with_a_tool(serving: Serving) -> None:
    """The scripted responder calls by the words, and answers with what the tool gave."""

    def work(client: openai.OpenAI) -> str:
        messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
        first = create(client, messages, tools=[WEATHER]).choices[0].message
        (call,) = first.tool_calls
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": "Rain, and 7 degrees."}]
        said: str = create(client, messages, tools=[WEATHER]).choices[0].message.content
        return said

    async with serving(quick()) as server:
        assert await ask(server.url, work) == "I found: Rain, and 7 degrees."


async def test_only_calls_have_no_content(serving: Serving) -> None:
    async with serving(quick(responder=Script(*CALLS[1:]))) as server:
        answer = await ask(server.url, lambda client: create(client, tools=[WEATHER]))
        assert answer.choices[0].message.content is None


async def test_what_the_responder_is_asked(serving: Serving) -> None:
    responder = Script("Fine.")
    seen = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, seen]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Rain."}]},
        {"role": "user", "content": [SPOKEN, {"type": "text", "text": "Answer."}]},
    ]
    heard = FakeTranscriber(["What is in it?"], 0)
    async with serving(quick(responder=responder, transcriber=heard)) as server:
        await ask(
            server.url,
            lambda client: create(
                client,
                messages,
                tools=[WEATHER],
                tool_choice={"type": "function", "function": {"name": "get_weather"}},
                parallel_tool_calls=False,
                max_completion_tokens=7,
                temperature=0.2,
                seed=3,
            ),
        )
    ((asked, language, most, tools),) = responder.asked
    assert asked == [
        Message("system", "Be brief."),
        Message("user", "Look.", pictures=(Picture(PICTURE, "low"),)),
        Message("assistant", "", calls=(Call("c1", "get_weather", "{}"),)),
        Message("tool", "Rain.", call_id="c1"),
        Message("user", "What is in it?\nAnswer."),
    ]
    assert (language, most) == ("en", 7)
    parameters = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
    assert tools == Tools(
        (Tool("get_weather", "The weather of a city.", parameters),), NamedTool("get_weather"), parallel=False
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_tokens": 2}, "length"), ({"max_completion_tokens": 2, "max_tokens": 9}, "length"), ({}, "stop")],
)
async def test_a_limit(serving: Serving, options: dict[str, Any], reason: str) -> None:
    async with serving(quick()) as server:
        assert (await ask(server.url, lambda client: create(client, **options))).choices[0].finish_reason == reason
        assert (await ask(server.url, lambda client: chunks(client, **options)))[-1].choices[0].finish_reason == reason


async def test_a_stop_sequence(serving: Serving) -> None:
    async with serving(quick(responder=Script("One. T", "wo. Th", "ree."))) as server:
        for stop in ("Two", [" Two", "Three"]):
            answer = await ask(server.url, partial(create, stop=stop))
            assert answer.choices[0].message.content.rstrip() == "One."
            assert answer.choices[0].finish_reason == "stop"


async def test_an_answer_of_nothing(serving: Serving) -> None:
    async with serving(quick(responder=Script())) as server:
        assert (await ask(server.url, create)).choices[0].message.content == ""
        (chunk,) = await ask(server.url, chunks)
        assert (chunk.choices[0].delta.role, chunk.choices[0].finish_reason) == ("assistant", "stop")


def with_part(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def with_picture(url: str) -> dict[str, Any]:
    return with_part({"type": "image_url", "image_url": {"url": url}})


def with_sound(data: str) -> dict[str, Any]:
    return with_part({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})


def with_tool(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": function}]}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"messages": []}, "expected at least one message, but got none"),
        ({"messages": [{"role": "user", "content": 5}]}, "expected a string or an array, but got 5"),
        ({"tool_choice": "required"}, "'tools' is missing or empty"),
    ],
)
async def test_what_is_wrong_is_said(serving: Serving, change: dict[str, Any], said: str) -> None:
    body = {"model": "gpt-4o", "messages": HELLO, **change}
    async with serving() as server:
        answer = await post(server, body, "/v1/chat/completions")
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello."}, "messages"),
        ({"messages": ["Hello."]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[0].tool_calls[0].function"),
        ({"messages": [{"role": "system", "content": [SPOKEN]}]}, "messages[0].content[0].type"),
        (with_part({"type": "file"}), "messages[0].content[0].type"),
        (with_part({"type": "text"}), "messages[0].content[0].text"),
        (with_picture("http://127.0.0.1/x.png"), "messages[0].content[0].image_url.url"),
        (with_picture("file:///etc/passwd"), "messages[0].content[0].image_url.url"),
        (with_picture("data:image/;base64,AAAA"), "messages[0].content[0].image_url.url"),
        (with_picture("data:image/png;base64,A"), "messages[0].content[0].image_url.url"),
        (with_sound("!"), "messages[0].content[0].input_audio.data"),
        (with_sound("aGVsbG8="), "messages[0].content[0].input_audio.data"),
        ({"messages": [{"role": "user", "content": [SPOKEN] * 17}]}, "messages"),
        ({"model": None}, "model"),
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "x"}]}, "functions"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"tools": [{"type": "mcp"}]}, "tools[0].type"),
        (with_tool(), "tools[0].function.name"),
        (with_tool(name="get weather"), "tools[0].function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        (with_tool(name="x", parameters=[]), "tools[0].function.parameters"),
        ({"tools": [WEATHER], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": named("x")}, "tool_choice.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)
async def test_bad_fields(serving: Serving, change: dict[str, Any], param: str) -> None:
    async with serving(quick()) as server:
        body = {"model": "gpt-4o", "messages": HELLO, **change}
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(server.url, lambda client: client.post("/chat/completions", body=body, cast_to=httpx.Response))
        assert (caught.value.status_code, caught.value.param) == (400, param)
        assert server.runtime.failing == {}


async def test_an_unknown_model(serving: Serving) -> None:
    async with serving() as server:
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(server.url, lambda client: client.chat.completions.create(model="llama", messages=HELLO))
        assert problem(caught.value) == (404, "model_not_found", "model")


async def test_a_responder_that_fails(serving: Serving) -> None:
    """Before it said anything it is an HTTP error, also of a stream; then an event that the SDK raises."""
    responder = FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("it is gone"))
    async with serving(quick(responder=responder)) as server:
        for work in (create, chunks):
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(server.url, work)
            assert problem(caught.value) == (500, "engine_failed", None)
        server.runtime.worked("responder")
        responder.broken = Broken("it is gone", after_steps=2)
        with pytest.raises(openai.APIError, match="it is gone"):
            await ask(server.url, chunks)
        assert server.runtime.failing == {"responder": "it is gone"}
        responder.broken = None
        await ask(server.url, create)
        assert server.runtime.failing == {}


async def test_a_responder_that_failed_again_and_again_is_not_asked(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But in the background; a client is told at once, and to come again."""
    monkeypatch.setattr("voxtral_voice.server.recovery.EVERY_S", 60.0)
    responder = FakeResponder(first_token_ms=0, token_ms=0, broken=Broken("it is gone"))
    async with serving(quick(responder=responder)) as server:
        for _ in range(OPENS_AT):
            with pytest.raises(openai.InternalServerError):
                await ask(server.url, create)
        responder.broken = None
        for work in (create, chunks):
            with pytest.raises(openai.InternalServerError, match="it is gone") as caught:
                await ask(server.url, work)
            assert problem(caught.value) == (503, "engine_down", None)
            assert caught.value.response.headers["Retry-After"] == "1"
        assert await server.metric("circuit_state", engine="responder") == 2
        assert await server.metric("retries_total", engine="responder") == OPENS_AT
        assert await server.metric("engine_failures_total", engine="responder") == OPENS_AT
        server.runtime.worked("responder")
        await ask(server.url, create)


async def test_a_responder_that_does_not_answer(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.patience.RESPONDER_S", 0.01)
    async with serving(quick(responder=FakeResponder(first_token_ms=60_000))) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(server.url, create)
        assert problem(caught.value) == (503, "engine_timeout", None)


async def test_a_responder_that_does_not_end(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.rest.chat.MAX_CHARS", 5)
    for piece in ("more", " and more"):
        async with serving(quick(responder=Script(piece, piece))) as server:
            with pytest.raises(openai.InternalServerError, match="more than 5 characters"):
                await ask(server.url, create)
            assert "responder" in server.runtime.failing


class Held(FakeResponder):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended, self.may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def respond(self, *_: Any, **__: Any) -> AsyncGenerator[Piece, None]:
        self.begun.set()
        try:
            yield "First"
            await self.may_answer.wait()
            yield " second."
        finally:
            self.ended.set()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_stops_the_work(serving: Serving, stream: bool) -> None:
    responder = Held()
    async with serving(quick(responder=responder)) as server, asyncio.timeout(PATIENCE_S):
        body = {"model": "gpt-4o", "messages": HELLO, "stream": stream}
        call = asyncio.create_task(post(server, body, "/v1/chat/completions"))
        await responder.begun.wait()
        call.cancel()
        await responder.ended.wait()


async def test_so_many_at_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MOST_CHATS", 1)
    responder = Held()
    body = {"model": "gpt-4o", "messages": HELLO}
    async with serving(quick(responder=responder)) as server, asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE_S):
        first = group.create_task(post(server, body, "/v1/chat/completions"))
        await responder.begun.wait()
        assert (await post(server, body, "/v1/chat/completions")).status_code == 429
        responder.may_answer.set()
        assert (await first).json()["choices"][0]["message"]["content"] == "First second."
