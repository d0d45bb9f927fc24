"""Events, however they are cut, and answers that end as they should, or do not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.odd_server import PATIENCE_S, Respond, json_answer, odd_server, stream
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.openai_stream import Events, chunks, part_of, reason_of, text_of
from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import EngineError


def event(text: bytes) -> bytes:
    return b"data: " + text + b"\n\n"


def chunk(text: str, reason: str | None = None) -> bytes:
    return event(orjson.dumps({"choices": [{"delta": {"content": text}, "finish_reason": reason}]}))


DONE = event(b"[DONE]")


async def read(respond: Respond, *, done_only: bool = False) -> list[Mapping[str, Any]]:
    async with odd_server(respond) as server, asyncio.timeout(PATIENCE_S):
        client = OpenAIServer("transcriber", Remote(server.url, "m"))
        await client.start()
        try:
            async with client.post("/work", b"{}") as answer:
                return [chunk async for chunk in chunks(answer, done_only=done_only)]
        finally:
            await client.aclose()


async def test_a_stream_ends_with_done() -> None:
    found = await read(stream(chunk("a"), chunk("b"), DONE, event(b"never read")))
    assert [text_of(part_of(chunk).get("content")) for chunk in found] == ["a", "b"]


async def test_a_reason_is_an_end_too_but_not_where_a_piece_of_the_answer_may_have_one() -> None:
    ends = stream(chunk("a"), chunk("b", "stop"))
    assert [reason_of(chunk) for chunk in await read(ends)] == [None, "stop"]
    with pytest.raises(EngineError, match="broke off in the middle"):
        await read(ends, done_only=True)


@pytest.mark.parametrize("respond", [stream(chunk("a")), stream(chunk("a"), ends=False), stream()])
async def test_without_an_end_it_broke_off(respond: Respond) -> None:
    with pytest.raises(EngineError, match="broke off in the middle"):
        await read(respond)


@pytest.mark.parametrize(
    "respond", [stream(event(b'{"error": "out of memory"}'), DONE), json_answer({"error": "out of memory"})]
)
async def test_an_error_event_is_a_failure_although_the_status_was_good(respond: Respond) -> None:
    with pytest.raises(EngineError, match="failed at the answer: out of memory") as caught:
        await read(respond)
    assert caught.value.told == "The transcriber's server failed at the answer."


async def test_of_an_event_that_cannot_be_read_the_log_has_the_length_alone() -> None:
    """What was said may be in it."""
    with pytest.raises(EngineError, match=r"sent an event that is not JSON: 25 bytes\.") as caught:
        await read(stream(chunk("a"), event(b'{"content": "my secret is')))
    assert "secret" not in str(caught.value)


async def test_a_whole_answer_is_one_chunk() -> None:
    assert await read(json_answer({"text": "hi"})) == [{"text": "hi"}]


@given(st.lists(st.text(alphabet="ab ", min_size=1).map(str.strip).filter(bool)), st.data())
def test_events_do_not_depend_on_how_they_are_cut(texts: list[str], data: st.DataObject) -> None:
    whole = b"".join(event(text.encode()) for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    events, found = Events(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += events.feed(whole[start:end])
    assert found == [text.encode() for text in texts]
    assert events.unfinished == 0
