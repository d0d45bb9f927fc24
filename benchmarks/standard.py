"""The standard set against this checkout: what the README's figures are made from.

    .venv/bin/python -m benchmarks.standard [--questions 40] [--holds 48] [--taps 32] [--barge-ins 10] [--sweep 30]

Starts the server as a user starts it, in its own process; both share the machine's cores. With the server's own
settings: questions, human sentences with a pause inside, interruptions, and sounds over which a reply has to go on.
Then, for latency against false cut-ins, questions and pauses again with other endpoint settings; then the largest
number of sessions. Writes benchmarks/<date>-<commit>.json and .html.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import orjson
import uvloop
from tqdm import tqdm

from voxtral_voice.bench import corpus, report
from voxtral_voice.bench.capacity import Capacity
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.measure import Measured, Script, Target, measure, measure_capacity
from voxtral_voice.bench.result import commit, result
from voxtral_voice.bench.server import serving
from voxtral_voice.errors import VoiceError

FOLDER: Final = Path(__file__).parent
SWEEP: Final = ("server_vad:200", "server_vad:800", "semantic_vad:high")
ASKED, HELD, TAPPED = "questions", "hold-human", "tap"
WARM_UP: Final = 3
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
        settings={"clips": [ASKED, HELD, TAPPED], **vars(options), "sessions": 1, "seed": 1},
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
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--holds", type=int, default=48)
    parser.add_argument("--taps", type=int, default=32)
    parser.add_argument("--barge-ins", type=int, default=10)
    parser.add_argument("--sweep", type=int, default=30, help="turns with each other endpoint, half of them holds")
    return parser.parse_args()


async def everything(options: argparse.Namespace, target: Target) -> tuple[list[tuple[str, Measured]], Capacity]:
    questions, holds = corpus.load([ASKED]), corpus.load([HELD], limit=options.holds)
    taps = corpus.load([TAPPED], limit=options.taps)
    asked = tuple(islice(cycle(questions), options.questions))
    runs = [(DEFAULT, await said(target, (*asked, *holds, *taps), options.barge_ins, DEFAULT))]
    part = (*islice(cycle(questions), options.sweep // 2), *corpus.load([HELD], limit=options.sweep // 2))
    runs += [(endpoint, await said(target, part, 0, endpoint)) for endpoint in SWEEP if options.sweep]
    found = await measure_capacity(
        target, Script(questions, turns=1), DEFAULT, most=MOST, after_trial=lambda trial: tqdm.write(str(trial))
    )
    return runs, found


async def said(target: Target, clips: tuple[Clip, ...], barge_ins: int, endpoint: str) -> Measured:
    """Every clip, as often as it is there."""
    script = Script(clips, sum(clip.kind != "tap" for clip in clips), barge_ins, WARM_UP)
    (plan,) = script.plans(1)
    with tqdm(total=len(plan.warm_up) + len(plan.steps), desc=endpoint, unit="turn") as bar:
        return await measure(target, script, endpoint, 1, bar.update)


if __name__ == "__main__":
    sys.exit(main())
