"""The soak: sessions that come and go for half an hour, and every event of them is judged.

    .venv/bin/python -m benchmarks.soak [--minutes 30] [--sessions 8] [--seed 1] [--out benchmarks/soak.json]

The server runs in a process of its own with the scripted engines of `fakes`, one of which fails now and then. The
callers' microphones keep a real one's pace. Both directions of all traffic pass the order checker and the types of the
`openai` package. Of the server, memory, tasks, open files and CPU time are read every SAMPLE_S; a slope is that of the
straight line through what was read after the first fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import uvloop
from websockets.exceptions import WebSocketException

from benchmarks.soak_callers import Violation, call
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeSpeaker, FakeTranscriber
from voxtral_voice.server import run

SAMPLE_S: Final = 5.0
BREAK_EVERY_S: Final = 20.0
BROKEN_S: Final = 0.5
SETTLE_S: Final = 6.0
"""After the last session has left."""
MOST_VIOLATIONS: Final = 20
MIB: Final = 2**20
LINES: Final = (
    "What is the weather in Paris?",
    "Tell me something about the sea.",
    "Stop, that is not what I meant.",
    "How are you today?",
)
STORY: Final = "The sea is wide and deep. Ships sail on it. Fish live in it. Nobody has seen all of it. "


# --- the server --------------------------------------------------------------------------------------------------


async def serve(seed: int) -> None:
    """Prints its URL, then one JSON object for each sample, until stdin ends."""
    parts: list[FakeTranscriber | FakeResponder | FakeSpeaker] = [
        FakeTranscriber(LINES),
        FakeResponder(lambda messages: STORY if len(messages) % 2 else "Yes, of course."),
        FakeSpeaker(),
    ]
    transcriber, responder, speaker = parts
    engines = registry.fake(transcriber=transcriber, responder=responder, speaker=speaker)  # type: ignore[arg-type]
    setattr(run, "build_engines", lambda *_: engines)  # noqa: B010 - it is not exported
    logging.disable(logging.ERROR)
    async with run.running(Config(profile="fake", server=ServerConfig(port=0))) as url:
        print(url, flush=True)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(break_now_and_then(parts, seed)), group.create_task(tell_samples())]
            await asyncio.to_thread(sys.stdin.read)
            for task in tasks:
                task.cancel()


async def break_now_and_then(parts: list[FakeTranscriber | FakeResponder | FakeSpeaker], seed: int) -> None:
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * BREAK_EVERY_S)
        part = rng.choice(parts)
        part.broken = Broken("broken for the soak")
        await asyncio.sleep(BROKEN_S)
        part.broken = None


async def tell_samples() -> None:
    process = psutil.Process()
    began = time.monotonic()
    while True:
        times = process.cpu_times()
        sample = Sample(
            round(time.monotonic() - began, 1),
            round(process.memory_info().rss / MIB, 2),
            len(asyncio.all_tasks()),
            process.num_fds(),
            round(times.user + times.system, 2),
        )
        print(json.dumps(asdict(sample)), flush=True)
        await asyncio.sleep(SAMPLE_S)


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    memory_mb: float
    tasks: int
    files: int
    cpu_s: float


class Watched:
    """The server as it is seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self.samples: list[Sample] = []
        self._came = asyncio.Event()
        self._process = process

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.samples.append(Sample(**json.loads(line)))
            self._came.set()

    async def next_sample(self) -> Sample:
        self._came.clear()
        await self._came.wait()
        return self.samples[-1]


@asynccontextmanager
async def server(seed: int) -> AsyncIterator[Watched]:
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", "--seed", str(seed)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert process.stdin is not None
    url = (await process.stdout.readline()).decode().strip()
    watched = Watched(process, url)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(watched.read())
            yield watched
            process.stdin.close()
            await asyncio.wait([reading])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# --- the callers -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Soak:
    counts: Counter[str]
    violations: list[str]
    ends: float
    """On the loop's clock: no session begins after it."""


async def keep_calling(soak: Soak, url: str, place: int, seed: int) -> None:
    """One session after the other, until the time is over."""
    rng, number = random.Random(f"{seed} {place}"), place
    while asyncio.get_running_loop().time() < soak.ends:
        try:
            await call(url, rng, soak.counts, number)
        except* (Violation, AssertionError, OSError, WebSocketException) as group:
            soak.counts["violations"] += 1
            if len(soak.violations) < MOST_VIOLATIONS:
                soak.violations += [str(error) for error in _leaves(group)]
        number += 1
        await asyncio.sleep(rng.uniform(0.0, 1.0))


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def soaked(minutes: float, sessions: int, seed: int) -> dict[str, Any]:
    measured = commit()  # before somebody makes another
    async with server(seed) as watched:
        before = await watched.next_sample()
        soak = Soak(Counter(), [], asyncio.get_running_loop().time() + 60 * minutes)
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for place in range(sessions):
                group.create_task(keep_calling(soak, watched.url, place, seed))
        busy = len(watched.samples)
        await asyncio.sleep(SETTLE_S)
        after = await watched.next_sample()
        during = [*watched.samples[:busy]]
    return {
        "command": f"python -m benchmarks.soak --minutes {minutes:g} --sessions {sessions} --seed {seed}",
        "commit": measured,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "sessions_at_once": sessions,
        "violations": soak.violations,
        "counts": dict(sorted(soak.counts.items())),
        "server": {
            "before": asdict(before),
            "after": asdict(after),
            "slopes_per_hour": slopes(during),
            "samples": [asdict(sample) for sample in during[:: max(1, len(during) // 60)]],
        },
        "callers_cpu_s": round(time.process_time() - began, 1),
    }


def slopes(samples: list[Sample]) -> dict[str, float]:
    """After the first fifth, in which memory is filled for the first time."""
    kept = samples[len(samples) // 5 :]
    if len(kept) < 2:
        return {}
    hours = np.array([sample.at_s for sample in kept]) / 3600
    values = {name: np.array([getattr(sample, name) for sample in kept]) for name in ("memory_mb", "tasks", "files")}
    return {name: round(float(np.polyfit(hours, each, 1)[0]), 2) for name, each in values.items()}


# --- telling -----------------------------------------------------------------------------------------------------


def summary(made: dict[str, Any]) -> str:
    counts, seen = made["counts"], made["server"]
    lines = [
        f"{made['minutes']:g} minutes, {made['sessions_at_once']} sessions at once, {counts.get('sessions', 0)} in all",
        f"{counts.get('sent', 0)} events sent, {counts.get('told', 0)} told",
        *(
            f"  {name}: {count}"
            for name, count in counts.items()
            if name.startswith(("response", "part", "turns", "tool"))
        ),
        f"memory {seen['before']['memory_mb']:g} -> {seen['after']['memory_mb']:g} MiB, "
        f"tasks {seen['before']['tasks']} -> {seen['after']['tasks']}, files {seen['before']['files']} -> "
        f"{seen['after']['files']}; slopes per hour {seen['slopes_per_hour']}",
        f"violations: {len(made['violations'])}",
        *made["violations"][:5],
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "soak.json")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.seed))
        return
    made = asyncio.run(soaked(options.minutes, options.sessions, options.seed))
    print(summary(made))
    options.out.write_text(json.dumps(made, indent=1) + "\n")
    sys.exit(bool(made["violations"]))


if __name__ == "__main__":
    main()
