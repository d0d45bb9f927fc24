"""Writes the measured figures of docs/voxtral.md from the newest files of this folder.

    .venv/bin/python -m benchmarks.voxtral_table [--take FOLDER] [--check]

--take: the results of scripts/gpu are copied here first, as <date>-<commit>-gpu-<name>.json. --check changes nothing,
and fails when the page says something else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import readme
from voxtral_voice.bench.facts import against_targets

FOLDER: Final = Path(__file__).parent
PAGE: Final = FOLDER.parent / "docs" / "voxtral.md"
PIECES: Final = "pieces"
MODES: Final = ("streaming", "direct", "utterance")
NOTHING: Final = "Not measured yet: `scripts/gpu` does it."

Json = Mapping[str, Any]
Files = Mapping[str, Path]
"""By name: pieces, streaming, ..."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="what scripts/gpu has left")
    parser.add_argument("--check", action="store_true", help="only say whether the page is right")
    options = parser.parse_args(words)
    if options.take is not None:
        take(options.take, FOLDER)
    page = PAGE.read_text(encoding="utf-8")
    right = filled(page, newest(FOLDER))
    if options.check:
        return int(page != right)
    PAGE.write_text(right, encoding="utf-8")
    return 0


def take(folder: Path, into: Path) -> None:
    """Of runs that may be quoted, with weights of the real size."""
    for name in (PIECES, *MODES):
        path = folder / f"{name}.json"
        if path.is_file() and not (found := json.loads(path.read_text(encoding="utf-8"))).get("void"):
            shutil.copyfile(path, into / f"{found['date'][:10]}-{(found['commit'] or 'unknown')[:10]}-gpu-{name}.json")


def newest(folder: Path) -> Files:
    """By the date inside."""
    found = {name: sorted(folder.glob(f"*-gpu-{name}.json"), key=_date) for name in (PIECES, *MODES)}
    return {name: paths[-1] for name, paths in found.items() if paths}


def _date(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["date"])


def filled(page: str, files: Files) -> str:
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items()}
    parts = [pieces(results[PIECES], files[PIECES])] if PIECES in results else []
    if modes := [name for name in MODES if name in results]:
        parts.append(targets({name: results[name] for name in modes}, files))
    return readme.filled(page, "measured", "\n\n".join(parts) or NOTHING)


# --- each piece alone -------------------------------------------------------------------------------------------


def pieces(found: Json, path: Path) -> str:
    libraries, commit = found["machine"].get("libraries", {}), (found["commit"] or "unknown")[:10]
    rows = [*_mini(found.get("mini")), *_realtime(found.get("realtime"))]
    return "\n".join(
        [
            f"One {found['device']['name']}, torch {libraries.get('torch')}, transformers "
            f"{libraries.get('transformers')}, weights {found['weights']}, bf16, each piece alone and in process; "
            "median, lowest and highest:",
            "",
            "| ms | median | |",
            "|---|--:|--:|",
            *rows,
            "",
            f"Made by `{found['command']}` at `{commit}` ([the file](../benchmarks/{path.name})).",
        ]
    )


def _mini(mini: Json | None) -> Iterable[str]:
    if mini is None:
        return
    chat = mini["audio_chat"]
    yield _row("Mini: mel of a turn, on the GPU", mini["mel_device"])
    yield _row("Mini: encoder, always 30 s", mini["encode"])
    yield _row(f"Mini: reading a turn, {mini['prefill']['tokens']} tokens", mini["prefill"])
    for replies, figure in mini["token"].items():
        yield _row(f"Mini: a token of {replies}".replace("1 replies", "one reply"), figure)
    yield _row("**`direct`: end of a turn of 5 s to the first token**", chat["first_token"])
    yield _row(f"`direct`: to {chat['first_phrase']['tokens']} tokens, a first phrase", chat["first_phrase"])
    for length, figure in mini["transcription"].items():
        yield _row(f"`utterance`: words of a turn of {length}, {figure['tokens']} tokens", figure)
    yield _row("plain transformers, for comparison: Mini, a token", mini["eager"]["token"])


def _realtime(realtime: Json | None) -> Iterable[str]:
    if realtime is None:
        return
    for streams, figure in realtime["step"].items():
        yield _row(f"Realtime: 80 ms of {streams}, must be below 80".replace("1 streams", "one stream"), figure)
    for delay, flush in realtime["flush"].items():
        yield _row(f"**`streaming`: flush at {delay}, nothing new to write**", flush["nothing_new"])
        yield _row(f"`streaming`: flush at {delay}, {flush['tokens']} words to write, the worst", flush["all_words"])
    yield _row("plain transformers, for comparison: Realtime, 80 ms of one stream", realtime["eager"]["step"])


def _row(text: str, figure: Json) -> str:
    median, low, high = (_ms(figure[key]) for key in ("median_ms", "low_ms", "high_ms"))
    return f"| {text} | {median} | {low}–{high} |"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


# --- what a caller waits for ------------------------------------------------------------------------------------


def targets(results: Mapping[str, Json], files: Files) -> str:
    """p50 / p95 of each mode against the target."""
    tables = {
        name: {line.target: line for line in against_targets(found["runs"][0])} for name, found in results.items()
    }
    first = next(iter(tables.values()))
    rows = [
        f"| {target} | {line.limit} | " + " | ".join(_cell(table[target]) for table in tables.values()) + " |"
        for target, line in first.items()
    ]
    heard = [f"{_turns(found)}, {found['runs'][0]['name']}" for found in results.values()]
    rows.insert(0, f"| turns; what ends them | | {' | '.join(heard)} |")
    made = ", ".join(f"[{name}](../benchmarks/{files[name].name})" for name in tables)
    return "\n".join(
        [
            f"What a caller waits for, with random words (what that means: [below](#measure-it)), p50 / p95: {made}.",
            "",
            f"| | wanted | {' | '.join(f'`{name}`' for name in tables)} |",
            f"|---|--:|{'--:|' * len(tables)}",
            *rows,
        ]
    )


def _turns(found: Json) -> int:
    return len(found["runs"][0]["turns"])


def _cell(line: Any) -> str:
    return f"{line.p50} / {line.p95}{f', {line.verdict}' if line.verdict else ''}" if line.p50 != "–" else "not tried"


if __name__ == "__main__":
    sys.exit(main())
