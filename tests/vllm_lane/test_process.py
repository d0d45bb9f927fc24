"""Last, because it kills what the others talk with."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import aclosing

import psutil
import pytest

from tests.vllm_lane.servers import DELAY_MS, ROOT, Served, lives, until
from tests.vllm_lane.sounds import sound
from voxtral_voice.engines.base import Message, Samples, TranscriptStream
from voxtral_voice.engines.vllm.chat import VllmChat
from voxtral_voice.engines.vllm.realtime import VllmRealtime
from voxtral_voice.errors import EngineError

PARENT = """
import asyncio, sys
from pathlib import Path
from tests.vllm_lane.servers import launched, supervised

async def run():
    process = supervised(launched(Path(sys.argv[1]), "mini"), "mini")
    await process.start()
    print(process.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


async def pushed_for_ever(stream: TranscriptStream, audio: Samples) -> None:
    while True:
        await stream.push(audio)
        await asyncio.sleep(0.1)


async def test_only_loopback_is_listened_on(mini: Served) -> None:
    listening = [
        connection.laddr
        for process in mini.all()
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert ("127.0.0.1", mini.port) in [(address.ip, address.port) for address in listening]
    assert {address.ip for address in listening} == {"127.0.0.1"}


async def test_killed_in_the_middle_of_a_turn(realtime: Served) -> None:
    """kill -9 of the process that schedules: the turn fails, the rest recovers without us."""
    engine = VllmRealtime(realtime.remote, DELAY_MS)
    await engine.start()
    audio = sound(2)
    expected = (await engine.transcribe(audio, language=None, prompt="", final=True)).text
    stream = engine.stream(language=None, prompt="")
    await stream.push(audio[:16000])
    gone = realtime.all()
    realtime.engine_core().kill()
    with pytest.raises(EngineError):
        await pushed_for_ever(stream, audio[:8000])
    await stream.aclose()
    await until(lambda: realtime.process.failing is not None)
    assert "started again" in str(realtime.process.failing)
    await until(lambda: realtime.process.failing is None)
    assert not any(lives(process) for process in gone)
    assert (await engine.transcribe(audio, language=None, prompt="", final=True)).text == expected
    await engine.aclose()


async def test_hung_in_the_middle_of_an_answer(mini: Served) -> None:
    """SIGSTOP of all of it: the answer fails within seconds, and the supervisor starts another vLLM."""
    engine = VllmChat(mini.remote, listens=True)
    await engine.start()
    messages = (Message("user", "", audio=sound(2)),)
    gone = mini.all()
    pieces = engine.respond(messages, language="en", max_tokens=1000)
    await anext(pieces)
    for process in gone:
        process.send_signal(signal.SIGSTOP)
    with pytest.raises(EngineError):
        [piece async for piece in pieces]
    with pytest.raises(EngineError):
        await anext(engine.respond(messages, language="en", max_tokens=8))
    await until(lambda: mini.process.failing is not None)
    await until(lambda: mini.process.failing is None)
    assert not any(lives(process) for process in gone)
    async with aclosing(engine.respond(messages, language="en", max_tokens=8)) as answer:
        assert [piece async for piece in answer]
    await engine.aclose()


async def test_hung_behind_a_health_that_is_fine(realtime: Served) -> None:
    """SIGSTOP of the process that schedules: `/health` goes on to answer. An engine that waits in vain tells the
    supervisor, which asks for something real, and starts another vLLM."""
    engine = VllmRealtime(realtime.remote, DELAY_MS, suspect=realtime.process.suspect)
    await engine.start()
    gone = realtime.all()
    realtime.engine_core().send_signal(signal.SIGSTOP)
    stream = engine.stream(language=None, prompt="")
    with pytest.raises(EngineError):
        await pushed_for_ever(stream, sound(0.5))
    await stream.aclose()
    await until(lambda: realtime.process.failing is not None)
    await until(lambda: realtime.process.failing is None)
    assert not any(lives(process) for process in gone)
    assert (await engine.transcribe(sound(1), language=None, prompt="", final=True)).text
    await engine.aclose()


async def test_killed_ourselves_there_is_no_orphan(mini: Served) -> None:
    """kill -9 of the process that started it: nothing of vLLM stays, and the port is free."""
    folder = mini.checkpoint.parent / "mistral"
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(folder)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        url = (await parent.stdout.readline()).decode().strip()
        below = psutil.Process(parent.pid).children(recursive=True)
    finally:
        parent.kill()
        await parent.wait()
    assert len(below) >= 4  # guard, API server, scheduler, worker
    await until(lambda: not any(lives(process) for process in below))
    port = int(url.removesuffix("/v1").rpartition(":")[2])
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


async def test_it_ends_when_it_is_asked_to(served: dict[str, Served]) -> None:
    """The very last: nobody can be asked any more."""
    for one in served.values():
        below = one.all()
        await one.process.aclose()
        assert not any(lives(process) for process in below)
        assert one.process.failing
