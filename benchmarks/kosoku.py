"""Autobahn's cases for WebSocket (Kosoku drives them), against the server's own stack with an echo behind it.

    .venv/bin/python -m benchmarks.kosoku [--out benchmarks/kosoku.json]

Beside it: uvicorn's default stack, and the one with wsproto where that is installed; and what a frame there and back
costs in CPU time of this process, client included. Exit status 1 when a case fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import uvloop
from kosoku import FailureError, run_fuzzingclient
from websockets.asyncio.client import connect

from tests.server.stack import echo, serving
from voxtral_voice.bench.machine import commit, machine

LEFT_OUT: Final = ["9.*", "12.*", "13.*"]
"""Speed, and compression, which is off."""
FRAMES: Final = 20_000
FRAME: Final = "x" * 1300
"""20 ms of audio."""
OURS: Final[dict[str, Any]] = {}
OTHERS: Final[dict[str, dict[str, Any]]] = {
    "websockets": {"http": "httptools", "ws": "websockets-sansio"},
    "wsproto": {"http": "httptools", "ws": "wsproto"},
}
Facts = dict[str, Any]


async def measured(settings: dict[str, Any]) -> Facts:
    async with serving(echo, **settings) as (_, port):
        url = f"ws://127.0.0.1:{port}"
        try:
            results = await run_fuzzingclient(url, exclude_cases=LEFT_OUT)
        except FailureError as failure:
            results = failure.results
        behaviours = Counter(str(result.behavior).rpartition(".")[2] for result in results)
        failed = [result.case_id for result in results if not result.passed]
        passed = len(results) - len(failed)
        return {
            "cases": len(results),
            "passed": passed,
            "failed": failed,
            "behaviours": dict(behaviours),
            "us_per_echo": round(await echo_us(url), 1),
        }


async def echo_us(url: str) -> float:
    """There and back, of both sides."""
    async with connect(url, proxy=None, compression=None) as socket:
        began = time.process_time()
        for _ in range(FRAMES // 20):
            for _ in range(20):
                await socket.send(FRAME)
            for _ in range(20):
                await socket.recv()
        return (time.process_time() - began) / FRAMES * 1e6


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kosoku", description="Autobahn's cases for WebSocket.")
    parser.add_argument("--out", type=Path, help="write what came of it, as JSON")
    options = parser.parse_args(words)
    logging.disable(logging.CRITICAL)
    facts: Facts = {
        "command": " ".join(["python -m benchmarks.kosoku", *words]),
        "commit": commit(),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "ours": uvloop.run(measured(OURS)),
    }
    facts |= {name: uvloop.run(measured(others)) for name, others in OTHERS.items() if find_spec(name)}
    print(json.dumps({name: facts[name] for name in ("ours", *OTHERS) if name in facts}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(facts, indent=1) + "\n")
    return int(bool(facts["ours"]["failed"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
