"""A chat goes out, and text comes back as it is made, whatever the server's manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from voxtral_voice.engines import openai_responder
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.openai_responder import INSTRUCTIONS, Events, OpenAIResponder
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


async def answer_of(responder: OpenAIResponder, messages: Sequence[Message] = HELLO) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [piece async for piece in responder.respond(messages, language=None, max_tokens=None)]


async def pieces_of(respond: Respond) -> list[str]:
    async with responding(respond) as (responder, _):
        return await answer_of(responder)


async def failure_of(respond: Respond) -> EngineError:
    async with responding(respond) as (responder, server):
        with pytest.raises(EngineError) as caught:
            await answer_of(responder)
    assert caught.value.engine == "responder"
    return type(caught.value)("responder", str(caught.value).replace(server.url, "URL"))


def chunk(content: str | None = None, reason: str | None = None, **delta: object) -> bytes:
    said = {"content": content} if content is not None else {}
    return orjson.dumps({"choices": [{"index": 0, "delta": {**said, **delta}, "finish_reason": reason}]})


def event(content: bytes) -> bytes:
    return b"data: " + content + b"\n\n"


DONE = event(b"[DONE]")


# --- the request --------------------------------------------------------------------------------------------------


async def test_the_request_leaves_sampling_to_the_server() -> None:
    messages = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Yes?"), *HELLO]
    async with responding(stream(event(chunk("a")), DONE)) as (responder, server):
        await answer_of(responder, messages)
        async with aclosing(responder.respond(HELLO, language="de", max_tokens=7)) as pieces:
            assert [piece async for piece in pieces] == ["a"]
    first, second = server.requests
    assert first.line == "POST /v1/chat/completions"
    assert first.headers["content-type"] == "application/json"
    assert first.json() == {
        "model": "llm",
        "stream": True,
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
            assert await answer_of(responder) == ["a"]
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
        assert [piece async for piece in pieces] == [" two."]


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
    ],
)
async def test_the_manners_of_servers(pieces: tuple[bytes, ...]) -> None:
    assert await pieces_of(stream(*pieces)) == ["Hi"]


async def test_events_cut_anywhere_and_letters_cut_in_two() -> None:
    data = event(chunk("नमस्ते")) + event(chunk(" 🙂")) + DONE
    assert await pieces_of(stream(*(data[i : i + 1] for i in range(len(data))))) == ["नमस्ते", " 🙂"]


async def test_a_whole_answer_instead_of_a_stream() -> None:
    content = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    assert await pieces_of(json_answer(content)) == ["Hi"]


async def test_a_server_that_stays_on_the_line_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_responder, "DRAIN_S", 0.01)

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        write_chunk(writer, event(chunk("Hi")) + DONE)

    assert await pieces_of(respond) == ["Hi"]


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
        (stream(event(b"{oops")), "URL/chat/completions sent an event that is not JSON: '{oops'."),
        (stream(b"<html>oops</html>", kind="text/html"), "The answer of URL/chat/completions broke off in the middle."),
    ],
)
async def test_every_failure_is_one_sentence(respond: Respond, sentence: str) -> None:
    assert str(await failure_of(respond)) == sentence


async def test_an_answer_that_is_withheld_is_not_the_engines_fault() -> None:
    error = await failure_of(stream(event(chunk(None, "content_filter")), DONE))
    assert isinstance(error, RequestError)
    assert str(error) == "URL/chat/completions withholds the answer (content_filter)."


async def test_a_line_without_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_responder, "MAX_LINE_BYTES", 1000)
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


@given(st.lists(st.text(alphabet="ab ", min_size=1).map(str.strip).filter(bool)), st.data())
def test_events_do_not_depend_on_how_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    whole = b"".join(event(text.encode()) for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    events, found = Events(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += events.feed(whole[start:end])
    assert found == [text.encode() for text in texts]
    assert events.unfinished == 0
