"""The standard set against this checkout: what the README's figures are made from.

    .venv/bin/python -m benchmarks.standard [--turns 80] [--sweep-turns 30] [--no-capacity]

Starts the server as a user starts it, in its own process; both share the machine's cores. Says every clip of the
standard sets once with the server's own settings, then, for latency against false cut-ins, a part of them with other
endpoint settings; then looks for the largest number of sessions. Writes benchmarks/<date>-<commit>.json and .html.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
import uvloop
from tqdm import tqdm

from voxtral_voice.bench import corpus, report
from voxtral_voice.bench.capacity import Capacity
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.command import FOR_CAPACITY, STANDARD
from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.measure import Measured, Script, Target, measure, measure_capacity
from voxtral_voice.bench.result import commit, result
from voxtral_voice.bench.server import serving
from voxtral_voice.errors import VoiceError

FOLDER: Final = Path(__file__).parent
SWEEP: Final = ("server_vad:200", "server_vad:500", "server_vad:1000", "semantic_vad:low", "semantic_vad:high")
SWEPT: Final = ("questions", "hold")
BARGE_INS: Final = 10
MOST: Final = 16


def main() -> int:
    options = parse()
    try:
        with serving() as own:
            target = Target(own.url, pid=own.pid)
            runs, capacity = uvloop.run(everything(options, target))
    except VoiceError as error:
        print(f"standard: {error}", file=sys.stderr)
        return 1
    written = result(
        command=" ".join(["python -m benchmarks.standard", *sys.argv[1:]]),
        target={"url": None, "wire": "realtime", "model": None, "ready_s": round(own.ready_s, 2)},
        settings={"clips": list(STANDARD), "turns": options.turns, "barge_ins": BARGE_INS, "sessions": 1, "seed": 1},
        runs=runs,
        capacity=capacity,
    )
    name = f"{datetime.now(UTC):%Y-%m-%d}-{(commit() or 'unknown')[:10]}"
    (FOLDER / f"{name}.json").write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    (FOLDER / f"{name}.html").write_text(report.html(written), encoding="utf-8")
    print(report.text(written))
    return int(written["void"])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=80, help="with the server's own settings")
    parser.add_argument("--sweep-turns", type=int, default=30, help="with each other endpoint setting; 0 = no sweep")
    parser.add_argument("--no-capacity", action="store_true")
    return parser.parse_args()


async def everything(options: argparse.Namespace, target: Target) -> tuple[list[tuple[str, Measured]], Capacity | None]:
    runs = [(DEFAULT, await said(target, corpus.load(STANDARD), options.turns, BARGE_INS, DEFAULT))]
    if options.sweep_turns:
        part = corpus.load(SWEPT, limit=options.sweep_turns)
        runs += [(endpoint, await said(target, part, options.sweep_turns, 0, endpoint)) for endpoint in SWEEP]
    if options.no_capacity:
        return runs, None
    script = Script(corpus.load(FOR_CAPACITY), turns=1)
    found = await measure_capacity(target, script, DEFAULT, most=MOST, after_trial=lambda trial: tqdm.write(str(trial)))
    return runs, found


async def said(target: Target, clips: tuple[Clip, ...], turns: int, barge_ins: int, endpoint: str) -> Measured:
    script = Script(clips, turns, barge_ins)
    (plan,) = script.plans(1)
    with tqdm(total=len(plan.warm_up) + len(plan.steps), desc=endpoint, unit="turn") as bar:
        return await measure(target, script, endpoint, 1, bar.update)


if __name__ == "__main__":
    sys.exit(main())
