"""The soak: sessions that come and go for half an hour, and every event of them is judged.

    .venv/bin/python -m benchmarks.soak [--minutes 30] [--sessions 16] [--seed 1] [--out benchmarks/soak.json]

Three processes: the server with scripted engines (`soak_server`), callers that talk, misbehave and vanish
(`soak_callers`), and four of the callers that speak by the clock (`soak_clock`). Beside them others are refused.
Both directions of all traffic pass the order checker and the types of the `openai` package; every caller has a word
and a voice of its own, which nobody else may hear. Exits with 1, and says why, when a limit of `soak_judge` is missed:
a run of less than 15 minutes is judged by those that it can say something about.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from benchmarks.soak_callers import Leak, Violation, call, leaves
from benchmarks.soak_judge import WARM_UP, Sample, Turn, slopes, verdict, windows
from voxtral_voice.bench.machine import commit, machine

CLOCKS: Final = 4
"""Of the sessions: 200 turns in five minutes, enough for a p95."""
SETTLE_S: Final = 70.0
"""After the last session has left, at most: a client that is gone is noticed after two pings."""
REFUSED_EVERY_S: Final = 5.0
MOST_VIOLATIONS: Final = 20
MOST_MISSED: Final = 10
"""Turns without an answer of which it is told what happened."""
AFTER_BREAK_S: Final = 3.0
"""So long after an engine was broken its failure may still be felt: it is tried again after a second."""


# --- the server --------------------------------------------------------------------------------------------------


class Watched:
    """The server as it is seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self.samples: list[Sample] = []
        self.breaks: list[tuple[float, float]] = []
        """On time.monotonic()."""
        self._came = asyncio.Event()
        self._process = process

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "broken" in told:
                self.breaks.append(tuple(told["broken"]))
                continue
            self.samples.append(Sample(**told))
            self._came.set()

    async def next_sample(self) -> Sample:
        self._came.clear()
        await self._came.wait()
        return self.samples[-1]

    async def settled(self, before: Sample) -> Sample:
        """As soon as nothing is left of the sessions; or as it is after SETTLE_S."""
        until = time.monotonic() + SETTLE_S
        while True:
            now = await self.next_sample()
            if (now.tasks <= before.tasks and now.files <= before.files) or time.monotonic() > until:
                return now


@asynccontextmanager
async def server(seed: int) -> AsyncIterator[Watched]:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.soak_server", "--seed", str(seed)]
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


class Soak:
    """What has come to light. ends: on time.monotonic(); no session begins after it."""

    def __init__(self, url: str, seed: int, seconds: float) -> None:
        self.url, self.seed, self.seconds = url, seed, seconds
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.leaks: list[str] = []
        self.began = time.monotonic()
        self.ends = self.began + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def broke(self, error: BaseException) -> None:
        found = self.leaks if isinstance(error, Leak) else self.violations
        self.counts["leaks" if found is self.leaks else "violations"] += 1
        if len(found) < MOST_VIOLATIONS:
            found.append(f"{type(error).__name__}: {error}")


async def keep_calling(soak: Soak, place: int) -> None:
    """One session after the other, until the time is over."""
    rng, number = random.Random(f"{soak.seed} {place}"), place
    while not soak.is_over:
        try:
            await call(soak.url, rng, soak.counts, place, number, soak.ends - time.monotonic())
        except* InvalidStatus as refused:
            soak.counts[f"refused callers {_status(refused)}"] += 1
        except* (Violation, AssertionError, OSError, WebSocketException) as group:
            for error in leaves(group):
                soak.broke(error)
        number += 1
        await asyncio.sleep(rng.uniform(0.0, 1.0))


def _status(group: BaseExceptionGroup[InvalidStatus]) -> int:
    (first, *_) = leaves(group)
    assert isinstance(first, InvalidStatus)
    return first.response.status_code


async def keep_being_refused(soak: Soak) -> None:
    """What the server does not have, asked for in the wrong way."""
    while not soak.is_over:
        for path, status in (("/v1/realtime?intent=chat", 400), ("/v1/nothing", 404)):
            try:
                async with connect(soak.url.replace("http", "ws", 1) + path, proxy=None):
                    soak.broke(Violation(f"{path} was let in"))
            except InvalidStatus as refused:
                soak.counts["refused"] += 1
                body = json.loads(refused.response.body or b"null")
                if refused.response.status_code != status or not (body and body["error"]["message"]):
                    soak.broke(Violation(f"{path} was refused with {refused.response.status_code} {body}"))
        await asyncio.sleep(REFUSED_EVERY_S)


async def speak_by_the_clock(soak: Soak, clocks: int) -> dict[str, Any]:
    values = {"url": soak.url, "clocks": clocks, "began": soak.began, "seconds": soak.seconds, "seed": soak.seed}
    command = [sys.executable, "-m", "benchmarks.soak_clock", *(f"--{name}={value}" for name, value in values.items())]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told: dict[str, Any] = json.loads(out)
    soak.counts.update(told["counts"])
    soak.violations += told["violations"]
    soak.leaks += told["leaks"]
    return told


async def soaked(minutes: float, sessions: int, seed: int) -> dict[str, Any]:
    measured = commit()  # before somebody makes another
    async with server(seed) as watched:
        before = await watched.next_sample()
        soak = Soak(watched.url, seed, 60 * minutes)
        clocks = min(CLOCKS, max(1, sessions // 4))
        async with asyncio.TaskGroup() as group:
            clock = group.create_task(speak_by_the_clock(soak, clocks))
            group.create_task(keep_being_refused(soak))
            for place in range(sessions - clocks):
                group.create_task(keep_calling(soak, place))
        busy = len(watched.samples)
        after = await watched.settled(before)
        during = watched.samples[:busy]
        turns = [_judged(Turn(**turn), watched.breaks, soak.began) for turn in clock.result()["turns"]]
    return {
        "command": f"python -m benchmarks.soak --minutes {minutes:g} --sessions {sessions} --seed {seed}",
        "commit": measured,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "sessions_at_once": sessions,
        "violations": soak.violations,
        "leaks": soak.leaks,
        "counts": dict(sorted(soak.counts.items())),
        "latency": {"windows": windows(turns, minutes), "late_p99_ms": clock.result()["late_p99_ms"]},
        "missed": [asdict(turn) for turn in turns if turn.v2v_s is None and not turn.broken][:MOST_MISSED],
        "server": {
            "before": asdict(before),
            "after": asdict(after),
            "slopes_per_hour": slopes(during, WARM_UP * 60 * minutes),
            "samples": [asdict(sample) for sample in during[:: max(1, len(during) // 120)]],
        },
    }


def _judged(turn: Turn, breaks: list[tuple[float, float]], began: float) -> Turn:
    """Whether an engine was broken while it was spoken and answered."""
    spoken, heard = began + turn.at_s - 1.0, began + turn.at_s + (turn.v2v_s or 5.0)
    hit = any(spoken < to + AFTER_BREAK_S and heard > start for start, to in breaks)
    return replace(turn, broken=turn.broken or hit)


# --- telling -----------------------------------------------------------------------------------------------------


def summary(made: dict[str, Any]) -> str:
    counts, seen = made["counts"], made["server"]
    shown = ("response", "part", "turns", "tool", "end", "own", "refused", "resumed", "slow", "clock")
    lines = [
        f"{made['minutes']:g} minutes, {made['sessions_at_once']} sessions at once, {counts.get('sessions', 0)} in all",
        f"{counts.get('sent', 0)} events sent, {counts.get('told', 0)} told",
        *(f"  {name}: {count}" for name, count in counts.items() if name.startswith(shown)),
        *(
            f"  from {each['from_s']:g} s: {each['turns']} turns, p50 {each['p50_ms']:g}, p95 {each['p95_ms']:g} ms, "
            f"{each['missed']} missed; {each['while_broken']} while an engine was broken"
            for each in made["latency"]["windows"]
        ),
        f"memory {seen['before']['memory_mb']:g} -> {seen['after']['memory_mb']:g} MiB; slopes per hour "
        f"{seen['slopes_per_hour']}",
        *made["violations"][:5],
        *made["leaks"][:5],
        *(line for turn in made["missed"] for line in (f"missed at {turn['at_s']:.1f} s:", *turn["last"])),
        *(f"{'kept  ' if kept else 'MISSED'}  {said}" for kept, said in verdict(made)),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: benchmarks/soak.json, for a run of 30 minutes or more")
    options = parser.parse_args()
    made = uvloop.run(soaked(options.minutes, options.sessions, options.seed))
    print(summary(made))
    out = options.out or (Path(__file__).parent / "soak.json" if options.minutes >= 30 else None)
    if out is not None:
        out.write_text(json.dumps(made, indent=1) + "\n")
    sys.exit(not all(kept for kept, _ in verdict(made)))


if __name__ == "__main__":
    main()
