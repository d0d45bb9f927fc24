"""The edge alone, as an ASGI app that a test calls: what a real client does seldom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from tests.server.caller import PATIENCE_S
from voxtral_voice.realtime.fields import invalid
from voxtral_voice.server.rest import edge
from voxtral_voice.server.rest.edge import EVENTS, Answer, Endpoint
from voxtral_voice.server.rest.errors import ApiError

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
LAST: Message = {"type": "http.request", "body": b"", "more_body": False}


class Client:
    """messages: what it sends, one after the other; then it waits, until it hangs up."""

    def __init__(self, *messages: Message) -> None:
        self._messages = [*messages]
        self.got: list[Message] = []
        self.hung_up, self.answered = asyncio.Event(), asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        self.got.append(message)
        self.answered.set()

    async def call(self, endpoint: Endpoint, headers: dict[str, str] | None = None) -> None:
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        async with asyncio.timeout(PATIENCE_S):
            await endpoint({**SCOPE, "headers": raw}, self.receive, self.send)

    @property
    def status(self) -> int:
        return int(self.got[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.got[1:])

    @property
    def complete(self) -> bool:
        return not self.got[-1].get("more_body")


async def pieces(*given: bytes | Exception) -> AsyncGenerator[bytes, None]:
    for piece in given:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def endpoint(answer: Answer, most_bytes: int = 1000) -> Endpoint:
    async def handle(request: Request) -> Answer:
        await request.body()
        return answer

    return Endpoint(handle, most=1, most_bytes=most_bytes)


FAULT = ApiError(500, "It broke.", code="engine_failed")


async def test_a_whole_answer_has_its_length() -> None:
    client = Client(LAST)
    await client.call(endpoint(Answer("text/plain", pieces(b"ab", b"c"))))
    assert (client.status, client.body, client.complete) == (200, b"abc", True)
    assert (b"content-length", b"3") in client.got[0]["headers"]


async def test_a_streamed_one_goes_piece_by_piece() -> None:
    client = Client(LAST)
    await client.call(endpoint(Answer("text/plain", pieces(b"ab", b"c"), streamed=True)))
    assert [message["body"] for message in client.got[1:]] == [b"ab", b"c", b""]
    assert client.complete


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_fault_before_the_first_piece(streamed: bool) -> None:
    client = Client(LAST)
    await client.call(endpoint(Answer(EVENTS, pieces(FAULT), streamed=streamed)))
    assert (client.status, orjson.loads(client.body)) == (500, FAULT.body())


async def test_a_fault_after_it() -> None:
    client = Client(LAST)
    await client.call(endpoint(Answer("audio/mpeg", pieces(b"ab", FAULT), streamed=True)))
    assert (client.status, client.body, client.complete) == (200, b"ab", False)
    client = Client(LAST)
    await client.call(endpoint(Answer(EVENTS, pieces(b"ab", FAULT), streamed=True)))
    assert (client.body, client.complete) == (b"ab" + b"data: " + orjson.dumps(FAULT.body()) + b"\n\n", True)


async def test_what_a_handler_raises() -> None:
    for error in (FAULT, invalid("x", "a string", 1)):

        async def handle(request: Request, error: Exception = error) -> Answer:
            raise error

        client = Client(LAST)
        await client.call(Endpoint(handle, most=1, most_bytes=0))
        assert orjson.loads(client.body)["error"]["code"] in ("engine_failed", "invalid_value")


async def test_a_body_that_is_larger_than_it_may_be() -> None:
    body: Message = {"type": "http.request", "body": b"x" * 600, "more_body": True}
    for client, headers in ((Client(), {"content-length": "1001"}), (Client(body, body, body), {})):
        await client.call(endpoint(Answer("text/plain", pieces(b"ab"))), headers)
        assert client.status == 413


async def test_a_body_that_stops_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "RECEIVE_S", 0.01)
    client = Client({"type": "http.request", "body": b"x", "more_body": True})
    await client.call(endpoint(Answer("text/plain", pieces(b"ab"))))
    assert client.status == 408


async def test_a_body_that_comes_drop_by_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause is too long, and yet it never ends."""
    monkeypatch.setattr(edge, "RECEIVE_S", 0.05)
    monkeypatch.setattr(edge, "LEAST_BYTES_PER_S", 1e9)
    client = Client()

    async def drops() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    monkeypatch.setattr(client, "receive", drops)
    await client.call(endpoint(Answer("text/plain", pieces(b"ab")), most_bytes=1_000_000_000))
    assert (client.status, orjson.loads(client.body)["error"]["code"]) == (408, "request_timeout")


async def test_bodies_that_are_still_coming_keep_nobody_out() -> None:
    one = endpoint(Answer("text/plain", pieces(b"ab")))
    slow = [Client({"type": "http.request", "body": b"x", "more_body": True}) for _ in range(8)]
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call(one)) for client in slow]
        await asyncio.sleep(0)
        whole = Client(LAST)
        await whole.call(one)
        assert not any(call.done() for call in calls)
        for client in slow:
            client.hung_up.set()
    assert (whole.status, whole.body) == (200, b"ab")


async def test_there_is_an_end_to_bodies_that_are_still_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "MOST_READ", 2)
    one = endpoint(Answer("text/plain", pieces(b"ab")))
    slow = [Client({"type": "http.request", "body": b"x", "more_body": True}) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for client in slow:
            group.create_task(client.call(one))
        await asyncio.sleep(0)
        third = Client(LAST)
        await third.call(one)
        for client in slow:
            client.hung_up.set()
    assert third.status == 429


async def test_a_client_that_hangs_up_in_its_request() -> None:
    client = Client({"type": "http.request", "body": b"x", "more_body": True})
    client.hung_up.set()
    await client.call(endpoint(Answer("text/plain", pieces(b"ab"))))
    assert client.got == []


async def test_a_client_that_hangs_up_while_it_is_answered() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield b"ab"
            await asyncio.Event().wait()
        finally:
            closed.set()

    client = Client(LAST)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(client.call(endpoint(Answer(EVENTS, endless(), streamed=True))))
        await client.answered.wait()
        client.hung_up.set()
        await call
    assert closed.is_set()
    assert not client.complete


async def test_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "SEND_S", 0.01)
    closed = asyncio.Event()

    async def answer() -> AsyncGenerator[bytes, None]:
        try:
            yield b"ab"
        finally:
            closed.set()

    client = Client(LAST)
    client.reads.clear()
    await client.call(endpoint(Answer(EVENTS, answer(), streamed=True)))
    assert client.got == []
    assert closed.is_set()


async def test_the_gate_opens_again_whatever_happened() -> None:
    async def handle(request: Request) -> Answer:
        raise RuntimeError("a mistake of ours")

    broken = Endpoint(handle, most=1, most_bytes=0)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="of ours"):
            await Client(LAST).call(broken)


async def test_the_gate_is_shut_while_somebody_is_inside() -> None:
    held: Any = asyncio.Event()

    async def answer() -> AsyncGenerator[bytes, None]:
        await held.wait()
        yield b"ab"

    async def handle(request: Request) -> Answer:
        return Answer("text/plain", answer())

    one = Endpoint(handle, most=1, most_bytes=0)
    first, second, third = Client(LAST), Client(LAST), Client(LAST)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(first.call(one))
        await asyncio.sleep(0)
        await second.call(one)
        held.set()
        await call
        await third.call(one)
    assert (first.status, second.status, third.status) == (200, 429, 200)
