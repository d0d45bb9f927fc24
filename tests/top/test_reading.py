from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from voxtral_voice.errors import TalkError
from voxtral_voice.top.reading import Server

METRICS = "# TYPE voxtral_voice_sessions gauge\nvoxtral_voice_sessions 2.0\n# TYPE voxtral_voice_turns counter\n"
READY = {"ready": True, "state": "ready", "engines": {"speaker": "kokoro"}, "failing": {}}
SESSIONS = {"object": "list", "data": [{"id": "sess_1"}, "odd"]}


def answers(**changed: Any) -> Callable[[httpx.Request], httpx.Response]:
    """changed: by path without its first slash, with _ for /: a response instead of the usual one."""

    def handle(request: httpx.Request) -> httpx.Response:
        name = request.url.path.strip("/").replace("/", "_")
        usual = {
            "metrics": httpx.Response(200, text=METRICS),
            "readyz": httpx.Response(200, json=READY),
            "v1_sessions": httpx.Response(200, json=SESSIONS),
        }
        found: httpx.Response = {**usual, **changed}[name]
        return found

    return handle


def server(handle: Callable[[httpx.Request], httpx.Response], key: str | None = None, **more: Any) -> Server:
    return Server("http://there:1/", key, httpx.MockTransport(handle), **more)


def test_a_look_has_all_three() -> None:
    with server(answers()) as there:
        look = there.look()
    assert look.total.value("sessions") == 2
    assert look.sessions == ({"id": "sess_1"},)
    assert (look.state, look.engines, look.failing) == ("ready", {"speaker": "kokoro"}, {})
    assert (look.url, look.lately_s) == ("http://there:1", None)


def test_what_was_counted_lately_is_of_the_last_minute() -> None:
    now, turns = [100.0], [5.0]

    def handle(request: httpx.Request) -> httpx.Response:
        text = METRICS + f"voxtral_voice_turns_total {turns[0]}\n"
        return answers(metrics=httpx.Response(200, text=text))(request)

    with server(handle, clock=lambda: now[0]) as there:
        assert there.look().lately.value("turns_total") == 5
        now[0], turns[0] = 130.0, 8.0
        look = there.look()
        assert (look.lately.value("turns_total"), look.lately_s) == (3, 30)
        now[0], turns[0] = 165.0, 9.0
        look = there.look()
        assert (look.lately.value("turns_total"), look.lately_s) == (1, 35)


def test_the_key_goes_along() -> None:
    keys: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("Authorization"))
        return answers()(request)

    with server(handle, "the-key") as there:
        there.look()
    assert keys == ["Bearer the-key"] * 3


@pytest.mark.parametrize("body", [{"ready": False, "failing": {"speaker": "gone"}}, {"state": "failing", "failing": 3}])
def test_a_server_that_is_not_ready_is_shown_too(body: dict[str, Any]) -> None:
    with server(answers(readyz=httpx.Response(503, json=body), v1_sessions=httpx.Response(503, json={}))) as there:
        look = there.look()
    assert look.state in ("not ready", "failing")
    assert look.sessions == ()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"metrics": httpx.Response(401)}, "asks for a key: name it with --api-key"),
        ({"metrics": httpx.Response(503)}, "loads its models"),
        ({"metrics": httpx.Response(404)}, r"has no /metrics \(HTTP 404\)"),
        ({"metrics": httpx.Response(200, text="up 1.0\n")}, "is no server of this program"),
        ({"metrics": httpx.Response(200, text="<html>")}, "is not what this program's servers say"),
        ({"readyz": httpx.Response(200, text="ok")}, "is not what this program's servers say"),
        ({"v1_sessions": httpx.Response(200, json=[])}, "is not what this program's servers say"),
    ],
)
def test_what_answers_but_is_not_to_be_read(changed: dict[str, httpx.Response], sentence: str) -> None:
    with server(answers(**changed)) as there, pytest.raises(TalkError, match=sentence):
        there.look()


def test_nobody_answers() -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with server(handle) as there, pytest.raises(TalkError, match=r"No server answers .*Connection refused"):
        there.look()


@pytest.mark.parametrize("url", ["there", "ftp://there", "http://", "http://there:x"])
def test_an_address_that_can_be_none(url: str) -> None:
    with pytest.raises(TalkError, match="is no address of a server"):
        Server(url, None)


@pytest.mark.parametrize("key", ["clé", "a\nb"])
def test_a_key_that_can_be_none(key: str) -> None:
    with pytest.raises(TalkError, match="no key can have"):
        Server("http://there", key)
