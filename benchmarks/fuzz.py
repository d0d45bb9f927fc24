"""Any bytes for everything that reads bytes from outside: no crash, no hang, no growth.

    .venv/bin/python -m benchmarks.fuzz [--inputs 1000000] [--frames 100000] [--out benchmarks/fuzz.json]

Inputs go to the parsers by coverage (atheris; tests/fuzz/harnesses.py), frames over sockets to a whole server with
scripted engines in its own process (tests/fuzz/storm.py). Exit status 1 when something was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.storm import MAY_END, storm
from voxtral_voice.bench.machine import commit, machine

ROOT: Final = Path(__file__).parents[1]
GROWTH_MB: Final = 16.0
"""Most that a parser's process may grow by between its 2,000th input and its last: Python's own heap moves by a few."""
SERVER_MB: Final = 64.0
"""Most that the server may grow by behind its first tenth of the frames."""
HARNESS_S: Final = 3600.0
UNLIMITED: Final = (
    *("--limits-events-per-s", "100000", "--limits-audio-speed", "100", "--limits-audio-burst-s", "3600"),
    *("--limits-new-sessions-per-s", "10000", "--limits-slow-turn-s", "0", "--limits-loop-lag-ms", "0"),
    *("--server-resume-s", "1"),
)
"""Frames as fast as they are read, and nobody is waited for."""
Facts = dict[str, Any]


def parsers(inputs: int) -> dict[str, Facts]:
    told: dict[str, Facts] = {}
    for name, harness in HARNESSES.items():
        told[name] = parser(name, inputs * harness.share // 1000)
        print(f"{name}: {told[name]}", flush=True)
    return told


def parser(name: str, inputs: int) -> Facts:
    command = [sys.executable, "-m", "tests.fuzz.run", name, str(inputs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HARNESS_S, check=False
        )
    last = done.stdout.strip().splitlines()[-1:]
    told: Facts = json.loads(last[0]) if last and last[0].startswith("{") else {"inputs": 0, "grown_mb": 0.0}
    found = done.returncode != 0 or told["inputs"] < inputs or told["grown_mb"] > GROWTH_MB
    said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith(("INFO", "WARNING")))
    return told | {"found": said[-4000:] or f"status {done.returncode}" if found else ""}


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    process: psutil.Process
    log: Path

    def metrics(self) -> dict[str, float]:
        text = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=30).text
        return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}

    @property
    def rss_mb(self) -> float:
        return float(self.process.memory_info().rss / 2**20)

    def at_rest(self) -> dict[str, float]:
        """Once no session is left."""
        until = time.monotonic() + 60
        while (metrics := self.metrics()).get("voxtral_voice_sessions", 0) and time.monotonic() < until:
            time.sleep(0.2)
        return metrics


@contextmanager
def served() -> Iterator[Served]:
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--profile", "fake", "--port", "0", *UNLIMITED]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as server:
            assert server.stdout is not None
            try:
                yield Served(server.stdout.readline().strip(), psutil.Process(server.pid), log)
            finally:
                server.terminate()


def over_sockets(frames: int, seed: int) -> Facts:
    with served() as server:
        asyncio.run(storm(server.url, max(1, frames // 10), seed))
        first, warm_mb = server.at_rest(), server.rss_mb
        told = asyncio.run(storm(server.url, frames - frames // 10, seed + 1))
        last, grown_mb = server.at_rest(), server.rss_mb - warm_mb
        faults = [line for line in server.log.read_text().splitlines() if is_a_fault(line)]
    tasks = last.get("voxtral_voice_tasks", 0) - first.get("voxtral_voice_tasks", 0)
    wrong = {code: count for code, count in told.ended.items() if code not in MAY_END}
    facts: Facts = {
        "frames": told.frames + frames // 10,
        "connections": told.connections,
        "ended": {str(code): count for code, count in sorted(told.ended.items())},
        "answers": dict(told.answers.most_common()),
        "hung": told.hung,
        "grown_mb": round(grown_mb, 1),
        "tasks_more": tasks,
        "sessions_left": last.get("voxtral_voice_sessions", 0),
        "faults": len(faults),
    }
    bad = wrong or told.hung or faults or grown_mb > SERVER_MB or tasks > 0 or facts["sessions_left"]
    return facts | {"found": f"{wrong} {faults[:3]}"[:2000] if bad else ""}


def is_a_fault(line: str) -> bool:
    """Of the server's log."""
    return "session_broken" in line or "Traceback" in line or " ERROR " in line


def main(words: list[str]) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description="Fuzz all that reads bytes.")
    options.add_argument("--inputs", type=int, default=1_000_000, help="of the parsers, all together")
    options.add_argument("--frames", type=int, default=100_000, help="over sockets")
    options.add_argument("--seed", type=int, default=1, help="of the frames")
    options.add_argument("--out", type=Path, help="write what came of it, as JSON")
    asked = options.parse_args(words)
    about = {
        "command": " ".join(["python -m benchmarks.fuzz", *words]),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    facts: Facts = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    if asked.inputs:
        told = parsers(asked.inputs)
        facts["parsers"] = about | {"inputs": sum(one["inputs"] for one in told.values()), "each": told}
    if asked.frames:
        facts["sockets"] = about | over_sockets(asked.frames, asked.seed)
        print(f"sockets: {facts['sockets']}")
    if asked.out:
        asked.out.write_text(json.dumps(facts, indent=1) + "\n")
    parts = [*facts.get("parsers", {}).get("each", {}).values(), facts.get("sockets", {})]
    return int(any(part.get("found") for part in parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
