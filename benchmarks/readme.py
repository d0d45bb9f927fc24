"""Writes the README's measured figures from the newest files of this folder.

    .venv/bin/python -m benchmarks.readme [--check]

--check changes nothing, and fails when the README says something else. Our figures are those of the standard set,
<date>-<commit>.json; the alternatives' those of the comparisons, <date>-<commit>-models.json and -stub.json.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import side_by_side

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NAME = r"\d{4}-\d{2}-\d{2}-[0-9a-f]+"
STAGES = {
    "silence": "silence noticed (tentative end of turn)",
    "transcript": "final transcript",
    "first_token": "first token of the answer",
    "first_phrase": "first phrase complete",
    "first_audio": "first audio made",
    "hold": "ready, held until the turn was over",
}


Json = Mapping[str, Any]


def newest(kind: str = "") -> Path:
    """By the date inside, since two may be of one day. kind: "" for the standard set, "-models", "-stub"."""
    found = [path for path in (ROOT / "benchmarks").glob("*.json") if re.fullmatch(f"{NAME}{kind}.json", path.name)]
    if not found:
        sys.exit(f"benchmarks/ holds no <date>-<commit>{kind}.json: run make bench, bench-peers and bench-stub")
    return max(found, key=lambda path: str(json.loads(path.read_text())["date"]))


def table(path: Path) -> str:
    result = json.loads(path.read_text())
    run = result["runs"][0]
    parts = [
        head(result, run),
        "\n".join(latency(run["figures"])),
        " ".join(others(result, run)),
        made(path, result),
    ]
    return "\n\n".join(parts)


def head(result: Json, run: Json) -> str:
    machine, figures = result["machine"], run["figures"]
    return (
        f"{figures['turns']} turns and {figures['taps']} sounds that are no turn, `embedded` profile, language-model "
        f"answers{' where no others are named' * ('intents' in figures)}, the student voice;"
        f" {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, caller "
        "on the same machine. V2V is the time from the last voiced sample spoken to the first audible sample played, "
        "at the caller, the endpoint wait included ([how](docs/measuring.md)). In brackets: 95 % intervals."
    )


def latency(figures: Json) -> list[str]:
    whole, barge_in = figures["latency"], figures["barge_in"]
    stages = {STAGES[name]: spread for name, spread in figures["stages_ms"].items() if name in STAGES}
    return [
        "| ms | p50 | p95 |",
        "|---|---:|---:|",
        *asked(figures),
        row("**V2V**", whole["v2v_ms"], intervals=True),
        row("of it, leading silence", whole["leading_silence_ms"]),
        row("of it, endpoint wait (the models work meanwhile)", figures["endpoint_ms"]),
        *(row(f"stage: {text}", spread) for text, spread in stages.items()),
        row("barge-in: onset to the last old sound played", barge_in["heard_stop_ms"]),
        *known("barge-in: the server's word to the last old sound played", barge_in.get("decision_stop_ms")),
    ]


def asked(figures: Json) -> list[str]:
    """By what is asked, where a run has asked in more than one way; then "V2V" is all of them but intents."""
    if "intents" not in figures:
        return []
    return [
        *known("V2V, short questions", figures["by_set"].get("questions", {}).get("v2v_ms"), intervals=True),
        *known("V2V, intents (no language model)", figures["intents"]["latency"]["v2v_ms"], intervals=True),
    ]


def known(text: str, spread: Json | None, *, intervals: bool = False) -> list[str]:
    """A row, or none when it was not measured."""
    return [row(text, spread, intervals=intervals)] if spread and spread["n"] else []


def others(result: Json, run: Json) -> list[str]:
    figures, capacity, cost = run["figures"], result["capacity"], run["cost"]
    cut_ins, stops = figures["cut_ins"], figures["false_stops"]
    lines = [
        f"False cut-ins: {share(cut_ins['hold'])} of the pauses inside sentences, {share(cut_ins['plain'])} of the "
        "other turns.",
        f"Missed turns {share(figures['missed'])}.",
        f"False stops on backchannels, noises and echo: {share(stops['all'])}{kinds(stops)}.",
        *tried(figures),
        f"Underruns {figures['continuity']['underruns']}.",
        f"Server CPU {cost['cpu_s_per_audio_minute']:.1f} s per minute of caller audio, models included.",
        *thrown_away(cost),
        f"Memory {cost['memory_mb']:.0f} MB.",
        f"Ready {result['target']['ready_s']:.1f} s after a warm start.",
    ]
    if len(result["runs"]) > 1 and "intents" in figures:
        lines.append(swept(result["runs"]))
    if capacity is not None:
        lines.append(
            f"Capacity on this machine: {capacity['sessions']} session{'s' * (capacity['sessions'] != 1)} "
            f"within a p95 of {capacity['limit_p95_ms']:.0f} ms."
        )
        if capacity["memory_mb_per_session"] is not None:
            lines.append(f"{capacity['memory_mb_per_session']:.1f} MB per further session.")
    return lines


def kinds(stops: Json) -> str:
    found = [f"{each['count']} of {each['of']} {kind}" for kind, each in stops.get("by_kind", {}).items()]
    return f", {', '.join(found)}" if found else ""


def tried(figures: Json) -> list[str]:
    """What older files do not have, and a run need not try."""
    barge_in, soak = figures["barge_in"], figures.get("soak")
    lines = []
    if (words := barge_in.get("words_off")) and words["n"]:
        p50, p95 = (words[name]["value"] for name in ("p50", "p95"))
        lines.append(f"Heard text after an interruption: {p50:.0f} words off at the median, {p95:.0f} at p95.")
    if "old_bytes_after_stop" in barge_in and barge_in["heard_stop_ms"]["n"]:
        lines.append(f"Old audio after a stop: {barge_in['old_bytes_after_stop']} bytes.")
    if soak and soak["all"]["minutes"]:
        heard = soak["all"]
        lines.append(
            f"{heard['minutes']:.0f} min of white noise, hum, clicks and music: {heard['turns']} turns, "
            f"{heard['replies']} replies."
        )
    return lines


def thrown_away(cost: Json) -> list[str]:
    work = cost.get("work")
    if not work or work["dropped_percent"] is None:
        return []
    dropped_s, percent = work["dropped_total_s"], work["dropped_percent"]
    return [f"Speculative work thrown away: {dropped_s:.1f} s of engines' time ({percent:.0f} %)."]


def swept(runs: Sequence[Json]) -> str:
    """Latency against false cut-ins, one setting after the other."""
    points = [
        f"{run['name']} {p50['value']:.0f} ms / {share(run['figures']['cut_ins']['hold'])}"
        for run in runs
        if (p50 := run["figures"]["latency"]["v2v_ms"]["p50"]) is not None
    ]
    return f"V2V p50 / false cut-ins by endpoint setting: {'; '.join(points)}."


def made(path: Path, result: Json) -> str:
    return (
        f"Made by `{result['command']}` at `{(result['commit'] or 'unknown')[:10]}` "
        f"([the file](benchmarks/{path.name}), every turn in it; its "
        f"[report](benchmarks/{path.with_suffix('.html').name}))."
    )


def row(text: str, spread: Json | None, *, intervals: bool = False) -> str:
    values = [number(spread[name] if spread else None, intervals) for name in ("p50", "p95")]
    bold = "**" if text.startswith("**") else ""
    return f"| {text} | {bold}{values[0]}{bold} | {bold}{values[1]}{bold} |"


def number(estimate: Json | None, interval: bool) -> str:
    if estimate is None:
        return "-"
    between = f" ({estimate['low']:.0f}–{estimate['high']:.0f})" if interval and estimate["low"] is not None else ""
    return f"{estimate['value']:.0f}{between}"


def share(counted: Json) -> str:
    percent = counted["percent"]
    return f"{counted['count']} of {counted['of']}" + (f" ({percent['value']:.0f} %)" if percent else "")


# --- side by side -----------------------------------------------------------------------------------------------


def compared() -> str:
    return "\n\n".join([*with_models(newest("-models")), *without(newest("-stub")), *crowded(newest("-stub-50"))])


def with_models(path: Path) -> list[str]:
    result = json.loads(path.read_text())
    machine = result["machine"]
    return [
        f"The same models behind the same three URLs (Whisper base, SmolLM2 135M, Kokoro's student), the same clips, "
        f"one caller, in turn, {result['rounds']} rounds, {machine['cores']} cores of {machine['cpu']}. *Matched*: a "
        f"turn ends after {result['silence_ms']} ms of silence, no turn model. *Shipped*: each one's defaults. "
        "`s2s` is Hugging Face speech-to-speech; CPU and memory are the framework's, without the models'.",
        side_by_side.table(result),
        best_of_them(result),
        f"Versions, settings and every round: {origin(path, result)}",
    ]


def without(path: Path) -> list[str]:
    result = json.loads(path.read_text())
    return [
        "Without models: stubs with known times in their place, the server on one core, caller and stubs on the other. "
        "*Overhead* is V2V less the endpoint wait and the stubs' times; negative for one that works while it waits. "
        "`ours-patient` is our server kept from doing so: its own work.",
        side_by_side.table(result),
        f"Versions, settings and every round: {origin(path, result)}",
    ]


def crowded(path: Path) -> list[str]:
    result = json.loads(path.read_text())
    return [
        "The same with 50 sessions at once, the server on one core:",
        side_by_side.table(result),
        f"Versions, settings and every round: {origin(path, result)}",
    ]


def origin(path: Path, result: Json) -> str:
    commit = (result["commit"] or "unknown")[:10]
    return f"[the file](benchmarks/{path.name}), made by `{result['command']}` at `{commit}`."


def best_of_them(result: Json) -> str:
    """Our ratio to the fastest alternative of each setting, whatever it is."""
    lines = []
    for settings in ("matched", "shipped"):
        rows = [
            each
            for each in result["against_ours"]
            if each["settings"] == settings and not each["target"].startswith("ours")
        ]
        if rows:
            best = max(rows, key=lambda each: each["ours_to_it"]["ratio"]["value"])
            ratio = best["ours_to_it"]["ratio"]
            between = f" ({ratio['low']:.2f}–{ratio['high']:.2f})" if ratio["low"] is not None else ""
            lines.append(
                f"{settings.capitalize()}: our median V2V is {ratio['value']:.2f}{between} of {best['target']}'s, the "
                "fastest of the others."
            )
    return " ".join(lines)


def filled(text: str, name: str, content: str) -> str:
    """The text with `content` between its two marks."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> int:
    text = README.read_text()
    wanted = filled(filled(text, "measured", table(newest())), "compared", compared())
    if sys.argv[1:] == ["--check"]:
        if text != wanted:
            print("README.md: the measured figures are not those of benchmarks/: run python -m benchmarks.readme")
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
