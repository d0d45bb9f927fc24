from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator

import httpx
import pytest
from blockbuster import BlockBuster
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import PATIENCE_S, Caller, calling, tone
from tests.server.conftest import Serving, quick_config
from tests.server.processes import Served, served
from voxtral_voice.config import ServerConfig
from voxtral_voice.server import drain as draining
from voxtral_voice.server.drain import Stop, drain
from voxtral_voice.server.health import Front, Health

AWAY = (1001, "The server is going away: connect again.")


@pytest.fixture(autouse=True)
def processes_may_start(nothing_blocks: BlockBuster) -> Iterator[None]:
    """Starting one blocks, in the standard library."""
    nothing_blocks.deactivate()
    yield
    nothing_blocks.activate()


async def said_something(caller: Caller) -> None:
    """A reply is being said now."""
    await caller.speak()
    await caller.until("response.output_audio.delta")


async def refused(server: Served) -> None:
    """Whoever comes now."""
    with pytest.raises(InvalidStatus) as no:
        await connect(server.url.replace("http", "ws", 1) + "/v1/realtime", proxy=None)
    assert no.value.response.status_code == 503
    assert no.value.response.headers["retry-after"] == "2"
    models = await server.get("/v1/models")
    assert (models.status_code, models.json()["error"]["code"]) == (503, "server_going_away")
    assert models.headers["retry-after"] == "2"
    metrics = (await server.get("/metrics")).text
    assert 'voxtral_voice_sessions_refused_total{reason="closed"} 2.0' in metrics
    assert 'voxtral_voice_refusals_total{code="server_going_away"} 2.0' in metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_reply_is_said_to_its_end_and_nobody_new_comes(number: signal.Signals) -> None:
    async with served() as server, calling(server.url) as idle, calling(server.url) as caller:
        await said_something(caller)
        server.signal(number)
        await server.drains()
        assert (await server.get("/livez")).status_code == 200
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["state"]) == (503, "draining")
        assert "voxtral_voice_draining 1.0" in (await server.get("/metrics")).text
        await refused(server)
        assert await idle.until_hung_up() == AWAY
        assert await caller.until_hung_up() == AWAY
        assert caller.all("response.done")[0]["response"]["status"] == "completed"
        assert caller.said() == "You said: Hello there."
        assert caller.errors() == idle.errors() == ["server_going_away"]
        assert await server.ended() == 0
        assert server.logged("drain_began")


async def test_the_deadline_cuts_what_is_still_being_said() -> None:
    async with served("--server-drain-s", "0.2") as server, calling(server.url, finished=False) as caller:
        await said_something(caller)
        server.signal()
        assert await caller.until_hung_up() == AWAY
        assert caller.count("response.done") == 0
        assert await server.ended() == 0
        assert b"drain_ended cut_sessions=1" in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    """As if nothing had been done about signals."""
    async with served("--server-drain-s", "600") as server, calling(server.url, finished=False) as caller:
        await caller.say(tone(600))
        await caller.until("input_audio_buffer.speech_started")
        server.signal()
        await server.drains()
        server.signal(number)
        assert await server.ended() == -number
        assert (await caller.until_hung_up())[0] == 1006


async def test_a_server_without_guests_ends_at_once() -> None:
    async with served() as server:
        server.signal()
        assert await server.ended() == 0


async def test_a_request_is_answered_before_the_end() -> None:
    async with served() as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as http:
        words = " ".join(["word"] * 40)
        body = {"model": "tts-1", "voice": "alloy", "input": words, "response_format": "pcm"}
        async with http.stream("POST", "/v1/audio/speech", json=body) as answer:
            chunks = answer.aiter_bytes()
            size = len(await anext(chunks))
            server.signal()
            await server.drains()
            async for chunk in chunks:
                size += len(chunk)
        assert size > 40 * 0.2 * 48_000
        assert await server.ended() == 0


async def test_a_signal_while_it_loads_ends_it_cleanly() -> None:
    with socket.socket() as slow:  # a server that is asked for its models and does not answer
        slow.bind(("127.0.0.1", 0))
        slow.listen()
        brain = f"http://127.0.0.1:{slow.getsockname()[1]}/v1"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with served("--port", str(port), "--responder-url", brain, url=False) as server:
            server.url = f"http://127.0.0.1:{port}"
            async with asyncio.timeout(3 * PATIENCE_S):
                while not await loads(server):  # noqa: ASYNC110 - what a load balancer does
                    await asyncio.sleep(0.05)
            assert (await server.get("/ping")).status_code == 204
            server.signal()
            assert await server.ended() == 0
            assert b"Traceback" not in server.log


async def test_a_download_does_not_hold_up_the_end() -> None:
    """It runs on a thread that nobody can stop."""
    code = (
        "import time; from voxtral_voice.config import *; from voxtral_voice.server import run\n"
        "def slow(*_): print('loading', flush=True); time.sleep(600)\n"
        "run.build_engines = slow\n"
        "run.serve(Config(profile='fake', server=ServerConfig(port=0)))"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    async with asyncio.timeout(3 * PATIENCE_S):
        assert await process.stdout.readline() == b"loading\n"
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")


async def loads(server: Served) -> bool:
    try:
        return '"loading":{"responder":"starting"}' in (await server.get("/readyz")).text
    except httpx.TransportError:
        return False


# --- in this process -----------------------------------------------------------------------------------------------


async def test_a_session_that_does_not_end_is_left_behind(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "CLOSE_S", 0.05)
    config = quick_config().model_copy(update={"server": ServerConfig(port=0, drain_s=0)})
    async with serving(config=config) as server, calling(server.url) as caller:
        front = Front(Health())
        front.sockets = 1  # one that nobody closes
        await drain(server.runtime, Health(), front)
        assert await caller.until_hung_up() == AWAY


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    stop = Stop()

    async def loading() -> None:
        with stop.cancels_until_ready():
            await asyncio.Event().wait()

    task = asyncio.create_task(loading())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
