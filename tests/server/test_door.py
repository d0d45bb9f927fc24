from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Message
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import PATIENCE_S, calling, subprotocols
from tests.server.conftest import Server, Serving, quick, quick_config
from tests.server.test_auth import KEY, OTHER, bearer, line, replace_file
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.engines.fakes import FakeResponder
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server import load
from voxtral_voice.server.auth import Auth
from voxtral_voice.server.door import Door

SUBPROTOCOLS = subprotocols("realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.1.2.3")


def config_with(**settings: Any) -> Config:
    return quick_config().model_copy(update={"server": ServerConfig(port=0, **settings)})


def keyed() -> Config:
    return config_with(api_keys=SecretStr(KEY))


async def ask(server: Server, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        return await client.request(method, server.url + path, **options)


async def refusal(server: Server, **options: Any) -> httpx.Response:
    """What a WebSocket that is not let in is told, as the response that it is."""
    address = server.url.replace("http", "ws", 1) + "/v1/realtime"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, proxy=None, **options):
            pass
    response = refused.value.response
    return httpx.Response(
        response.status_code, headers=list(response.headers.raw_items()), content=bytes(response.body)
    )


def assert_refused(answer: httpx.Response, message: str) -> None:
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert error["message"].startswith(message)


async def test_what_is_open_and_what_is_not(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        for path in ("/", "/page/app.js", "/page/style.css", "/livez", "/readyz", "/metrics"):
            assert (path, (await ask(server, path)).status_code) == (path, 200)
        for path in (
            "/v1/realtime",
            "/v1/models",
            "/v1/of-tomorrow",
            "/v1",
            "//v1/models",
            "/docs",
            "/page",
            "/PAGE/x",
        ):
            assert_refused(await ask(server, path), "An API key is needed")
            assert (path, (await ask(server, path, headers=bearer(KEY))).status_code) != (path, 401)
        assert_refused(await ask(server, "/v1/models?api_key=" + KEY), "An API key is needed")
        assert_refused(await ask(server, "/v1/models", headers=bearer(OTHER)), "Incorrect API key provided.")
        assert_refused(await ask(server, "/v1/audio/speech", "POST", json={}), "An API key is needed")


async def test_a_body_is_not_read_before_the_key_is_known(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        writer.close()
        await writer.wait_closed()


async def test_a_socket_without_a_key_or_with_a_wrong_one(serving: Serving) -> None:
    async with serving(config=keyed()) as server:
        assert_refused(await refusal(server), "An API key is needed")
        assert_refused(await refusal(server, subprotocols=subprotocols("realtime")), "An API key is needed")
        assert_refused(await refusal(server, additional_headers=bearer(OTHER)), "Incorrect API key")
        wrong = subprotocols("realtime", f"openai-insecure-api-key.{OTHER}")
        answer = await refusal(server, subprotocols=wrong)
        assert_refused(answer, "Incorrect API key")
        assert "sec-websocket-protocol" not in answer.headers
        assert_refused(await refusal(server, subprotocols=SUBPROTOCOLS, additional_headers=bearer(OTHER)), "Incorrect")


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({"additional_headers": bearer(KEY)}, None),
        ({"subprotocols": SUBPROTOCOLS}, "realtime"),
        ({"additional_headers": bearer(KEY), "subprotocols": SUBPROTOCOLS}, "realtime"),
        ({"additional_headers": bearer(KEY), "subprotocols": subprotocols("realtime")}, "realtime"),
    ],
)
async def test_a_socket_with_the_key(serving: Serving, options: dict[str, Any], selected: str | None) -> None:
    """The key is never said back."""
    async with serving(config=keyed()) as server, calling(server.url, **options) as caller:
        assert caller.socket.subprotocol == selected
        assert caller.socket.response is not None
        assert KEY not in str(caller.socket.response.headers)
        assert (await caller.turn())["response"]["status"] == "completed"
        assert all(KEY.encode() not in frame for frame in caller.frames)


async def test_fifty_wrong_keys_at_once(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    async with serving(config=keyed()) as server, calling(server.url, additional_headers=bearer(KEY)) as caller:
        async with asyncio.TaskGroup() as group:
            for number in range(25):
                group.create_task(refusal(server, additional_headers=bearer(f"{OTHER}{number}")))
                group.create_task(ask(server, "/v1/models", headers=bearer(f"{OTHER}{number}")))
        assert await server.metric("refusals_total", code="invalid_api_key") == 50
        assert (await caller.turn())["response"]["status"] == "completed"
    told = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "client_refused"]
    assert len(told) == 50
    assert {"code": "invalid_api_key", "path": "/v1/realtime", "peer": "127.0.0.1"} in told
    assert OTHER not in str(told)
    assert KEY not in caplog.text
    assert "client_admitted" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_keys_are_changed_while_clients_are_connected(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    await asyncio.to_thread(replace_file, file, line("old", KEY))
    async with serving(config=config_with(api_keys_file=str(file))) as server:
        assert_refused(await refusal(server, additional_headers=bearer(OTHER)), "Incorrect")
        async with calling(server.url, additional_headers=bearer(KEY)) as early:
            await asyncio.to_thread(replace_file, file, line("new", OTHER))
            assert_refused(await refusal(server, additional_headers=bearer(KEY)), "Incorrect")
            assert_refused(await ask(server, "/v1/models", headers=bearer(KEY)), "Incorrect")
            async with calling(server.url, additional_headers=bearer(OTHER)) as late:
                assert (await late.turn())["response"]["status"] == "completed"
            assert (await early.turn())["response"]["status"] == "completed"


async def test_pages_of_other_sites(serving: Serving) -> None:
    here, elsewhere = "https://app.example", "https://elsewhere.example"
    async with serving(config=config_with(api_keys=SecretStr(KEY), allowed_origins=(here,))) as server:
        answer = await refusal(server, origin=elsewhere, subprotocols=SUBPROTOCOLS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
        answer = await ask(server, "/v1/models", headers={**bearer(KEY), "origin": elsewhere})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        async with calling(server.url, origin=here, subprotocols=SUBPROTOCOLS):
            pass
        answer = await ask(server, "/v1/models", headers={"origin": here})
        assert_refused(answer, "An API key is needed")
        assert answer.headers["access-control-allow-origin"] == here  # else the page could not read why
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await ask(server, "/v1/audio/speech", "OPTIONS", headers={"origin": here, **asked})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == here
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()


async def test_nothing_is_allowed_to_other_sites_unless_named(serving: Serving) -> None:
    async with serving() as server:
        for path in ("/", "/readyz"):
            answer = await ask(server, path, headers={"origin": "https://elsewhere.example"})
            assert "access-control-allow-origin" not in answer.headers
        answer = await ask(server, "/v1/realtime", "POST", headers={"origin": "https://elsewhere.example"})
        assert answer.status_code == 403


async def test_a_strangers_name_for_this_machine_opens_nothing(serving: Serving) -> None:
    """DNS rebinding: to the browser it is all one origin, so there is no Origin in what the page reads."""
    stranger = {"host": "evil.example:8000"}
    async with serving() as server:
        for path in ("/", "/page/app.js"):  # has nothing of anybody in it, and says what is wrong
            assert (await ask(server, path, headers=stranger)).status_code == 200
        for path in ("/metrics", "/v1/models", "/v1/voices", "/v1/sessions", "/nowhere"):
            answer = await ask(server, path, headers=stranger)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_host")
        address = f"ws://evil.example:{server.url.rpartition(':')[2]}/v1/realtime"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address, proxy=None, host="127.0.0.1"):
                pass
        assert refused.value.response.status_code == 403
        assert await server.metric("refusals_total", code="foreign_host") == 6
    async with serving(config=config_with(allowed_hosts=("evil.example",))) as server:
        assert (await ask(server, "/v1/models", headers=stranger)).status_code == 200


async def test_a_strangers_name_for_this_machine_opens_nothing_without_a_key(serving: Serving) -> None:
    """What an operator's scraper on this machine reads without one, a page of another site could, too."""
    async with serving(config=keyed()) as server:
        for path in ("/metrics", "/v1/sessions"):
            for host in ("evil.example", "localhost.evil.example", "0x7f000001"):
                assert_refused(await ask(server, path, headers={"host": host}), "An API key is needed")
                assert (await ask(server, path, headers={"host": host} | bearer(KEY))).status_code == 200
            assert (await ask(server, path)).status_code == 200
            assert (await ask(server, path, headers={"host": "localhost:8000"})).status_code == 200
        assert (await ask(server, "/livez", headers={"host": "evil.example"})).status_code == 200


# --- places --------------------------------------------------------------------------------------------------------


def limited(config: Config | None = None, **limits: Any) -> Config:
    return (config or quick_config()).model_copy(update={"limits": LimitsConfig(**limits)})


def assert_no_place(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert 1 <= int(answer.headers["retry-after"]) <= 10


async def test_a_full_server_says_so_and_whoever_is_in_goes_on(serving: Serving) -> None:
    async with serving(config=limited(sessions=1)) as server:
        async with calling(server.url) as caller:
            assert_no_place(await refusal(server), 503, "server_full")
            assert (await caller.turn())["response"]["status"] == "completed"
            assert (await ask(server, "/v1/models")).status_code == 200
        assert await server.metric("sessions_refused_total", reason="sessions") == 1
        await server.all_ended()
        async with calling(server.url) as caller:
            assert (await caller.turn())["response"]["status"] == "completed"


async def test_a_full_server_asks_for_no_key_first(serving: Serving) -> None:
    async with (
        serving(config=limited(keyed(), sessions=1)) as server,
        calling(server.url, additional_headers=bearer(KEY)),
    ):
        assert_no_place(await refusal(server), 503, "server_full")
        assert_refused(await ask(server, "/v1/models"), "An API key is needed")


async def test_a_page_hears_why_on_the_socket(serving: Serving) -> None:
    async with serving(config=limited(sessions=1)) as server, calling(server.url):
        page: dict[str, Any] = {"origin": server.url, "subprotocols": SUBPROTOCOLS}
        async with connect(server.url.replace("http", "ws", 1) + "/v1/realtime", proxy=None, **page) as socket:
            event = json.loads(await socket.recv())
            assert (event["type"], event["error"]["code"]) == ("error", "server_full")
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1013, event["error"]["message"])
        answer = await refusal(server, origin="https://elsewhere.example", subprotocols=SUBPROTOCOLS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")


async def test_many_pages_at_once_are_told_as_scripts_are(serving: Serving) -> None:
    async with serving(config=limited(sessions=1)) as server, calling(server.url):
        while server.runtime.refusals.may_tell_page(asyncio.get_running_loop().time()):
            pass
        assert_no_place(await refusal(server, origin=server.url), 503, "server_full")


async def test_one_key_has_so_many_sessions_and_its_client_secrets_are_its_own(serving: Serving) -> None:
    config = limited(config_with(api_keys=SecretStr(f"{KEY},{OTHER}")), sessions_per_key=1)
    async with serving(config=config) as server:
        answer = await ask(server, "/v1/realtime/client_secrets", "POST", headers=bearer(KEY), json={})
        async with calling(server.url, additional_headers=bearer(answer.json()["value"])):
            assert_no_place(await refusal(server, additional_headers=bearer(KEY)), 429, "rate_limit_exceeded")
            async with calling(server.url, additional_headers=bearer(OTHER)):
                pass


async def test_a_place_that_leads_to_no_session_is_free_again(serving: Serving) -> None:
    async with serving(config=limited(sessions=1)) as server:
        address = server.url.replace("http", "ws", 1)
        for path in ("/v1/realtime?intent=nothing", "/elsewhere"):
            with pytest.raises(InvalidStatus):
                async with connect(address + path, proxy=None):
                    pass
        await server.all_ended()
        assert server.runtime.admission.sessions == 0
        async with calling(server.url):
            assert server.runtime.admission.sessions == 1


async def test_who_goes_on_with_a_session_needs_no_place(serving: Serving) -> None:
    """Whether the session is there is found out behind the door: here it is not."""
    ways: tuple[dict[str, Any], ...] = (
        {"additional_headers": {"X-Voxtral-Voice-Resume": "unknown"}},
        {"subprotocols": subprotocols("realtime", "voxtral-voice-resume.unknown")},
    )
    async with serving(config=limited(sessions=1)) as server, calling(server.url):
        for options in ways:
            address = server.url.replace("http", "ws", 1) + "/v1/realtime?intent=nothing"
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address, proxy=None, **options):
                    pass
            assert refused.value.response.status_code == 400


async def test_a_server_that_answers_slowly_lets_nobody_new_in(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FEWEST_TURNS", 1)
    engines = quick(responder=FakeResponder(first_token_ms=400))
    async with serving(engines, limited(sessions=8, slow_turn_s=0.1)) as server:
        async with calling(server.url) as one, calling(server.url):
            assert (await ask(server, "/v1/models")).status_code == 200
            assert (await one.turn())["response"]["status"] == "completed"
            assert_no_place(await refusal(server), 503, "server_overloaded")
            assert await server.metric("sessions_refused_total", reason="load") == 1
        await server.all_ended()
        async with calling(server.url):  # one alone is no load, however slow it was
            pass


async def test_a_session_that_waits_for_its_client_keeps_its_place(serving: Serving) -> None:
    async with serving(config=limited(config_with(resume_s=1), sessions=1)) as server:
        async with connect(server.url.replace("http", "ws", 1) + "/v1/realtime", proxy=None) as socket:
            session = {"type": "realtime", "voxtral_voice": {"resume": True}}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            for _ in ("session.created", "session.updated"):
                await socket.recv()
            socket.transport.abort()
            async with asyncio.timeout(PATIENCE_S):
                while not any(session.is_held for session in server.runtime.sessions):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert_no_place(await refusal(server), 503, "server_full")
        async with asyncio.timeout(PATIENCE_S):
            while server.runtime.admission.sessions:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with calling(server.url):
            pass


async def test_who_shows_no_token_comes_for_a_new_session(serving: Serving) -> None:
    """However it names the header."""
    async with serving(config=limited(sessions=1)) as server, calling(server.url):
        for value in ("", " "):
            answer = await refusal(server, additional_headers={"X-Voxtral-Voice-Resume": value})
            assert_no_place(answer, 503, "server_full")
        answer = await refusal(server, subprotocols=subprotocols("realtime", "voxtral-voice-resume."))
        assert_no_place(answer, 503, "server_full")


# --- requests from other machines, as ASGI has them ----------------------------------------------------------------


async def answered(config: ServerConfig, path: str, peer: str | None, **headers: str) -> int:
    """The status of a GET; 200 when it comes to what is behind the door."""
    sent: list[Message] = []

    async def behind(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Message:
        raise AssertionError("the door reads nothing")

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope["client"] = peer and (peer, 40_000)
    await Door(behind, Auth(config), Metrics())(scope, receive, send)
    return int(sent[0]["status"])


KEYED = ServerConfig(api_keys=SecretStr(KEY))


@pytest.mark.parametrize(
    ("config", "peer", "headers", "status"),
    [
        (KEYED, "127.0.0.1", {}, 200),
        (KEYED, "::1", {}, 200),
        (KEYED, "::ffff:127.0.0.1", {}, 200),
        (KEYED, "203.0.113.9", {}, 401),
        (KEYED, None, {}, 401),
        (KEYED, "203.0.113.9", bearer(KEY), 200),
        (ServerConfig(host="0.0.0.0", insecure_no_auth=True), "203.0.113.9", {}, 200),
    ],
)
async def test_who_may_read_the_metrics(
    config: ServerConfig, peer: str | None, headers: dict[str, str], status: int
) -> None:
    assert await answered(config, "/metrics", peer, **headers) == status


async def test_what_is_open_is_so_to_others_too() -> None:
    assert await answered(KEYED, "/readyz", "203.0.113.9") == 200
    assert await answered(KEYED, "/v1/models", "203.0.113.9") == 401
