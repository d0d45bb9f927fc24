"""Callers that speak by the clock, and measure how long the answer takes: in a process of their own, so that nothing
but the server makes them wait.

    python -m benchmarks.soak_clock --url URL --clocks 4 --began MONOTONIC --seconds 1800 --seed 1

Knows: when each turn is due, when the first audible sample of its answer came. Does not know: what else goes on.

A turn is due every TURN_S whatever became of the one before, and its latency runs from the moment its last voiced
sample was due: a server that stands still makes every turn late that it should have heard. After TURNS of them the
session is left and another begun. Prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import uvloop
from websockets.exceptions import InvalidStatus, WebSocketException

from benchmarks.soak_callers import Caller, Leak, Violation, calling, leaves, new_secret
from benchmarks.soak_judge import Turn
from benchmarks.soak_server import BRIEF
from voxtral_voice.bench.stats import quantile
from voxtral_voice.engines.base import SPEAK_RATE_HZ

TURN_S: Final = 6.0
SPOKEN_S: Final = 1.0
CHUNK_S: Final = 0.02
TURNS: Final = 10
LEAVE_S: Final = 1.5
"""Before the next turn is due the old session is left, and another begun."""
AUDIBLE: Final = 300
"""Of 32,767: -41 dBFS."""
SILENCE_MS: Final = 300
MOST_CHARS: Final = 200
"""Of an event that is kept to tell why a turn was not answered."""
NOBODY: Final = ("nobody was there to say it",)


def _chunk(level: float) -> str:
    wave = level * np.random.default_rng(3).standard_normal(round(24_000 * CHUNK_S))
    return base64.b64encode((np.clip(wave, -1, 1) * 32_767).astype("<i2").tobytes()).decode()


LOUD: Final = _chunk(0.3)
SILENT: Final = _chunk(0.0003)


@dataclass(slots=True)
class Times:
    """On time.monotonic()."""

    began: float
    ends: float
    turns: list[Turn] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)


class Clock(Caller):
    """Listens for the first audible sample behind `asked_at`, and for a failure that the server owns up to."""

    asked_at: float = float("inf")
    """When the last voiced sample of the newest turn was due."""
    heard_at: float | None = None
    failed = False

    def _note(self, line: str) -> None:
        """Without the microphone: what is left are the events of this turn, and when they came."""
        if line != "client append":
            super()._note(f"{time.monotonic() - self.asked_at:+.3f} s: {line[:MOST_CHARS]}")

    def notice(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        if event["type"] == "response.output_audio.delta" and self.heard_at is None and now > self.asked_at:
            samples = np.frombuffer(base64.b64decode(event["delta"]), "<i2")
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)
            if loud.size:
                self.heard_at = now + float(loud[0]) / SPEAK_RATE_HZ
        elif event["type"] == "response.done":
            self.failed |= event["response"]["status"] == "failed"
        elif event["type"].endswith("transcription.failed"):
            self.failed = True


async def keep_time(url: str, times: Times, share: float, seed: int) -> None:
    """All turns of one clock. share: where in TURN_S they begin."""
    rng, first = random.Random(f"clock {seed} {share}"), times.began + share * TURN_S
    number = max(0, int((time.monotonic() - first) / TURN_S) + 1)
    while fits(number, first, times.ends):
        try:
            secret = new_secret(rng)
            async with calling(url, rng, times.counts, secret, voice="af_heart", kind=Clock) as caller:
                assert isinstance(caller, Clock)
                await caller.settle_in(_detection(), BRIEF)
                times.counts["clock sessions"] += 1
                number = await _turns(caller, times, first, number)
        except* InvalidStatus:
            times.counts["refused clocks"] += 1  # its turns are missed
            await asyncio.sleep(0.2)
        except* (Violation, AssertionError, OSError, WebSocketException) as group:
            for error in leaves(group):
                (times.leaks if isinstance(error, Leak) else times.violations).append(str(error))
            await asyncio.sleep(0.2)
        unsaid = unsaid_turns(number, first, time.monotonic(), times.ends)
        times.turns += [Turn(first + each * TURN_S + SPOKEN_S - times.began, None, last=NOBODY) for each in unsaid]
        number += len(unsaid)


def fits(number: int, first: float, ends: float) -> bool:
    """This turn, and the time for its answer. first: when turn 0 is due."""
    return first + (number + 1) * TURN_S < ends


def unsaid_turns(number: int, first: float, now: float, ends: float) -> list[int]:
    """From this one on those that were due before now, while there was no session to say them in."""
    return [each for each in range(number, int((now - first) / TURN_S) + 1) if fits(each, first, ends)]


def _detection() -> dict[str, Any]:
    return {"type": "server_vad", "silence_duration_ms": SILENCE_MS}


async def _turns(caller: Clock, times: Times, first: float, number: int) -> int:
    """Until TURNS are said. Returns the number of the next one."""
    loop_began = time.monotonic()
    for each in range(number, number + TURNS):
        due = first + each * TURN_S
        if caller.is_over or not fits(each, first, times.ends):
            return each
        caller.heard_at, caller.failed, caller.asked_at = None, False, due + SPOKEN_S
        caller.last.clear()
        lasts_s = TURN_S - LEAVE_S if each == number + TURNS - 1 else TURN_S
        loop_began = await _speak(caller, times, loop_began, due, lasts_s)
        waited = None if caller.heard_at is None else caller.heard_at - caller.asked_at
        last = () if waited is not None else tuple(caller.last)
        times.turns.append(Turn(caller.asked_at - times.began, waited, caller.failed, last))
    return number + TURNS


async def _speak(caller: Clock, times: Times, at: float, due: float, lasts_s: float) -> float:
    """The microphone from `at` to the end of the turn that is due, without a gap. Returns that end."""
    ends = due + lasts_s - CHUNK_S
    while at < ends:
        loud = due <= at < due + SPOKEN_S - CHUNK_S / 2
        wait = at + CHUNK_S - time.monotonic()  # the chunk is whole when its last sample was spoken
        if wait > 0:
            await asyncio.sleep(wait)
        if loud:
            times.late_ms.append(1000 * max(0.0, time.monotonic() - at - CHUNK_S))
        await caller.append(LOUD if loud else SILENT)
        at += CHUNK_S
    return at


async def measured(url: str, times: Times, clocks: int, seed: int) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        for place in range(clocks):
            group.create_task(keep_time(url, times, place / clocks, seed))
    return {
        "turns": [asdict(turn) for turn in sorted(times.turns, key=lambda turn: turn.at_s)],
        "late_p99_ms": round(quantile(times.late_ms, 0.99), 2) if times.late_ms else 0.0,
        "counts": times.counts,
        "violations": times.violations,
        "leaks": times.leaks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in (("url", str), ("clocks", int), ("began", float), ("seconds", float), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    times = Times(options.began, options.began + options.seconds)
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(uvloop.run(measured(options.url, times, options.clocks, options.seed))))


if __name__ == "__main__":
    main()
