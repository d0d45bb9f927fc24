"""The edge of every endpoint: how much at once, a client that hangs up, errors, the answer's way out.

Knows: ASGI, limits. Does not know: who may ask (`door`), what is asked for.

An answer is pieces of bytes, made while they are sent. What goes wrong before the first of them is an HTTP error;
behind it a stream of events ends with an error event, and any other is cut off without its end, so that no client takes
a part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from voxtral_voice.realtime.fields import FieldError, JsonObject
from voxtral_voice.server.rest.errors import ApiError, busy, of_problem, too_large, too_slow

RECEIVE_S: Final = 30.0
"""Between two pieces of a request, and for as much of it as comes at less than `LEAST_BYTES_PER_S`."""
LEAST_BYTES_PER_S: Final = 64 * 1024
"""Of a request's body after that: half a megabit. 25 MiB take seven minutes so, and a drip of bytes half a minute."""
MOST_READ: Final = 64
"""Bodies of one endpoint that come in at once; slow ones keep nobody from the engines, but their memory has an end."""
SEND_S: Final = 60.0
"""For a piece of the answer; a client that reads no more is given up."""
EVENTS: Final = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    media_type: str
    pieces: AsyncGenerator[bytes, None]
    """Not empty. May raise ApiError."""
    streamed: bool = False
    """Each piece is sent when it is made."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """More of them, ASCII."""

    @property
    def is_events(self) -> bool:
        return self.media_type == EVENTS


Handle = Callable[[Request], Coroutine[None, None, Answer]]
"""Reads a request and checks it; the work is done in the answer's pieces. Raises ApiError, FieldError."""


def event(data: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def json_answer(content: JsonObject) -> Answer:
    return Answer("application/json", _once(orjson.dumps(content)))


async def _once(piece: bytes) -> AsyncGenerator[bytes, None]:
    yield piece


class Gate:
    """Lets so many in at once; who comes then is told to come again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Raises ApiError when it is full."""
        if self._inside >= self._most:
            raise busy(self._most)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


class Endpoint:
    """An ASGI app. most: requests that are answered at once. most_bytes: of one request's body. place: what an answer
    needs besides, and raises ApiError when it cannot be had."""

    def __init__(
        self,
        handle: Handle,
        *,
        most: int,
        most_bytes: int,
        place: Callable[[Scope], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._handle = handle
        self._place = place
        self._gate = Gate(most)
        self._reading = Gate(max(most, MOST_READ))
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except FieldError as error:
            await of_problem(error.problem).response()(scope, receive, send)
        except ApiError as error:
            await error.response()(scope, receive, send)
        except ClientDisconnect:
            pass  # in the middle of its request: nobody is left to be answered

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, bounded(receive, Request(scope).headers, self._most_bytes))
        try:
            with self._reading.entered():
                answer = await self._handle(request)
            with self._gate.entered(), self._place(scope):
                await unless_hung_up(receive, _send(answer, scope, receive, send))
        finally:
            await request.close()


def bounded(receive: Receive, headers: Mapping[str, str], most_bytes: int) -> Receive:
    """A request's body, while it is read. Raises ApiError when it is too large, stops coming or comes too slowly."""
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise too_large(most_bytes)
    size = 0
    clock = asyncio.get_running_loop().time
    begun_s = clock()

    async def receive_bounded() -> Message:
        nonlocal size
        least_by_s = begun_s + RECEIVE_S + size / LEAST_BYTES_PER_S
        try:
            async with asyncio.timeout_at(min(clock() + RECEIVE_S, least_by_s)):
                message = await receive()
        except TimeoutError:
            raise too_slow(RECEIVE_S) from None
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise too_large(most_bytes)
        return message

    return receive_bounded


async def unless_hung_up(receive: Receive, work: Coroutine[None, None, None]) -> None:
    """Do the work, or stop it when the client goes away. The request's body has been read."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            watcher = group.create_task(_stop_at_hang_up(receive, task))
            task.add_done_callback(lambda _: watcher.cancel())
    except* ClientDisconnect:
        pass  # it reads no more


async def _stop_at_hang_up(receive: Receive, task: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


async def _send(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    async with aclosing(answer.pieces) as pieces:
        try:
            body = await anext(pieces) if answer.streamed else b"".join([piece async for piece in pieces])
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await _patient(send, {"type": "http.response.start", "status": 200, "headers": _headers(answer, len(body))})
        await _patient(send, {"type": "http.response.body", "body": body, "more_body": answer.streamed})
        if answer.streamed:
            await _send_rest(answer, pieces, send)


async def _send_rest(answer: Answer, pieces: AsyncGenerator[bytes, None], send: Send) -> None:
    try:
        async for piece in pieces:
            await _patient(send, {"type": "http.response.body", "body": piece, "more_body": True})
    except ApiError as error:
        if not answer.is_events:
            return  # the server closes the connection of an answer that has no end
        await _patient(send, {"type": "http.response.body", "body": event(error.body()), "more_body": True})
    await _patient(send, {"type": "http.response.body", "body": b"", "more_body": False})


def _headers(answer: Answer, size: int) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", answer.media_type.encode()), *answer.headers]
    if answer.streamed:
        return [*headers, (b"x-accel-buffering", b"no")]  # nginx would wait for more
    return [*headers, (b"content-length", str(size).encode())]


async def _patient(send: Send, message: Message) -> None:
    """A client that takes too long counts as one that hung up."""
    try:
        async with asyncio.timeout(SEND_S):
            await send(message)
    except TimeoutError:
        raise ClientDisconnect from None
