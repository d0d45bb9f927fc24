"""Writes the README's table of measured figures from benchmarks/first_conversation.json.

usage: readme_table.py [--check]      --check: change nothing, fail when the README says something else
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULT = ROOT / "benchmarks" / "first_conversation.json"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
STAGES = {
    "silence": "silence noticed (tentative end of turn)",
    "transcript": "final transcript",
    "first_token": "first token of the answer",
    "first_phrase": "first phrase complete",
    "first_audio": "first audio made",
    "hold": "ready, held until the turn was over",
}


def table(result: dict[str, Any]) -> str:
    machine, v2v, stages = result["machine"], result["v2v_ms"], result["stages_ms"]
    rows = [
        f"{result['turns']} short questions, `embedded` profile, language-model answers, the student voice; "
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, client on the same machine. "
        "V2V is the time from the last voiced sample spoken to the first audible sample played, at the client, the "
        "endpoint wait included. The stages of each turn sum to its V2V; medians of stages need not.",
        "",
        "| | p50 ms | p95 ms |",
        "|---|---:|---:|",
        f"| **V2V** | **{v2v['p50']:.0f}** | **{v2v['p95']:.0f}** |",
        *(f"| {text} | {stages[name]['p50']:.0f} | {stages[name]['p95']:.0f} |" for name, text in STAGES.items()),
        "| speech end seen late, network, playout | "
        f"{result['outside_server_ms']['p50']:.0f} | {result['outside_server_ms']['p95']:.0f} |",
        f"| (of these: endpoint wait) | {result['endpoint_ms']['p50']:.0f} | {result['endpoint_ms']['p95']:.0f} |",
        "",
        f"Cut-ins {result['cut_ins']}, turns without an answer {result['no_answer']}, underruns {result['underruns']}. "
        f"Warm start {result['warm_start_s']:.1f} s. Resident memory {result['rss_mb']} MB, "
        f"{result['rss_mb_per_session']:.1f} MB per further session that has spoken. Decoding and resampling 20 ms: "
        f"{result['ingest_cpu_ms_per_20ms']:.2f} ms of CPU. Worst event-loop lag {result['worst_loop_lag_ms']:.0f} ms.",
        "",
        f"Made by `{result['command']}` at `{result['commit'][:10]}` "
        "([the file](benchmarks/first_conversation.json), every turn in it).",
    ]
    return "\n".join(rows)


def main() -> int:
    text = README.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    wanted = f"{head}{BEGIN}\n{table(json.loads(RESULT.read_text()))}\n{END}{tail}"
    if sys.argv[1:] == ["--check"]:
        if text != wanted:
            print("README.md: the measured figures are not those of benchmarks/: run scripts/readme_table.py")
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
