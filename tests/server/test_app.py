from __future__ import annotations

import mimetypes
import re

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import calling
from tests.server.conftest import Serving
from voxtral_voice.server.app import PAGE

POLICY = {
    "default-src": "'self'",
    "connect-src": "'self' ws: wss:",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


async def test_the_page_and_every_file_it_names(serving: Serving) -> None:
    async with serving() as server:
        page = await server.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
        assert {"page/style.css", "page/app.js"} <= set(named)
        for path in named:
            assert (await server.get(f"/{path}")).status_code == 200


def test_the_page_needs_nothing_that_its_policy_forbids() -> None:
    html = (PAGE / "index.html").read_text()
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    assert not re.findall(r'(?:href|src)="(?:https?:)?//', html)


async def test_a_machine_with_odd_file_types(serving: Serving) -> None:
    mimetypes.add_type("text/plain", ".js")
    async with serving() as server:
        assert (await server.get("/page/app.js")).headers["content-type"] == "text/javascript; charset=utf-8"


ANSWERS = (
    ("/", 200, "text/html; charset=utf-8"),
    ("/page/app.js", 200, "text/javascript; charset=utf-8"),
    ("/page/style.css", 200, "text/css; charset=utf-8"),
    ("/page/icon.svg", 200, "image/svg+xml"),
    ("/page/nothing.js", 404, "application/json"),
    ("/page/..%2Fapp.py", 404, "application/json"),
    ("/docs", 404, "application/json"),
    ("/v1/realtime", 404, "application/json"),
    ("/livez", 200, "text/plain; charset=utf-8"),
)


async def test_every_answer_has_its_type_and_the_headers(serving: Serving) -> None:
    async with serving() as server:
        for path, status, kind in ANSWERS:
            answer = await server.get(path)
            assert (path, answer.status_code, answer.headers["content-type"]) == (path, status, kind)
            policy = dict(rule.split(" ", maxsplit=1) for rule in answer.headers["content-security-policy"].split("; "))
            assert policy == POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-cache"


async def test_metrics_are_of_this_server(serving: Serving) -> None:
    async with serving() as server, calling(server.url):
        answer = await server.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "\nvoxtral_voice_sessions 1.0\n" in answer.text
        assert "python_info" not in answer.text


async def test_a_socket_at_another_path_is_refused(serving: Serving) -> None:
    async with serving() as server:
        with pytest.raises(InvalidStatus, match="404") as refused:
            await connect(server.url.replace("http", "ws", 1) + "/v1/other", proxy=None)
        error = orjson.loads(refused.value.response.body)["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "unknown_url")
        with pytest.raises(InvalidStatus, match="404"):
            await connect(server.url.replace("http", "ws", 1) + "/page/app.js", proxy=None)


async def test_a_session_of_a_kind_that_is_not_known_is_refused(serving: Serving) -> None:
    async with serving() as server:
        with pytest.raises(InvalidStatus, match="400") as refused:
            await connect(server.url.replace("http", "ws", 1) + "/v1/realtime?intent=zz", proxy=None)
        error = orjson.loads(refused.value.response.body)["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "intent")
        assert error["message"] == "Invalid value for 'intent': expected 'transcription', or none, but got \"zz\"."


async def test_what_the_address_says(serving: Serving) -> None:
    async with serving() as server:
        address = server.url.replace("http", "ws", 1) + "/v1/realtime"
        for query, kind in (
            ("?model=gpt-realtime", "realtime.session"),
            ("?intent=transcription", "realtime.transcription_session"),
            ("?intent=&api_key=x&model=", "realtime.session"),
        ):
            async with connect(address + query, proxy=None) as socket:
                created = orjson.loads(await socket.recv(decode=False))
            assert (created["type"], created["session"]["object"]) == ("session.created", kind)
            assert created["session"].get("model") in ("voxtral-voice-fake", None)


async def test_a_page_of_another_site_may_not_connect(serving: Serving) -> None:
    async with serving() as server:
        address = server.url.replace("http", "ws") + "/v1/realtime"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address, origin="https://elsewhere.example"):  # type: ignore[arg-type]
                pass
        assert refused.value.response.status_code == 403
        async with connect(address, origin=server.url):  # type: ignore[arg-type]
            pass
