"""A chat goes out, and text comes back as it is made, whatever the server's manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import orjson
import pytest

from tests.engines.chat_server import FORMS, USAGE, WORDS, ChatServer, Form, order_fault
from tests.engines.odd_server import (
    PATIENCE_S,
    OddServer,
    Request,
    Respond,
    begin_stream,
    json_answer,
    odd_server,
    stream,
    write_chunk,
)
from voxtral_voice.engines import openai_responder, openai_stream
from voxtral_voice.engines.base import NO_TOOLS, Call, CallPiece, Finish, Message, Picture, Piece, Tool, Tools, Usage
from voxtral_voice.engines.openai_chat import INSTRUCTIONS
from voxtral_voice.engines.openai_responder import OpenAIResponder
from voxtral_voice.engines.prompt import A_PICTURE
from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import EngineError, RequestError

HELLO = (Message("user", "Hello"),)


@asynccontextmanager
async def responding(respond: Respond) -> AsyncIterator[tuple[OpenAIResponder, OddServer]]:
    async with odd_server(respond) as server:
        responder = OpenAIResponder(Remote(server.url, "llm"))
        await responder.start()
        try:
            yield responder, server
        finally:
            await responder.aclose()


async def answer_of(
    responder: OpenAIResponder,
    messages: Sequence[Message] = HELLO,
    tools: Tools = NO_TOOLS,
    max_tokens: int | None = None,
) -> list[Piece]:
    async with asyncio.timeout(PATIENCE_S):
        stream = responder.respond(messages, language=None, max_tokens=max_tokens, tools=tools)
        return [piece async for piece in stream]


async def texts_of(respond: Respond) -> list[Piece]:
    *texts, last = await pieces_of(respond)
    assert isinstance(last, Finish)
    return texts


async def pieces_of(respond: Respond) -> list[Piece]:
    async with responding(respond) as (responder, _):
        return await answer_of(responder)


async def failure_of(respond: Respond) -> EngineError:
    async with responding(respond) as (responder, server):
        with pytest.raises(EngineError) as caught:
            await answer_of(responder)
    assert caught.value.engine == "responder"
    assert caught.value.told.startswith("The responder's server ")
    assert "://" not in caught.value.told
    return type(caught.value)("responder", str(caught.value).replace(server.url, "URL"), caught.value.told)


def chunk(content: object = None, reason: str | None = None, **delta: object) -> bytes:
    said = {"content": content} if content is not None else {}
    return orjson.dumps({"choices": [{"index": 0, "delta": {**said, **delta}, "finish_reason": reason}]})


def event(content: bytes) -> bytes:
    return b"data: " + content + b"\n\n"


DONE = event(b"[DONE]")
PARTS = [{"type": "text", "text": "H"}, 3, {"type": "text"}, {"type": "text", "text": "i"}]


def usage(read: object, written: object, cached: object = None) -> bytes:
    tokens = {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": cached}}
    return event(orjson.dumps({"choices": [], "usage": tokens}))


# --- the request --------------------------------------------------------------------------------------------------


async def test_the_request_leaves_sampling_to_the_server() -> None:
    messages = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Yes?"), *HELLO]
    async with responding(stream(event(chunk("a")), DONE)) as (responder, server):
        await answer_of(responder, messages)
        async with aclosing(responder.respond(HELLO, language="de", max_tokens=7)) as pieces:
            assert [piece async for piece in pieces] == ["a", Finish()]
    first, second = server.requests
    assert first.line == "POST /v1/chat/completions"
    assert first.headers["content-type"] == "application/json"
    assert first.json() == {
        "model": "llm",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Hello"},
        ],
    }
    assert second.json() == {
        "model": "llm",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "messages": [{"role": "system", "content": INSTRUCTIONS.text}, {"role": "user", "content": "Hello"}],
    }


async def test_preparing_costs_no_request() -> None:
    async with responding(stream(DONE)) as (responder, server):
        assert await responder.prepare(HELLO, language="en") is None
        assert not server.requests


async def test_a_connection_serves_the_next_reply_too() -> None:
    async with responding(stream(event(chunk("a")), DONE)) as (responder, server):
        for _ in range(4):
            assert await answer_of(responder) == ["a", Finish()]
        assert server.connections == 1


# --- what servers send --------------------------------------------------------------------------------------------


async def test_text_comes_as_it_is_made() -> None:
    go_on = asyncio.Event()

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        write_chunk(writer, event(chunk("One")))
        await go_on.wait()
        write_chunk(writer, event(chunk(" two.")) + DONE)
        writer.write(b"0\r\n\r\n")

    async with responding(respond) as (responder, _), asyncio.timeout(PATIENCE_S):
        pieces = responder.respond(HELLO, language=None, max_tokens=None)
        assert await anext(pieces) == "One"
        go_on.set()
        assert [piece async for piece in pieces] == [" two.", Finish()]


@pytest.mark.parametrize(
    "pieces",
    [
        (event(chunk("", role="assistant")) + event(chunk("Hi")) + event(chunk(None, "stop")) + DONE,),
        (b": comment\n\nevent: message\nid: 3\nretry: 9\n" + event(chunk("Hi")), DONE),
        (b"data:" + chunk("Hi") + b"\r\n\r\n", b"data:[DONE]\r\n\r\n"),
        (b"data: " + chunk("Hi") + b"\n", b"data: [DONE]\n"),
        (event(chunk("Hi", "stop")),),
        (event(chunk("Hi", "length")), event(b'{"choices": [], "usage": {"total_tokens": 3}}'), DONE),
        (event(chunk(None, reasoning_content="Hm")), event(chunk("Hi")), DONE),
        (event(chunk(None, tool_calls=[{"index": 0}])), event(chunk("Hi")), DONE),
        (event(b'{"choices": [{"delta": null}]}'), event(b"3"), event(chunk("Hi")), DONE),
        (event(chunk("Hi")), DONE, event(chunk("more"))),
        (event(chunk([{"type": "thinking", "thinking": []}])), event(chunk(PARTS)), DONE),
    ],
)
async def test_the_manners_of_servers(pieces: tuple[bytes, ...]) -> None:
    assert await texts_of(stream(*pieces)) == ["Hi"]


async def test_events_cut_anywhere_and_letters_cut_in_two() -> None:
    data = event(chunk("नमस्ते")) + event(chunk(" 🙂")) + DONE
    assert await texts_of(stream(*(data[i : i + 1] for i in range(len(data))))) == ["नमस्ते", " 🙂"]


async def test_half_a_character_costs_only_itself() -> None:
    broken = chunk("HALF hi").replace(b"HALF", rb"\ud800")
    assert await texts_of(stream(event(chunk("One")), event(broken), event(chunk("Two")), DONE)) == [
        "One",
        "\ufffd hi",
        "Two",
    ]


async def test_a_whole_answer_instead_of_a_stream() -> None:
    content = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    assert await texts_of(json_answer(content)) == ["Hi"]


async def test_a_server_that_stays_on_the_line_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_stream, "DRAIN_S", 0.01)

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        write_chunk(writer, event(chunk("Hi")) + DONE)

    assert await texts_of(respond) == ["Hi"]


# --- how it ended -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "finish"),
    [
        ([], Finish()),
        ([event(chunk(None, "stop"))], Finish()),
        ([event(chunk(None, "tool_calls"))], Finish()),
        ([event(chunk(None, "length"))], Finish("length")),
        ([event(chunk(None, "length")), usage(3, 4)], Finish("length", Usage(3, 4))),
        ([usage(3, 4, cached=2), usage(3, 5, cached=2)], Finish("stop", Usage(3, 5, 2))),
        ([usage(3, 4, cached=9)], Finish("stop", Usage(3, 4, 3))),
        ([usage(3, 4, cached="x")], Finish("stop", Usage(3, 4))),
        ([usage(3, None)], Finish()),
        ([usage(-1, 4)], Finish()),
        ([usage(3.5, 4)], Finish()),
        ([event(b'{"choices": [], "usage": 7}')], Finish()),
        (
            [event(b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}')],
            Finish("stop", Usage(3, 4)),
        ),
    ],
)
async def test_it_says_how_it_ended_and_what_it_took(last: list[bytes], finish: Finish) -> None:
    assert await pieces_of(stream(event(chunk("Hi")), *last, DONE)) == ["Hi", finish]


async def test_a_whole_answer_says_so_too() -> None:
    content = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}], "usage": USAGE}
    assert await pieces_of(json_answer(content)) == ["Hi", Finish("length", Usage(20, 7, 5))]


# --- tools --------------------------------------------------------------------------------------------------------

WEATHER = Tools((Tool("get_weather", "Of a place.", '{"type": "object"}'),))


def calls_in(pieces: Sequence[Piece]) -> list[Call]:
    found: dict[int, Call] = {}
    for piece in pieces:
        if isinstance(piece, CallPiece):
            before = found.get(piece.index, Call(piece.call_id, piece.name, ""))
            found[piece.index] = Call(piece.call_id, piece.name, before.arguments + piece.arguments)
    return list(found.values())


def text_in(pieces: Sequence[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


@asynccontextmanager
async def talking_to(server: ChatServer) -> AsyncIterator[OpenAIResponder]:
    async with server.open() as opened:
        responder = OpenAIResponder(Remote(opened.url, "llm"))
        await responder.start()
        try:
            yield responder
        finally:
            await responder.aclose()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("form", FORMS)
async def test_a_round_of_two_calls(form: Form, whole: bool) -> None:
    """Words, two calls, their outputs in the wrong order, and the answer."""
    history = [Message("user", "What is the weather in Rome and Oslo?")]
    server = ChatServer(form, whole=whole)
    async with talking_to(server) as responder:
        pieces = await answer_of(responder, history, WEATHER)
        assert text_in(pieces) == WORDS
        assert pieces[-1] == Finish("stop", Usage(20, 7, 5))
        calls = calls_in(pieces)
        assert [(c.name, orjson.loads(c.arguments)) for c in calls] == [
            ("get_weather", {"location": "Rome"}),
            ("get_weather", {"location": "Oslo"}),
        ]
        first, second = (call.call_id for call in calls)
        history += [
            Message("assistant", WORDS, calls=tuple(calls)),
            Message("tool", "12 degrees", call_id=second),
            Message("tool", "25 degrees", call_id=first),
        ]
        answer = await answer_of(responder, history, WEATHER)
        assert (text_in(answer), calls_in(answer)) == ("It is 12 degrees.", [])
        assert order_fault(server.bodies[-1]["messages"]) is None


async def test_calls_are_told_as_they_come() -> None:
    go_on = asyncio.Event()

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        entry = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}
        write_chunk(writer, event(chunk("Well.")) + event(chunk(tool_calls=[entry])))
        await go_on.wait()
        more = {"index": 0, "function": {"arguments": '":1}'}}
        write_chunk(writer, event(chunk(tool_calls=[more])) + DONE)
        writer.write(b"0\r\n\r\n")

    async with responding(respond) as (responder, _), asyncio.timeout(PATIENCE_S):
        pieces = responder.respond(HELLO, language=None, max_tokens=None, tools=WEATHER)
        assert [await anext(pieces), await anext(pieces)] == ["Well.", CallPiece(0, "a", "f", '{"x')]
        go_on.set()
        assert [piece async for piece in pieces] == [CallPiece(0, "a", "f", '":1}'), Finish()]


async def test_an_answer_at_its_limit_may_leave_a_call_unfinished() -> None:
    entries = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"x'}},
    ]
    respond = stream(event(chunk(tool_calls=entries)), event(chunk(None, "length")), DONE)
    async with responding(respond) as (responder, _):
        assert await answer_of(responder, tools=WEATHER) == [
            CallPiece(0, "a", "f", "{}"),
            CallPiece(1, "b", "g", '{"x'),
            Finish("length"),
        ]


@pytest.mark.parametrize("tools", [NO_TOOLS, Tools(WEATHER.tools, "none")])
async def test_where_nothing_may_be_called_no_tool_goes_out_and_no_call_comes_back(tools: Tools) -> None:
    entries = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]
    respond = stream(event(chunk("Hi")), event(chunk(tool_calls=entries)), DONE)
    async with responding(respond) as (responder, server):
        assert await answer_of(responder, tools=tools) == ["Hi", Finish()]
        assert "tools" not in server.requests[0].json()


async def test_a_server_that_does_not_stop_calling_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_responder, "MAX_CALLS_CHARS", 1000)
    entry = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "x" * 600}}
    async with responding(stream(*[event(chunk(tool_calls=[entry]))] * 2, DONE)) as (responder, server):
        with pytest.raises(EngineError) as caught:
            await answer_of(responder, tools=WEATHER)
    assert str(caught.value) == f"{server.url}/chat/completions calls tools with more than 1000 characters."


async def test_a_tool_name_that_no_tool_has_is_refused() -> None:
    entry = {"index": 0, "id": "a", "function": {"name": "f" * 257, "arguments": "{}"}}
    async with responding(stream(event(chunk(tool_calls=[entry])), DONE)) as (responder, server):
        with pytest.raises(EngineError) as caught:
            await answer_of(responder, tools=WEATHER)
    told = "calls a tool by a name of more than 256 characters."
    assert (str(caught.value), caught.value.told) == (
        f"{server.url}/chat/completions {told}",
        f"The responder's server {told}",
    )


# --- what servers refuse ------------------------------------------------------------------------------------------


async def test_a_field_that_is_refused_is_left_out_from_then_on() -> None:
    server = ChatServer(refuses=frozenset({"stream_options", "parallel_tool_calls"}))
    async with talking_to(server) as responder:
        for requests in (3, 4):
            pieces = await answer_of(responder, [Message("user", "The weather in Rome?")], WEATHER)
            assert (text_in(pieces), len(calls_in(pieces)), pieces[-1]) == (WORDS, 1, Finish())
            assert len(server.bodies) == requests
    assert not {"stream_options", "parallel_tool_calls"} & server.bodies[-1].keys()


async def test_a_limit_that_is_refused_goes_out_under_its_newer_name() -> None:
    refusal = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        refused = json_answer({"error": {"message": refusal}}, 400)
        await (refused if b'"max_tokens"' in request.body else stream(event(chunk("Hi")), DONE))(request, writer)

    async with responding(respond) as (responder, server):
        for _ in range(2):
            assert await answer_of(responder, max_tokens=9) == ["Hi", Finish()]
        assert await answer_of(responder) == ["Hi", Finish()]
    bodies = [request.json() for request in server.requests]
    assert [body.get("max_completion_tokens") for body in bodies] == [None, 9, 9, None]
    assert [body.get("max_tokens") for body in bodies] == [9, None, None, None]


async def test_a_refusal_without_a_reason_is_tried_once_without_the_count() -> None:
    """As long as the server was never seen to take it."""

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        refused = json_answer({"error": {"message": "Bad request"}}, 400)
        await (refused if b"stream_options" in request.body else stream(event(chunk("Hi")), DONE))(request, writer)

    async with responding(respond) as (responder, server):
        for _ in range(2):
            assert await answer_of(responder) == ["Hi", Finish()]
        assert len(server.requests) == 3


@pytest.mark.parametrize(("known", "requests"), [(False, 2), (True, 2)])
async def test_a_request_that_is_at_fault_is_refused(known: bool, requests: int) -> None:
    """known: that the server takes all fields; then it is not asked again."""
    refused = json_answer({"error": {"message": "The context is too long"}}, 400)
    answers = [stream(event(chunk("Hi")), DONE), refused] if known else [refused] * 2

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(request, writer)

    async with responding(respond) as (responder, server):
        if known:
            await answer_of(responder)
        with pytest.raises(RequestError, match="The context is too long"):
            await answer_of(responder)
        assert len(server.requests) == requests
        answers.append(stream(event(chunk("Hi")), DONE))
        await answer_of(responder)
        assert "stream_options" in server.requests[-1].json()


async def test_a_server_that_fails_is_not_asked_again() -> None:
    async with responding(json_answer({"error": {"message": "stream_options"}}, 500)) as (responder, server):
        with pytest.raises(EngineError, match="status 500"):
            await answer_of(responder)
        assert len(server.requests) == 1


CAT = Message("user", "What is this?", (Picture("data:image/png;base64,AAAA"),))


async def test_pictures_go_out_to_a_server_that_sees() -> None:
    server = ChatServer()
    async with talking_to(server) as responder:
        assert text_in(await answer_of(responder, [CAT])) == "I see."
    (body,) = server.bodies
    assert [part["type"] for part in body["messages"][-1]["content"]] == ["image_url", "text"]


@pytest.mark.parametrize(
    ("status", "message", "requests"),
    [(400, "not a multimodal model", 2), (500, "image input is not supported", 2), (400, "Bad request", 3)],
)
async def test_a_server_that_cannot_see_is_told_that_there_were_pictures(
    status: int, message: str, requests: int
) -> None:
    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        refused = json_answer({"error": {"message": message}}, status)
        await (refused if b"image_url" in request.body else stream(event(chunk("Hi")), DONE))(request, writer)

    async with responding(respond) as (responder, server):
        assert await answer_of(responder, [CAT]) == ["Hi", Finish()]
        assert len(server.requests) == requests
        shown = server.requests[-1].json()["messages"]
        assert isinstance(shown, list)
        assert shown[-1] == {"role": "user", "content": f"{A_PICTURE} What is this?"}


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("respond", "sentence"),
    [
        (
            stream(event(chunk("Hi")), event(b'{"error": {"message": "out of memory"}}'), DONE),
            "URL/chat/completions failed at the answer: out of memory.",
        ),
        (
            stream(event(b'{"object": "error", "message": "too busy"}'), DONE),
            "URL/chat/completions failed at the answer: too busy.",
        ),
        (json_answer({"error": {"message": "x"}}), "URL/chat/completions failed at the answer: x."),
        (stream(event(chunk("Hi"))), "The answer of URL/chat/completions broke off in the middle."),
        (stream(event(chunk("Hi")), ends=False), "The answer of URL/chat/completions broke off in the middle."),
        (stream(), "The answer of URL/chat/completions broke off in the middle."),
        (stream(event(b"{oops")), "URL/chat/completions sent an event that is not JSON: 5 bytes."),
        (stream(b"<html>oops</html>", kind="text/html"), "The answer of URL/chat/completions broke off in the middle."),
    ],
)
async def test_every_failure_is_one_sentence(respond: Respond, sentence: str) -> None:
    assert str(await failure_of(respond)) == sentence


@pytest.mark.parametrize(
    ("respond", "told"),
    [
        (stream(event(b'{"error": {"message": "SECRET"}}')), "failed at the answer."),
        (stream(event(b"{SECRET")), "sent an event that is not JSON."),
        (stream(event(chunk("Hi"))), "broke off in the middle of its answer."),
        (stream(event(chunk(None, "content_filter")), DONE), "withholds the answer (content_filter)."),
    ],
)
async def test_clients_are_told_neither_where_it_is_nor_what_it_said(respond: Respond, told: str) -> None:
    assert (await failure_of(respond)).told == f"The responder's server {told}"


async def test_an_answer_that_is_withheld_is_not_the_engines_fault() -> None:
    error = await failure_of(stream(event(chunk(None, "content_filter")), DONE))
    assert isinstance(error, RequestError)
    assert str(error) == "URL/chat/completions withholds the answer (content_filter)."


async def test_a_line_without_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_stream, "MAX_LINE_BYTES", 1000)
    assert str(await failure_of(stream(b"data: " + b"x" * 2000))) == (
        "URL/chat/completions sent a line of more than 1000 bytes."
    )


async def test_a_reply_that_is_closed_early_closes_its_request() -> None:
    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        write_chunk(writer, event(chunk("One")))

    async with responding(respond) as (responder, server), asyncio.timeout(PATIENCE_S):
        async with aclosing(responder.respond(HELLO, language=None, max_tokens=None)) as pieces:
            assert await anext(pieces) == "One"
        await server.left.wait()
