"""Writes the tables of docs/voices.md from the voices of the package and from benchmarks/voices.json.

    .venv/bin/python -m benchmarks.voices_table [--check]

--check changes nothing, and fails when the page says something else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.readme import filled
from voxtral_voice.engines.voices import DEFAULT_VOICES, VOICES
from voxtral_voice.server.samples import NAMES

FOLDER: Final = Path(__file__).parent
PAGE: Final = FOLDER.parent / "docs" / "voices.md"
RESULT: Final = FOLDER / "voices.json"
NOT_MEASURED: Final = "-"
BY_CHARACTERS: Final = ("ja", "zh")

Json = Mapping[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    page = PAGE.read_text(encoding="utf-8")
    right = written(page, json.loads(RESULT.read_text(encoding="utf-8")))
    if "--check" in (sys.argv[1:] if words is None else words):
        if page != right:
            print("docs/voices.md: its tables are not those of benchmarks/: run python -m benchmarks.voices_table")
        return int(page != right)
    PAGE.write_text(right, encoding="utf-8")
    return 0


def written(page: str, found: Json) -> str:
    page = filled(page, "voices", "\n".join(voices(found)))
    return filled(page, "measured", "\n\n".join(filter(None, measured(found))))


def voices(found: Json) -> Iterator[str]:
    """Every voice of the package, whether it was measured or not."""
    rows = {row["voice"]: row for row in found["voices"]}
    yield "| voice | language | gender | grade | errors, % | by sound, % | pitch, Hz |"
    yield "|---|---|---|---|--:|--:|--:|"
    for voice in VOICES.values():
        row = rows.get(voice.id)
        name = f"**{voice.id}**" if voice.id in DEFAULT_VOICES else voice.id
        figures = (_rate(row, "wer"), _rate(row, "per"), str(row["pitch_hz"])) if row else (NOT_MEASURED,) * 3
        yield f"| {' | '.join((name, voice.language, voice.gender, voice.grade or NOT_MEASURED, *figures))} |"


def measured(found: Json) -> Iterator[str]:
    yield "\n".join(by_language(found))
    yield "\n".join(across(found))
    yield " ".join(sound(found))
    commit = (found["commit"] or "unknown")[:10]
    yield (
        f"Made by `{found['command']}` at `{commit}` ([the file](../benchmarks/{RESULT.name}), with "
        "every sentence that was heard otherwise)."
    )


def by_language(found: Json) -> Iterator[str]:
    yield "| language | voices | errors, %: best, median, worst | by sound, % | the same listener on recordings |"
    yield "|---|--:|---|---|---|"
    for tag, name in NAMES.items():
        rows = [row for row in found["voices"] if row["language"] == tag]
        if rows:
            heard = [_range(rows, kind) for kind in ("wer", "per")]
            yield f"| {name} | {len(rows)} | {' | '.join(heard)} | {recordings(found, tag.partition('-')[0])} |"


def recordings(found: Json, language: str) -> str:
    """ "7.8 (35 clips, people)"."""
    rows = [row for row in found["references"] if row["language"] == language]
    return "; ".join(f"{row['wer']['value']:.1f} ({row['clips']} clips, {row['spoken_by']})" for row in rows)


def across(found: Json) -> Iterator[str]:
    if not found["across"]:
        return
    yield "| voice | reads | errors, % | by sound, % |"
    yield "|---|---|--:|--:|"
    for row in found["across"]:
        yield f"| {row['voice']} | {NAMES[row['reads']]} | {_rate(row, 'wer')} | {_rate(row, 'per')} |"


def sound(found: Json) -> Iterator[str]:
    rows, loudness = found["voices"], found["loudness_lu"]
    yield f"Loudness: {loudness['lowest']:.1f} to {loudness['highest']:.1f} LUFS, {loudness['range']:.1f} LU apart."
    for speed in rows[0]["duration_as_asked"]:
        off = sorted(100 * (row["duration_as_asked"][speed] - 1) for row in rows)
        within = sum(abs(value) <= 5 for value in off)
        yield (
            f"Duration at speed {speed} against what was asked: {off[0]:+.0f} to {off[-1]:+.0f} %, median "
            f"{median(off):+.1f} %, {within} of {len(off)} voices within 5 %."
        )
    odd = [voice for each in found["pitch"] for voice in each["not_apart"]]
    yield f"Not told apart from the other gender of their language by the median pitch: {', '.join(odd) or 'none'}."


def _range(rows: Sequence[Json], kind: str) -> str:
    values = sorted(row[kind]["value"] for row in rows)
    return f"{values[0]:.1f}, {median(values):.1f}, {values[-1]:.1f}"


def _rate(row: Json | None, kind: str) -> str:
    return NOT_MEASURED if row is None else f"{row[kind]['value']:.1f}"


if __name__ == "__main__":
    sys.exit(main())
