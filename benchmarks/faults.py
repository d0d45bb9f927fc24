"""What it costs when something fails: every cell of docs/faults.md, with the server's settings as they are delivered.

    .venv/bin/python -m benchmarks.faults [--parts transcriber ...] [--out benchmarks/faults.json]

The server and its callers are in this process, the engines in processes of their own that are killed, stopped, cut off
and made to answer wrongly (`tests/faults`); the four moments of one fault are played side by side. A cell that came to
no end counts as a lost session. `recovered_s` is, for an engine, from its return to the end of the first good
answer, what is said for it (sent at once) and what is played of it included; for the client's connection from the new
connection's beginning to the greeting that says that the session goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.faults.cells import Engines, Outcome, play_all
from tests.faults.processes import engine_processes
from tests.faults.promises import FAULTS, MOMENTS, Cell, Promise
from tests.faults.world import DELIVERED
from voxtral_voice.bench.machine import commit, machine

BACK_WITHIN_S: Final = 5.0
"""Of an engine's return a turn is answered, and of a lost connection a client is back: that is promised, too."""
OUT: Final = Path(__file__).parent / "faults.json"
KILLED: Final = "killed"


async def played(parts: Sequence[str], sets: Sequence[Engines]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for part in parts:
        for fault in FAULTS[part]:
            found = await play_all([Cell(part, fault, moment) for moment in MOMENTS], sets, DELIVERED)
            outcomes += map(in_time, found)
            print(part, fault.name, *map(told, found), sep="  ", flush=True)
    return outcomes


def in_time(outcome: Outcome) -> Outcome:
    late = outcome.recovered_s is not None and outcome.recovered_s > BACK_WITHIN_S
    return replace(outcome, broken=f"not back within {BACK_WITHIN_S:g} s") if late else outcome


def told(outcome: Outcome) -> str:
    if outcome.broken:
        return "NOT KEPT"
    return "kept" if outcome.recovered_s is None else f"{outcome.recovered_s:.2f} s"


def report(outcomes: Sequence[Outcome], command: str) -> dict[str, Any]:
    return {
        "command": command,
        "commit": commit(),
        "machine": machine(),
        "all": summed(outcomes),
        "engines_killed": summed(o for o in outcomes if o.cell.fault.name == KILLED),
        "connections_resumed": summed(o for o in outcomes if o.cell.promise is Promise.RESUMED),
        "parts": {part: summed(o for o in outcomes if o.cell.part == part) for part in FAULTS},
        "cells": {str(outcome.cell): row(outcome) for outcome in outcomes},
    }


def summed(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    every = list(outcomes)
    times = sorted(outcome.recovered_s for outcome in every if outcome.recovered_s is not None)
    return {
        "faults_tried": len(every),
        "promises_not_kept": sum(bool(outcome.broken) for outcome in every),
        "sessions_lost": sum(outcome.lost for outcome in every),
        "cut_off_as_promised": sum(o.cell.promise is Promise.CUT_OFF and not o.broken for o in every),
        "words_lost": sum(outcome.lost_words for outcome in every),
        "words_to_say_again": sum(outcome.words_again for outcome in every),
        "recovered_s": {"median": round(statistics.median(times), 2), "worst": round(times[-1], 2)} if times else None,
    }


def row(outcome: Outcome) -> dict[str, Any]:
    seconds = None if outcome.recovered_s is None else round(outcome.recovered_s, 3)
    kept = {"promise": outcome.cell.promise.name.lower(), "recovered_s": seconds}
    return {**kept, "not_kept": outcome.broken[:200]} if outcome.broken else kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--out", type=Path, help=f"default: {OUT.name} beside this file, for a run of all parts")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    with ExitStack() as stack:
        sets = [stack.enter_context(engine_processes("tests.faults.cells")) for _ in MOMENTS]
        outcomes = asyncio.run(played(options.parts, sets))
    made = report(outcomes, "python -m benchmarks.faults")
    print(json.dumps(made["all"], indent=1))
    out = options.out or (OUT if options.parts == list(FAULTS) else None)
    if out is not None:
        out.write_text(json.dumps(made, indent=1) + "\n")
    sys.exit(any(outcome.broken for outcome in outcomes))


if __name__ == "__main__":
    main()
