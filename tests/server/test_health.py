from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import calling
from tests.server.conftest import Serving, quick
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.errors import EngineError
from voxtral_voice.server import health, run
from voxtral_voice.server.app import HEADERS
from voxtral_voice.server.health import Front, Health

NAMES = {
    "voice_activity": "fake voice activity",
    "turn_judge": "fake turn judge",
    "transcriber": "fake transcriber",
    "responder": "fake responder",
    "speaker": "fake speaker",
}


async def test_alive_and_ready(serving: Serving) -> None:
    async with serving(tried=True) as server:
        assert (await server.get("/livez")).text == "ok"
        ready = await server.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {"ready": True, "state": "ready", "engines": NAMES, "failing": {}, "degraded": {}}
        ping = await server.get("/ping")
        assert (ping.status_code, ping.content) == (200, b"")


async def test_every_answer_has_the_headers(serving: Serving) -> None:
    async with serving() as server:
        for path in ("/livez", "/readyz", "/ping"):
            headers = (await server.get(path)).headers
            assert {name: headers[name.decode()].encode() for name in HEADERS} == HEADERS


async def test_other_methods(serving: Serving) -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        for path in ("/livez", "/readyz", "/ping"):
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            post = await client.post(path)
            assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


async def test_not_tried_yet(serving: Serving) -> None:
    async with serving() as server:
        its = Health({}, server.runtime)
        server.runtime.ready = False
        assert (its.state, its.ping, its.told().status_code) == ("untested", 204, 503)


async def test_an_engine_that_fails_is_named(serving: Serving) -> None:
    async with serving() as server:
        server.runtime.failed("speaker", EngineError("speaker", "no memory"))
        ready = await server.get("/readyz")
        assert ready.status_code == 503
        told = ready.json()
        assert (told["ready"], told["state"], told["failing"]) == (False, "failing", {"speaker": "no memory"})
        assert (await server.get("/ping")).status_code == 503
        assert (await server.get("/livez")).status_code == 200


async def test_a_full_server_is_ready_and_gets_nobody_new(serving: Serving) -> None:
    async with serving() as server:
        server.runtime.admission._most = 0
        assert (await server.get("/readyz")).status_code == 200
        assert (await server.get("/ping")).status_code == 503


async def test_a_server_with_too_much_to_do_gets_nobody_new(serving: Serving) -> None:
    async with serving() as server:
        admission, now = server.runtime.admission, asyncio.get_running_loop().time()
        for _ in range(20):
            admission.load.turn(60.0, now)  # which stays so for seconds at least
        assert (await server.get("/ping")).status_code == 200, "nobody is there"
        admission._most = 8
        async with calling(server.url), calling(server.url):
            assert (await server.get("/readyz")).status_code == 200
            assert (await server.get("/ping")).status_code == 503


async def test_a_process_that_is_down_is_named(serving: Serving) -> None:
    class Down:
        failing = "vllm mini ended with status 1"

        async def start(self) -> None: ...

        async def aclose(self) -> None: ...

    async with serving(replace(quick(), processes={"vllm mini": Down()})) as server:
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, {"vllm mini": "vllm mini ended with status 1"})


# --- while engines load -----------------------------------------------------------------------------------------


class Slow(FakeSpeaker):
    """Loads until it may be done."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.loading, self.may_be_done = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        self.loading.set()
        await self.may_be_done.wait()


async def test_the_port_answers_while_engines_load(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, addresses, leave = Slow(), asyncio.Queue[str](1), asyncio.Event()
    at = run._url

    def noted(*where: Any) -> str:
        addresses.put_nowait(at(*where))
        return at(*where)

    monkeypatch.setattr(run, "_url", noted)

    async def serve() -> None:
        async with serving(quick(speaker=speaker)) as server:
            assert (await server.get("/ping")).status_code == 200
            async with calling(server.url) as caller:
                await caller.turn()
            leave.set()

    serves = asyncio.ensure_future(serve())
    await speaker.loading.wait()
    url = await addresses.get()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/livez")).text == "ok"
        assert (await client.get("/ping")).status_code == 204
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        told = {"ready": False, "state": "loading", "engines": {}, "failing": {}, "degraded": {}}
        assert ready.json() == {**told, "loading": {"speaker": "starting"}}
        for path in ("/v1/models", "/metrics", "/page/app.js"):
            no = await client.get(path)
            assert (no.status_code, no.headers["retry-after"]) == (503, str(health.RETRY_S))
            assert no.json()["error"]["code"] == "server_loading"
        page = await client.get("/")
        assert (page.status_code, page.headers["refresh"]) == (503, "2")
        assert "looks again by itself" in page.text
        with pytest.raises(InvalidStatus, match="503") as refused:
            await connect(url.replace("http", "ws", 1) + "/v1/realtime", proxy=None)
        assert refused.value.response.headers["retry-after"] == "2"
    speaker.may_be_done.set()
    await serves
    assert leave.is_set()


# --- the front --------------------------------------------------------------------------------------------------


async def asked(front: Front, path: str, kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    extensions: dict[str, Any] = {"websocket.http.response": {}}
    await front({"type": kind, "path": path, "method": "GET", "extensions": extensions}, receive, send)
    return sent


async def test_who_goes_away_lets_nobody_in_but_the_scraper() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert front.requests == 1
        seen.append(scope["path"])

    its = Health({}, draining=True)
    front = Front(its)
    front.opens(app)
    for path in ("/", "/v1/audio/speech", "/page/app.js"):
        assert (await asked(front, path))[0]["status"] == 503
    assert (await asked(front, "/v1/realtime", "websocket"))[0]["status"] == 503
    assert seen == []
    await asked(front, "/metrics")
    assert (seen, front.requests) == (["/metrics"], 0)
    assert (its.state, its.ping, its.told().status_code) == ("draining", 503, 503)


async def test_requests_under_way_are_counted_to_their_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert front.requests == 1
        raise LookupError("mine")

    front = Front(Health({}))
    front.opens(app)
    with pytest.raises(LookupError, match="mine"):
        await asked(front, "/v1/models")
    assert front.requests == 0


def test_the_states_that_a_load_balancer_sees() -> None:
    assert (Health().state, Health().ping) == ("loading", 204)
    assert Health(draining=True).ping == 503
