"""Writes the README's measured figures from the newest result of the standard set, benchmarks/<date>-<commit>.json.

usage: readme_table.py [--check]      --check: change nothing, fail when the README says something else
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
STANDARD = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]+\.json")
STAGES = {
    "silence": "silence noticed (tentative end of turn)",
    "transcript": "final transcript",
    "first_token": "first token of the answer",
    "first_phrase": "first phrase complete",
    "first_audio": "first audio made",
    "hold": "ready, held until the turn was over",
}

Json = Mapping[str, Any]


def newest() -> Path:
    """By the date inside, since two may be of one day."""
    found = [path for path in (ROOT / "benchmarks").glob("*.json") if STANDARD.fullmatch(path.name)]
    if not found:
        sys.exit("benchmarks/ holds no result of the standard set: run make bench")
    return max(found, key=lambda path: str(json.loads(path.read_text())["date"]))


def table(path: Path) -> str:
    result = json.loads(path.read_text())
    run = result["runs"][0]
    return "\n".join(
        [*head(result, run), "", *latency(run["figures"]), "", *others(result, run), "", made(path, result)]
    )


def head(result: Json, run: Json) -> str:
    machine, figures = result["machine"], run["figures"]
    return (
        f"{figures['turns']} turns and {figures['taps']} sounds that are no turn, `embedded` profile, language-model "
        f"answers, the student voice; {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, caller "
        "on the same machine. V2V is the time from the last voiced sample spoken to the first audible sample played, "
        "at the caller, the endpoint wait included ([how](docs/measuring.md)). In brackets: 95 % intervals."
    )


def latency(figures: Json) -> list[str]:
    whole = figures["latency"]
    stages = {STAGES[name]: spread for name, spread in figures["stages_ms"].items() if name in STAGES}
    return [
        "| ms | p50 | p95 |",
        "|---|---:|---:|",
        row("**V2V**", whole["v2v_ms"], intervals=True),
        row("of it, leading silence", whole["leading_silence_ms"]),
        row("of it, endpoint wait (the models work meanwhile)", figures["endpoint_ms"]),
        *(row(f"stage: {text}", spread) for text, spread in stages.items()),
        row("barge-in: onset to the last old sound played", figures["barge_in"]["heard_stop_ms"]),
    ]


def others(result: Json, run: Json) -> list[str]:
    figures, capacity, cost = run["figures"], result["capacity"], run["cost"]
    cut_ins, stops = figures["cut_ins"], figures["false_stops"]
    lines = [
        f"False cut-ins: {share(cut_ins['hold'])} of the pauses inside sentences, {share(cut_ins['plain'])} of the "
        "other turns.",
        f"Missed turns {share(figures['missed'])}.",
        f"False stops on backchannels, noises and echo: {share(stops['all'])}.",
        f"Underruns {figures['continuity']['underruns']}.",
        f"Server CPU {cost['cpu_s_per_audio_minute']:.1f} s per minute of caller audio, models included.",
        f"Memory {cost['memory_mb']:.0f} MB.",
        f"Ready {result['target']['ready_s']:.1f} s after a warm start.",
    ]
    if capacity is not None:
        lines.append(
            f"Capacity on this machine: {capacity['sessions']} session{'s' * (capacity['sessions'] != 1)} "
            f"within a p95 of {capacity['limit_p95_ms']:.0f} ms."
        )
        if capacity["memory_mb_per_session"] is not None:
            lines.append(f"{capacity['memory_mb_per_session']:.1f} MB per further session.")
    return lines


def made(path: Path, result: Json) -> str:
    return (
        f"Made by `{result['command']}` at `{(result['commit'] or 'unknown')[:10]}` "
        f"([the file](benchmarks/{path.name}), every turn in it; its "
        f"[report](benchmarks/{path.with_suffix('.html').name}))."
    )


def row(text: str, spread: Json | None, *, intervals: bool = False) -> str:
    values = [number(spread[name] if spread else None, intervals) for name in ("p50", "p95")]
    bold = "**" if intervals else ""
    return f"| {text} | {bold}{values[0]}{bold} | {bold}{values[1]}{bold} |"


def number(estimate: Json | None, interval: bool) -> str:
    if estimate is None:
        return "-"
    between = f" ({estimate['low']:.0f}–{estimate['high']:.0f})" if interval and estimate["low"] is not None else ""
    return f"{estimate['value']:.0f}{between}"


def share(counted: Json) -> str:
    percent = counted["percent"]
    return f"{counted['count']} of {counted['of']}" + (f" ({percent['value']:.0f} %)" if percent else "")


def main() -> int:
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n{table(newest())}\n{END}{after}"
    if sys.argv[1:] == ["--check"]:
        if text != wanted:
            print("README.md: the measured figures are not those of benchmarks/: run scripts/readme_table.py")
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
