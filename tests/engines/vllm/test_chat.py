"""Voxtral Mini answers, words or sound, and every fault of its server ends in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, get_args

import orjson
import pytest

from tests.engines.odd_server import PATIENCE_S
from tests.engines.vllm.recorded import HttpFault, Line, RecordedVllm, exchanges, said, silence, speech
from voxtral_voice.engines.base import NO_TOOLS, CallPiece, Finish, Message, NamedTool, Piece, Tool, Tools, Usage
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import admission, chat, patience
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.chat import MAX_TOKENS, SAMPLING, VllmChat
from voxtral_voice.engines.vllm.transcription import VllmTranscriber
from voxtral_voice.errors import BusyError, EngineError, RequestError

SPOKEN = (Message("user", "", audio=speech(1, 2)),)
WRITTEN = (Message("user", "Hello."),)
RECORDED = exchanges("chat_audio")[1].answer


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the real limits."""
    monkeypatch.setattr(patience, "FIRST_S", 0.2)
    monkeypatch.setattr(patience, "STEP_S", 0.2)
    monkeypatch.setattr(admission, "WAIT_S", 0.05)


@asynccontextmanager
async def chatting(
    listens: bool = True, places: int = 2, **options: Any
) -> AsyncIterator[tuple[RecordedVllm, VllmChat]]:
    """The server has forgotten how the engine was warmed up."""
    server = RecordedVllm(realtime=False, **options)
    async with server.running(), asyncio.timeout(PATIENCE_S):
        engine = VllmChat(Remote(server.url, "tiny"), listens, admission=Admission(places))
        try:
            await engine.start()
            server.requests.clear()
            yield server, engine
        finally:
            await engine.aclose()


async def answer(
    engine: VllmChat, messages: Sequence[Message] = SPOKEN, max_tokens: int | None = None, tools: Tools = NO_TOOLS
) -> list[Piece]:
    pieces = engine.respond(messages, language=None, max_tokens=max_tokens, tools=tools)
    return [piece async for piece in pieces]


def text(pieces: Sequence[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


# --- the start ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listens", [True, False])
async def test_a_start_lets_it_answer_something(listens: bool) -> None:
    server = RecordedVllm(realtime=False)
    async with server.running():
        engine = VllmChat(Remote(server.url), listens)
        assert engine.listens is listens
        await engine.start()
        assert engine.name == f"tiny at {server.url}"
        [(path, body)] = server.requests
        assert path == "/v1/chat/completions"
        assert body["max_tokens"] == 1
        assert isinstance(body["messages"][-1]["content"], list) is listens
        await engine.aclose()
        await engine.aclose()
        assert server.client_sockets == 0


async def start_failure(server: RecordedVllm, model: str = "tiny") -> str:
    async with server.running():
        engine = VllmChat(Remote(server.url, model), True)
        with pytest.raises(EngineError) as caught:
            await engine.start()
        assert server.client_sockets == 0
    assert caught.value.engine == "responder"
    return str(caught.value).replace(server.url, "URL")


async def test_a_realtime_model_is_never_asked_to_chat_for_that_ends_its_server() -> None:
    server = RecordedVllm(realtime=True)
    assert await start_failure(server) == (
        "tiny at URL is a Voxtral Realtime model, which only transcribes while one speaks: this mode needs Voxtral "
        "Mini."
    )
    assert server.requests == []


async def test_another_model_is_known_at_the_start() -> None:
    assert await start_failure(RecordedVllm(realtime=False), "realtime") == "URL serves tiny, and not realtime."


# --- answers ------------------------------------------------------------------------------------------------------


async def test_sound_is_answered() -> None:
    async with chatting() as (server, engine):
        pieces = await answer(engine)
        assert text(pieces) == said(RECORDED) != ""
        assert isinstance(pieces[-1], Finish)
        assert pieces[-1].usage is not None
        [(_, body)] = server.requests
        assert body["messages"][-1]["content"][0]["type"] == "input_audio"
        assert body | SAMPLING == body
        assert body["max_tokens"] == MAX_TOKENS


async def test_words_are_answered() -> None:
    async with chatting(listens=False) as (server, engine):
        assert text(await answer(engine, WRITTEN)) == said(RECORDED)
        assert server.requests[0][1]["messages"][-1] == {"role": "user", "content": "Hello."}


async def test_a_sound_with_nothing_to_hear_in_it_is_not_answered_but_for_its_words() -> None:
    async with chatting() as (server, engine):
        silent = Message("user", "", audio=silence(2000))
        assert await answer(engine, [*WRITTEN, silent]) == [Finish("stop", Usage(0, 0))]
        assert await engine.prepare([*WRITTEN, silent], language=None) is None
        assert server.requests == []
        known = Message("user", "Hello.", audio=silence(2000))
        assert text(await answer(engine, [known])) == said(RECORDED)
        await engine.prepare([known], language=None)
        assert [body["messages"][-1]["content"] for _, body in server.requests] == ["Hello."] * 2


async def test_our_own_limit_is_an_end_like_any_other() -> None:
    """The recorded answer was cut at its limit."""
    async with chatting() as (_, engine):
        assert [p.reason for p in await answer(engine) if isinstance(p, Finish)] == ["stop"]
        assert [p.reason for p in await answer(engine, max_tokens=8) if isinstance(p, Finish)] == ["length"]


async def test_the_limit_fits_the_model() -> None:
    async with chatting(model_len=512) as (server, engine):
        await answer(engine, max_tokens=5000)
        assert server.requests[0][1]["max_tokens"] == 256


def recorded_calls() -> list[Line]:
    """Streams in which tools are called."""
    answers = [exchange.answer for exchange in exchanges("chat_tools")]
    return [
        a for a in answers if a.get("content_type", "").startswith("text/event-stream") and '"tool_calls"' in a["body"]
    ]


@pytest.mark.parametrize("recorded", recorded_calls(), ids=lambda line: str(line["at_ms"]))
async def test_calls_of_the_real_one_are_understood(recorded: Line) -> None:
    tool = Tool("weather", "", "")
    async with chatting() as (server, engine):
        server.answers.append(recorded)
        pieces = await answer(engine, tools=Tools((tool,), NamedTool("weather")))
        calls = [piece for piece in pieces if isinstance(piece, CallPiece)]
        for index in {piece.index for piece in calls}:
            arguments = "".join(piece.arguments for piece in calls if piece.index == index)
            assert isinstance(orjson.loads(arguments), dict)
        assert {piece.name for piece in calls} <= {"weather", "time"}
        assert server.requests[0][1]["tools"][0]["function"]["name"] == "weather"


def test_there_are_such_recordings() -> None:
    assert recorded_calls()


async def test_a_conversation_that_is_too_long_loses_its_beginning() -> None:
    too_long = next(e.answer for e in exchanges("chat_refusals") if chat.TOO_LONG in str(e.answer.get("body")))
    turns = [Message("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(8)]
    async with chatting() as (server, engine):
        server.answers.extend([too_long, too_long])
        assert text(await answer(engine, [Message("system", "S"), *turns, *SPOKEN])) == said(RECORDED)
        lengths = [len(body["messages"]) for _, body in server.requests]
        assert lengths == [11, 7, 5]
        server.answers.extend([too_long] * 9)
        with pytest.raises(RequestError, match="maximum context length"):
            await answer(engine)


async def test_a_refusal_is_told() -> None:
    async with chatting() as (server, engine):
        server.answers.append(exchanges("chat_refusals")[3].answer)
        with pytest.raises(RequestError, match="Invalid or corrupted audio data"):
            await answer(engine)


# --- ahead --------------------------------------------------------------------------------------------------------


async def test_sound_is_computed_ahead_with_one_token() -> None:
    async with chatting() as (server, engine):
        assert await engine.prepare(SPOKEN, language=None) is None
        await answer(engine)
        (_, ahead), (_, asked) = server.requests
        assert ahead["max_tokens"] == 1
        assert ahead["messages"] == asked["messages"]


async def test_words_are_computed_ahead_once_for_what_came_before_them() -> None:
    history = (Message("user", "Hello."), Message("assistant", "Hi."))
    async with chatting() as (server, engine):
        for text in ("How", "How late", "How late is it?"):
            assert await engine.prepare([*history, Message("user", text)], language=None) is None
        assert len(server.requests) == 1
        await engine.prepare([Message("user", "How")], language=None)
        assert len(server.requests) == 2


async def test_what_is_computed_ahead_gives_way() -> None:
    async with chatting(places=1) as (server, engine):
        async with aclosing(engine.respond(SPOKEN, language=None, max_tokens=None)) as pieces:
            await anext(pieces)
            assert await engine.prepare(SPOKEN, language=None) is None
        assert len(server.requests) == 1


async def test_few_conversations_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MEMORY", 1)
    async with chatting() as (server, engine):
        for n in (1, 2, 1):
            await engine.prepare([Message("user", str(n)), Message("assistant", ""), *WRITTEN], language=None)
        assert len(server.requests) == 3


# --- faults -------------------------------------------------------------------------------------------------------

SENTENCES: dict[HttpFault, str] = {
    "mute": "URL was silent for 0.2 s: it hangs, or has too much to do.",
    "stalls": "URL was silent for 0.2 s: it hangs, or has too much to do.",
    "broken": "URL/chat/completions answered with status 500: out of memory.",
    "reset": "URL/chat/completions closed the connection without an answer.",
    "garbage": "URL/chat/completions does not answer in HTTP (",
    "cut": "The answer of URL/chat/completions broke off in the middle.",
    "error": "URL/chat/completions failed at the answer: EngineCore encountered an issue.",
    "endless line": "URL/chat/completions sent a line of more than 1048576 bytes.",
}


def test_every_fault_is_tried() -> None:
    assert SENTENCES.keys() == set(get_args(HttpFault))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", get_args(HttpFault))
async def test_a_fault_is_told_in_time_and_the_next_answer_comes(fault: HttpFault) -> None:
    async with chatting() as (server, engine):
        # a connection that was idle and is reset counts for nothing; the next is a new one
        server.http_faults = deque([fault, fault] if fault == "reset" else [fault])
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(2):
                await answer(engine)
        assert str(caught.value).replace(server.url, "URL").startswith(SENTENCES[fault])
        assert "://" not in caught.value.told
        await server.until(lambda: not server.busy)
        assert text(await answer(engine)) == said(RECORDED)
        assert server.client_sockets == 1


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_hangs_is_reported() -> None:
    told: list[str] = []
    server = RecordedVllm(realtime=False)
    async with server.running():
        engine = VllmChat(Remote(server.url), True, suspect=lambda: told.append("suspect"))
        await engine.start()
        server.http_faults.append("stalls")
        with pytest.raises(EngineError):
            await answer(engine)
        assert told == ["suspect"]
        await engine.aclose()


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_is_killed_and_comes_back() -> None:
    async with chatting() as (server, engine):
        await server.kill()
        with pytest.raises(EngineError, match=r"No server answers at|closed the connection"):
            await answer(engine)
        await server.revive()
        assert text(await answer(engine)) == said(RECORDED)


async def test_an_answer_that_nobody_wants_any_more_is_ended_upstream() -> None:
    async with chatting() as (server, engine):
        server.http_faults.append("stalls")
        async with aclosing(engine.respond(SPOKEN, language=None, max_tokens=None)) as pieces:
            assert await anext(pieces) == "."
            assert server.busy == 1
        await server.until(lambda: not server.busy)


@pytest.mark.usefixtures("hasty")
async def test_more_answers_than_places_wait_and_are_told() -> None:
    async with chatting(places=1) as (_, engine):
        async with aclosing(engine.respond(SPOKEN, language=None, max_tokens=None)) as pieces:
            await anext(pieces)
            with pytest.raises(BusyError, match="is busy: 1 requests are under way"):
                await answer(engine)
        assert text(await answer(engine)) == said(RECORDED)


@pytest.mark.usefixtures("hasty")
async def test_all_engines_of_a_server_share_its_places() -> None:
    async with chatting(places=1) as (server, engine):
        transcriber = VllmTranscriber(Remote(server.url, "tiny"), admission=engine._admission)
        await transcriber.start()
        async with aclosing(engine.respond(SPOKEN, language=None, max_tokens=None)) as pieces:
            await anext(pieces)
            with pytest.raises(BusyError) as caught:
                await transcriber.transcribe(speech(1), language=None, prompt="", final=True)
        assert caught.value.told == "The transcriber's server is busy."
        assert (await transcriber.transcribe(speech(1), language=None, prompt="", final=True)).text
        await transcriber.aclose()
