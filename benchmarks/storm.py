"""Two storms: clients that come and drop off, and clients that get no place while others talk.

    .venv/bin/python -m benchmarks.storm [--drops 10000] [--sessions 8] [--per-s 1000] [--seconds 10] [--rounds 3]
                                         [--out benchmarks/storm.json]

The server runs in a process of its own with the scripted engines of `fakes`; everything is on 127.0.0.1, and so many
drops are under way at once: AT_ONCE.

- **drops**: clients that come and go in seven ways, in the middle of a handshake, a turn or an answer too. Memory,
  tasks and open files are read after WARM of them and after all of them, when nothing is under way.
- **refused**: the sessions take all places and talk. What a caller waits, from its last sound to the first one of the
  answer, is taken in turns without and with --per-s strangers in a second, who come on a schedule and are all refused:
  scripts, pages, and clients with a wrong key at a server that has room. CPU time per refusal is the server's own, less
  what it needs without strangers in as long a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from benchmarks.storm_clients import KINDS, callers, drop
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.engines import registry
from voxtral_voice.engines.fakes import FakeResponder
from voxtral_voice.server import memory, run

AT_ONCE: Final = 20
WARM: Final = 1000
"""Drops before the first reading: what a server keeps once it has served anybody is there then."""
SETTLED_S: Final = 1.5
"""When nothing has changed for so long, the server has noticed that the last one has gone."""
SETTLES_S: Final = 60.0
"""And if something changes for ever, what there is then is read."""
STRANGERS: Final = 2
"""Processes of them."""
TARGET: Final = 1.2
"""p95 with a storm, in p95 without one."""
MIB: Final = 2**20


# --- the server --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    memory_mb: float
    tasks: int
    files: int
    cpu_s: float
    places: int


async def serve(sessions: int, key: str) -> None:
    """Prints its URL, then a reading for each line that it is sent, until stdin ends."""
    logging.disable(logging.CRITICAL)
    server = ServerConfig(port=0, api_keys=key) if key else ServerConfig(port=0)  # type: ignore[arg-type]
    limits = LimitsConfig(sessions=sessions, new_sessions_per_s=10_000, slow_turn_s=0, loop_lag_ms=0)
    engines = registry.fake(responder=FakeResponder(lambda _: "Yes, it is."))
    setattr(run, "build_engines", lambda *_: engines)  # noqa: B010 - it is not exported
    async with run.started(Config(profile="fake", server=server, limits=limits)) as started:
        memory.settle()
        print(started.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(reading(started.runtime.admission.sessions))), flush=True)


def reading(places: int) -> Reading:
    process = psutil.Process()
    times = process.cpu_times()
    memory_mb = round(process.memory_info().rss / MIB, 2)
    cpu_s = round(times.user + times.system, 2)
    return Reading(memory_mb, len(asyncio.all_tasks()), process.num_fds(), cpu_s, places)


class Watched:
    """The server as it is seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    async def read(self) -> Reading:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return Reading(**json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def server(sessions: int, key: str = "") -> AsyncIterator[Watched]:
    command = [sys.executable, "-m", "benchmarks.storm", "--serve", "--sessions", str(sessions), "--key", key]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Watched(process, (await process.stdout.readline()).decode().strip())
        process.stdin.close()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# --- the storms --------------------------------------------------------------------------------------------------


async def dropped(count: int, warm: int = WARM) -> dict[str, Any]:
    async with server(sessions=1000) as watched:
        await _drop_all(watched.url, range(warm))
        before = await _settled(watched)
        await _drop_all(watched.url, range(warm, warm + count))
        after = await _settled(watched)
    cpu_ms = 1000 * (after.cpu_s - before.cpu_s) / count
    return {"count": count, "before": asdict(before), "after": asdict(after), "cpu_ms_each": round(cpu_ms, 2)}


async def _settled(watched: Watched) -> Reading:
    last, since = await watched.read(), time.monotonic()
    began = since
    while time.monotonic() - since < SETTLED_S and time.monotonic() - began < SETTLES_S:
        await asyncio.sleep(0.1)
        now = await watched.read()
        if (now.places, now.tasks, now.files) != (last.places, last.tasks, last.files):
            since = time.monotonic()
        last = now
    return last


async def _drop_all(url: str, numbers: range) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for number in numbers:
            await places.acquire()
            group.create_task(drop(url, number)).add_done_callback(lambda _: places.release())


@dataclass(frozen=True, slots=True)
class Plan:
    sessions: int
    seconds: float
    kind: str
    """Of the strangers."""
    key: str
    """Empty: the server asks for none."""


@dataclass(frozen=True, slots=True)
class Phase:
    waits_ms: list[float]
    cpu_s: float
    told: Counter[str]
    late_s: float = 0.0
    seconds: float = 0.0


async def refused(sessions: int, per_s: float, seconds: float, rounds: int, kind: str) -> dict[str, Any]:
    """Without and with strangers, in turns."""
    plan = Plan(sessions, seconds, kind, "a-key-of-the-storm" if kind == "wrong_key" else "")
    calm: list[Phase] = []
    storm: list[Phase] = []
    async with server(sessions + bool(plan.key), plan.key) as watched:
        for _ in range(rounds):
            calm.append(await _phase(watched, plan, 0))
            storm.append(await _phase(watched, plan, per_s))
    return _result(calm, storm, per_s, seconds)


async def _phase(watched: Watched, plan: Plan, per_s: float) -> Phase:
    while (await watched.read()).places:  # noqa: ASYNC110 - of the phase before; it is another process
        await asyncio.sleep(0.05)
    before, over = await watched.read(), asyncio.Event()
    talking = asyncio.ensure_future(callers(watched.url, plan.sessions, plan.seconds, plan.key, over))
    while (await watched.read()).places < plan.sessions and not talking.done():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    coming = [_strangers(watched.url, per_s / STRANGERS, plan) for _ in range(STRANGERS if per_s else 0)]
    found = await asyncio.gather(*coming)
    over.set()
    waits = await talking
    after = await watched.read()
    told = sum((Counter(each["told"]) for each in found), Counter[str]())
    late_s = max((each["late_s"] for each in found), default=0.0)
    took_s = max((each["seconds"] for each in found), default=0.0)
    return Phase([1000 * wait_s for _, wait_s in waits], after.cpu_s - before.cpu_s, told, late_s, took_s)


async def _strangers(url: str, per_s: float, plan: Plan) -> dict[str, Any]:
    words = ["strangers", url, str(per_s), str(plan.seconds), plan.kind]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.storm_clients", *words, stdout=asyncio.subprocess.PIPE
    )
    found, _ = await process.communicate()
    told: dict[str, Any] = json.loads(found)
    return told


def _result(calm: list[Phase], storm: list[Phase], per_s: float, seconds: float) -> dict[str, Any]:
    told = sum((phase.told for phase in storm), Counter[str]())
    count = sum(told.values())
    quiet, loud = ([wait for phase in phases for wait in phase.waits_ms] for phases in (calm, storm))
    cpu_us = 1e6 * (sum(p.cpu_s for p in storm) - sum(p.cpu_s for p in calm)) / max(1, count)
    return {
        "per_s": per_s,
        "seconds": seconds,
        "rounds": len(storm),
        "told": dict(told),
        "late_s": max(phase.late_s for phase in storm),
        "longest_s": max(phase.seconds for phase in storm),
        "cpu_us_each": round(cpu_us),
        "without": _figures(quiet),
        "with": _figures(loud),
        "p95_ratio": round(p95(loud) / p95(quiet), 3),
    }


def _figures(waits_ms: list[float]) -> dict[str, float]:
    return {"turns": len(waits_ms), "p50_ms": round(statistics.median(waits_ms), 1), "p95_ms": round(p95(waits_ms), 1)}


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1) + 0.5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--per-s", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["script", "page", "wrong_key"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--key", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.sessions, options.key))
        return
    made = asyncio.run(measured(options))
    text = json.dumps(made, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    print(text)


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    facts = {"commit": commit(), "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    drops = await dropped(options.drops) if options.drops else None
    args = options.sessions, options.per_s, options.seconds, options.rounds
    found = {kind: await refused(*args, kind) for kind in options.kinds}
    return {"command": command(options), **facts, "sessions": options.sessions, "drops": drops, "refused": found}


def command(options: argparse.Namespace) -> str:
    names = ("drops", "sessions", "per_s", "seconds", "rounds")
    return " ".join(
        ["python -m benchmarks.storm", *(f"--{n.replace('_', '-')} {getattr(options, n):g}" for n in names)]
    )


if __name__ == "__main__":
    main()
