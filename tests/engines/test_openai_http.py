"""What can go wrong with a server, and how it is said."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.engines.odd_server import (
    PATIENCE_S,
    OddServer,
    Request,
    Respond,
    begin_stream,
    json_answer,
    never,
    odd_server,
    raw,
    stream,
    whole,
    write_chunk,
)
from voxtral_voice.engines import openai_http
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.errors import EngineError, RequestError


@asynccontextmanager
async def started(server: OddServer, api_key: str = "", model: str = "m") -> AsyncIterator[OpenAIServer]:
    client = OpenAIServer("responder", Remote(server.url, model, api_key))
    await client.start()
    try:
        yield client
    finally:
        await client.aclose()


async def failure(respond: Respond) -> EngineError:
    """Of one request for an answer in JSON. PORT stands for the server's."""
    async with odd_server(respond) as server, started(server) as client:
        with pytest.raises(EngineError) as caught:
            async with asyncio.timeout(PATIENCE_S), client.post("/work", b"{}") as answer:
                await answer.json()
    assert caught.value.engine == "responder"
    assert caught.value.told.startswith("The responder's server ")
    assert "://" not in caught.value.told
    message = str(caught.value).replace(server.url, "URL")
    return type(caught.value)(caught.value.engine, message, caught.value.told)


async def start_failure(models: Respond, model: str = "") -> str:
    async with odd_server(never, models) as server:
        with pytest.raises(EngineError) as caught:
            async with started(server, model=model):
                pytest.fail("it started")
    return str(caught.value).replace(server.url, "URL")


# --- starting -----------------------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        with pytest.raises(EngineError) as caught:
            async with started(OddServer(url)):
                pytest.fail("it started")
    assert str(caught.value) == (
        f"No server answers at {url}/models (Connection refused): start it, or correct responder.url."
    )


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(EngineError, match=r"No server answers at http://no\.such\.host\.invalid/v1/models \("):
        async with started(OddServer("http://no.such.host.invalid/v1")):
            pytest.fail("it started")


async def test_a_server_that_takes_no_connection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one behind a firewall that answers nothing: here its queue of new connections is full."""
    monkeypatch.setattr(openai_http, "CONNECT_S", 0.05)
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(EngineError) as caught:
            async with started(OddServer(url)):
                pytest.fail("it started")
    sentence = "No server takes a connection at URL/models within 0.05 s: start it, or correct responder.url."
    assert str(caught.value).replace(url, "URL") == sentence
    assert caught.value.told == "The responder's server does not answer."


async def test_a_start_asks_once_and_sends_the_key() -> None:
    seen: list[Request] = []

    async def models(request: Request, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await json_answer({"data": []})(request, writer)

    async with odd_server(never, models) as server, started(server, "secret"):
        assert [request.line for request in seen] == ["GET /v1/models"]
        assert seen[0].headers["authorization"] == "Bearer secret"
        assert server.requests == []


async def test_the_only_model_that_a_server_lists_is_taken() -> None:
    async with odd_server(never) as server, started(server, model="") as client:
        assert (client.model, client.name) == ("only", f"only at {server.url}")


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (
            json_answer({"data": [{"id": "a"}, {"id": "b"}]}),
            "URL lists 2 models (a, b): name the one to use with responder.model.",
        ),
        (json_answer({"data": []}), "URL does not say what it serves: name the one to use with responder.model."),
        (whole(200, b"<html>"), "URL does not say what it serves: name the one to use with responder.model."),
        (json_answer([1]), "URL does not say what it serves: name the one to use with responder.model."),
        (json_answer({"data": [1]}), "URL does not say what it serves: name the one to use with responder.model."),
        *(
            (
                json_answer({"data": [{"id": name}]}),
                "URL does not say what it serves: name the one to use with responder.model.",
            )
            for name in ("x" * 201, "\x1b[31mred", "")
        ),
        (
            json_answer({"error": "Not found"}, 404),
            "URL/models answered with status 404: Not found. Name the model to use with responder.model.",
        ),
        (
            whole(500, b"<b>\x1b[31mboom</b>" * 1000),
            "URL/models answered with status 500: " + ("<b>\ufffd[31mboom</b>" * 99)[:300] + "... "
            "Name the model to use with responder.model.",
        ),
        (
            whole(302, b"", head="Location: /login\r\n"),
            "URL/models answered with status 302; it points to /login. Name the model to use with responder.model.",
        ),
        (
            json_answer({"error": "Who?"}, 401),
            "URL/models answered with status 401: Who? Set responder.api_key to a key that it takes.",
        ),
    ],
)
async def test_a_model_has_to_be_named_where_it_is_not_clear(models: Respond, sentence: str) -> None:
    assert await start_failure(models) == sentence


@pytest.mark.parametrize("models", [json_answer({}, 404), json_answer({}, 500), whole(200, b"hello")])
async def test_a_server_without_a_list_is_fine_when_the_model_is_named(models: Respond) -> None:
    async with odd_server(never, models) as server, started(server) as client:
        assert client.model == "m"


async def test_a_key_that_is_refused_is_known_at_the_start() -> None:
    said = await start_failure(json_answer({"error": {"message": "Bad key"}}, 401), "m")
    assert said == "URL/models answered with status 401: Bad key. Set responder.api_key to a key that it takes."


async def test_the_setting_of_a_refused_key_has_its_own_name() -> None:
    async with odd_server(never, json_answer({"error": "Bad key"}, 401)) as server:
        client = OpenAIServer("transcriber", Remote(server.url, settings="voxtral.vllm_"))
        with pytest.raises(EngineError, match=r"Bad key\. Set voxtral\.vllm_api_key to a key that it takes\."):
            await client.start()


async def test_a_server_that_does_not_answer_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "START_S", 0.05)
    assert await start_failure(never, "m") == "URL did not answer within 0.05 s: is it the right URL?"


async def test_without_a_start_nothing_runs_and_it_may_be_closed_twice() -> None:
    client = OpenAIServer("speaker", Remote("http://127.0.0.1:1/v1"))
    await client.aclose()
    await client.aclose()
    with pytest.raises(EngineError, match="The speaker is not running"):
        async with client.post("/work", b""):
            pytest.fail("it was sent")


# --- answers that are none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no model x"}}', "no model x"),
        (b'{"error": "no model x"}', "no model x"),
        (b'{"object": "error", "message": "no model x"}', "no model x"),
        (b'{"detail": "no model x"}', "no model x"),
        (b'{"detail": [{"msg": "wrong"}]}', '[{"msg":"wrong"}]'),
        (b'{"error": {"code": 7}}', '{"code":7}'),
        (b"no model\n  x", "no model x"),
        (b'["a"]', "['a']"),
    ],
)
async def test_the_servers_own_words_are_told(body: bytes, said: str) -> None:
    assert str(await failure(whole(500, body))) == f"URL/work answered with status 500: {said}."


async def test_a_long_error_is_cut() -> None:
    assert str(await failure(whole(500, b"x" * 5000))).endswith("xxx...")
    assert str(await failure(whole(500, b""))) == "URL/work answered with status 500."


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_the_requests_fault_is_not_the_engines(status: int) -> None:
    error = await failure(json_answer({"error": {"message": "too long!"}}, status))
    assert isinstance(error, RequestError)
    assert str(error) == f"URL/work answered with status {status}: too long!"


@pytest.mark.parametrize(
    ("respond", "sentence"),
    [
        (
            json_answer({"error": {"message": "who are you?"}}, 403),
            "URL/work answered with status 403: who are you? Set responder.api_key to a key that it takes.",
        ),
        (
            whole(404, b""),
            "URL/work answered with status 404. Is responder.url right (it often ends in /v1), and the model?",
        ),
        (json_answer({"message": "Slow down."}, 429), "URL/work answered with status 429: Slow down."),
        (whole(307, b"", head="Location: /b\r\n"), "URL/work answered with status 307; it points to /b."),
        (raw(b""), "URL/work closed the connection without an answer."),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "The answer of URL/work broke off in the middle."),
        (stream(b"{", ends=False), "The answer of URL/work broke off in the middle."),
        (whole(200, b"hello there"), "URL/work sent something that is not JSON: 11 bytes."),
        (whole(200, b"[1]"), "URL/work sent JSON that is no object: 3 bytes."),
    ],
)
async def test_every_failure_is_one_sentence(respond: Respond, sentence: str) -> None:
    error = await failure(respond)
    assert str(error) == sentence
    assert not isinstance(error, RequestError)


@pytest.mark.parametrize(
    ("respond", "told"),
    [
        (json_answer({"error": {"message": "boom sk-SECRET."}}, 500), "answered with status 500."),
        (json_answer({"error": {"message": "sk-SECRET is wrong"}}, 401), "answered with status 401."),
        (json_answer({"error": {"message": "SECRET"}}, 400), "answered with status 400."),
        (whole(307, b"", head="Location: http://SECRET/\r\n"), "answered with status 307."),
        (whole(200, b"SECRET"), "sent something that is not JSON."),
        (whole(200, b'["SECRET"]'), "sent JSON that is no object."),
        (raw(b"220 SECRET ESMTP\r\n"), "does not answer in HTTP."),
        (raw(b""), "closed the connection without an answer."),
        (stream(b"SECRET", ends=False), "broke off in the middle of its answer."),
    ],
)
async def test_clients_are_told_neither_where_it_is_nor_what_it_said(respond: Respond, told: str) -> None:
    assert (await failure(respond)).told == f"The responder's server {told}"


async def test_clients_are_not_told_where_nothing_answers() -> None:
    async with odd_server(never) as server, started(server) as client:
        client.url = "http://127.0.0.1:9/v1"
        with pytest.raises(EngineError) as caught:
            async with client.post("/work", b"{}"):
                pytest.fail("it was sent")
    assert caught.value.told == "The responder's server does not answer."


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (rb'{"a": "\ud800 hi"}', {"a": "\ufffd hi"}),
        (rb'{"\udc00": ["hi\ud83d", "\ud83d\ude42", 1.5, null]}', {"\ufffd": ["hi\ufffd", "\U0001f642", 1.5, None]}),
        (b'{"a": "\xff hi"}', {"a": "\ufffd hi"}),
    ],
)
async def test_half_a_character_does_not_cost_the_answer(body: bytes, content: object) -> None:
    async with (
        odd_server(whole(200, body)) as server,
        started(server) as client,
        client.post("/work", b"{}") as answer,
    ):
        assert await answer.json() == content


@pytest.mark.parametrize("body", [b"{", b"NaN", b"[" * 100_000, rb'{"a": "\ud800", "b": NaN}'])
def test_what_is_no_json_stays_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        openai_http.loaded(body)


async def test_something_else_than_http() -> None:
    said = str(await failure(raw(b"220 mail.example ESMTP\r\n")))
    assert said.startswith("URL/work does not answer in HTTP (")
    assert said.endswith("): is it the right URL?")


async def test_an_answer_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_ANSWER_BYTES", 1000)
    said = str(await failure(whole(200, b"x" * 5000)))
    assert said == "The answer of URL/work is larger than 1000 bytes."


# --- connections --------------------------------------------------------------------------------------------------


async def test_one_connection_serves_many_requests() -> None:
    async with odd_server(json_answer({"a": 1})) as server, started(server) as client:
        for _ in range(5):
            async with client.post("/work", b"{}") as answer:
                assert await answer.json() == {"a": 1}
        assert server.connections == 1


async def test_a_connection_that_was_closed_while_idle_is_not_noticed() -> None:
    closes: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        await json_answer({"a": 1})(request, writer)
        closes.put_nowait(writer)

    async with odd_server(respond) as server, started(server) as client:
        for connections in (1, 2, 3):
            async with client.post("/work", b"{}") as answer:
                assert await answer.json() == {"a": 1}
            assert server.connections == connections
            (await closes.get()).write_eof()
            await server.left.wait()  # the client has answered it with its own end
            server.left.clear()


@pytest.mark.parametrize("size", [0, 2, 3 * 1024 * 1024])
async def test_a_connection_that_is_closed_in_that_moment_is_not_noticed(size: int) -> None:
    """A server closes what was idle; the request that comes over it has to find that out. Bodies are sent anew."""
    asked = 0

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            writer.close()
        else:
            await json_answer({"a": 1})(request, writer)

    async with odd_server(respond) as server, started(server) as client:
        async with client.post("/work", b"x" * size) as answer:
            assert await answer.json() == {"a": 1}
        assert [request.body for request in server.requests] == [b"x" * size] * 2


async def test_over_a_new_connection_a_request_is_sent_once() -> None:
    """Whether it is tried again then is decided in one place, and not here."""

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with odd_server(respond) as server, started(server) as client:
        for requests in (2, 3, 4):  # the first of all came over the connection by which the models were asked for
            with pytest.raises(EngineError, match="closed the connection without an answer"):
                async with client.post("/work", b"{}"):
                    pytest.fail("it was answered")
            assert (len(server.requests), server.connections) == (requests, requests)


async def test_no_more_connections_than_the_pool_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_CONNECTIONS", 2)
    at_once: list[int] = []
    busy = 0

    async def respond(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal busy
        busy += 1
        at_once.append(busy)
        await asyncio.sleep(0.01)
        busy -= 1
        await json_answer({})(request, writer)

    async def ask(client: OpenAIServer) -> None:
        async with client.post("/work", b"{}") as answer:
            await answer.json()

    async with odd_server(respond) as server, started(server) as client:
        await asyncio.gather(*(ask(client) for _ in range(8)))
        assert max(at_once) == server.connections == 2
        assert len(server.requests) == 8


async def test_cancelling_closes_the_request_at_once() -> None:
    began = asyncio.Event()

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        began.set()

    async def ask(client: OpenAIServer) -> None:
        async with client.post("/work", b"{}"):
            pytest.fail("there was an answer")

    async with odd_server(respond) as server, started(server) as client:
        asking = asyncio.create_task(ask(client))
        await began.wait()
        asking.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await server.left.wait()
        assert asking.cancelled() or asking.done()


async def test_leaving_in_the_middle_of_an_answer_closes_the_request() -> None:
    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        write_chunk(writer, b"something")

    async with odd_server(respond) as server, started(server) as client:
        async with client.post("/work", b"{}") as answer:
            async for piece in answer.pieces():
                assert piece == b"something"
                break
        async with asyncio.timeout(PATIENCE_S):
            await server.left.wait()
