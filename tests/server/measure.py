"""What a session costs the server: CPU for each 20 ms of audio, memory, lag of the event loop.

    python -m tests.server.measure fakes|silero

The server runs in its own process on uvloop, as in production; with `silero` voice activity is the real model (found as
the program finds it), all other engines are fakes. Figures are of the server's process alone.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final

import httpx
import numpy as np
import psutil
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from tests.server.caller import RATE_HZ, Caller, appended, calling, silence, tone
from voxtral_voice.audio.pcm import Samples, float_to_pcm16
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.silero import Silero
from voxtral_voice.server import run
from voxtral_voice.weights import default_weights_dir

MIB: Final = 1024 * 1024
CHUNK_S: Final = 0.02
SECONDS: Final = 60


async def serve(kind: str) -> None:
    if kind == "silero":
        engines = registry.fake(voice_activity=Silero(default_weights_dir() / "silero-vad-v5.onnx"))
        setattr(run, "build_engines", lambda *_: engines)  # noqa: B010 - it is not exported
    async with run.running(Config(profile="fake", server=ServerConfig(port=0))) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def server(kind: str) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "tests.server.measure", "serve", kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as child:  # type: ignore[call-overload]
        yield child.stdout.readline().strip(), psutil.Process(child.pid)
        child.stdin.close()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def chunks(samples: Samples) -> list[str]:
    step = int(RATE_HZ * CHUNK_S)
    return [appended(float_to_pcm16(samples[at : at + step])) for at in range(0, len(samples), step)]


async def say(caller: Caller, frames: list[str], pace: float) -> None:
    """pace: 1 = as a microphone does; 0 = as fast as the socket takes it."""
    start = asyncio.get_running_loop().time()
    for number, frame in enumerate(frames):
        if pace:
            await asyncio.sleep(start + number * CHUNK_S / pace - asyncio.get_running_loop().time())
        await caller.send_raw(frame)
    await caller.send("conversation.item.retrieve", item_id="nothing")
    await caller.until("error", caller.count("error") + 1)


async def metric(url: str, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{url}/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return next(s.value for s in samples if s.name == f"voxtral_voice_{name}")


def room_tone(seconds: float) -> Samples:
    noise = np.random.default_rng(0).standard_normal(int(RATE_HZ * seconds))
    return (noise * 10 ** (-70 / 20)).astype(np.float32)


def conversation(seconds: float) -> Samples:
    """Two seconds of sound and three of silence, over and over."""
    once = np.concatenate((tone(2_000), silence(3_000)))
    return np.resize(once, int(RATE_HZ * seconds))


async def measure_cpu(url: str, process: psutil.Process) -> None:
    idle = cpu_s(process)
    await asyncio.sleep(10)
    idle = (cpu_s(process) - idle) / 10
    print(f"idle: {idle * 1000:.1f} ms CPU per second")
    for name, samples, pace in (
        ("silence, paced", room_tone(SECONDS), 1),
        ("silence, unpaced", room_tone(SECONDS), 0),
        ("conversation, paced", conversation(SECONDS), 1),
    ):
        async with calling(url, finished=False) as caller:
            frames = chunks(samples)
            before = cpu_s(process)
            await say(caller, frames, pace)
            spent = cpu_s(process) - before - (idle * SECONDS if pace else 0)
            ingest_us = 1e6 * CHUNK_S * await metric(url, "ingest_cpu_seconds_total")
            ingest_us /= await metric(url, "ingest_audio_seconds_total")
            lag_ms = 1000 * await metric(url, "event_loop_lag_seconds")
            print(
                f"{name}: {1e6 * spent / len(frames):.0f} us CPU per 20 ms append "
                f"({ingest_us:.0f} us of all so far: decode and resample), loop lag {lag_ms:.1f} ms"
            )


async def measure_memory(url: str, process: psutil.Process) -> None:
    for name, samples in (("idle", room_tone(1)), ("speaking", conversation(60)), ("one long turn", tone(80_000))):
        frames = chunks(samples)
        sizes: list[float] = []
        async with AsyncExitStack() as stack:
            for _ in range(21):
                caller = await stack.enter_async_context(calling(url, finished=False))
                await say(caller, frames, 0)
                sizes.append(process.memory_info().rss / MIB)
        slope = np.polyfit(np.arange(21), sizes, 1)[0]
        print(f"{name}: {slope:.2f} MiB per session ({sizes[0]:.0f} MiB with 1, {sizes[-1]:.0f} MiB with 21)")


async def measure_an_hour(url: str, process: psutil.Process) -> None:
    frames = chunks(conversation(5))
    async with calling(url, finished=False) as caller:
        sizes = [process.memory_info().rss / MIB]
        for _ in range(4):
            await say(caller, frames * (15 * 60 // 5), 0)
            sizes.append(process.memory_info().rss / MIB)
    print("one session, MiB after 0, 15, 30, 45, 60 minutes of conversation:", *(f"{size:.0f}" for size in sizes))


async def measure(kind: str) -> None:
    with server(kind) as (url, process):
        await measure_cpu(url, process)
    with server(kind) as (url, process):
        await measure_memory(url, process)
    with server(kind) as (url, process):
        await measure_an_hour(url, process)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        uvloop.run(serve(sys.argv[2]))
    else:
        asyncio.run(measure(sys.argv[1]))
