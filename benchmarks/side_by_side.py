"""A comparison as it is read: the table, and whether we are ahead.

Knows: the JSON that `benchmarks.compare` writes. Does not know: how it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

OURS: Final = "ours"

Json = Mapping[str, Any]


def verdicts(result: Json) -> Iterator[tuple[bool, str]]:
    """(holds, sentence). Only ratios inside the run: what another machine took says nothing about this one."""
    for row in result["rows"]:
        if row["target"] == OURS:
            yield from _sound(row)
        elif row["figures"] is None:
            yield False, f"{_name(row)} did not run: {'; '.join(row['failures'])}"
        else:
            yield from _ahead(result, row)


def _sound(row: Json) -> Iterator[tuple[bool, str]]:
    if row["figures"] is None:
        yield False, f"{_name(row)} did not run: {'; '.join(row['failures'])}"
        return
    missed, cut_ins = row["figures"]["missed"]["count"], row["figures"]["cut_ins"]["count"]
    yield not missed, f"{_name(row)}: {missed} missed turns"
    yield not cut_ins, f"{_name(row)}: {cut_ins} false cut-ins"
    late = row["figures"]["lateness"]["p99_ms"]
    yield not row["figures"]["void"], f"{_name(row)}: the microphone was at most {late:.1f} ms late (p99)"


def _ahead(result: Json, row: Json) -> Iterator[tuple[bool, str]]:
    key = {name: row[name] for name in ("settings", "sessions")}
    found = [each for each in result["against_ours"] if {"target": row["target"]} | key == _key(each)]
    for each in found:
        ratio = each["ours_to_it"]["ratio"]
        yield ratio["value"] < 1, f"{_name(row)}: our median V2V is {ratio['value']:.2f} of it"
    ours = next((each for each in result["rows"] if each["target"] == OURS and key.items() <= each.items()), None)
    if ours is not None and ours["overhead"] and row["overhead"]:
        mine, its = (each["overhead"]["overhead_ms"]["p95"]["value"] for each in (ours, row))
        yield mine < its, f"{_name(row)}: our overhead is {mine:.0f} ms at the 95th percentile, its {its:.0f} ms"


def _key(each: Json) -> Json:
    return {name: each[name] for name in ("target", "settings", "sessions")}


def _name(row: Json) -> str:
    return f"{row['target']}, {row['settings']}, {row['sessions']} session{'s' * (row['sessions'] != 1)}"


# --- the table --------------------------------------------------------------------------------------------------


def table(result: Mapping[str, Any]) -> str:
    """In Markdown."""
    lines = [
        "| target | settings | sessions | V2V p50 / p95 ms | overhead p50 / p95 ms | cut-ins | missed | "
        "barge-in stop p50 ms | underruns | CPU-s per audio minute | MB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows = sorted(result["rows"], key=lambda row: (row["settings"], row["sessions"], row["target"]))
    return "\n".join([*lines, *(f"| {' | '.join(cells(row))} |" for row in rows)])


def cells(row: Mapping[str, Any]) -> list[str]:
    name = [row["target"], row["settings"], str(row["sessions"])]
    got, over = row["figures"], row["overhead"]
    if got is None:
        return [*name, "did not run", *[""] * 7]
    return [
        *name,
        pair(got["latency"]["v2v_ms"]),
        pair(over and over["overhead_ms"]),
        str(got["cut_ins"]["count"]),
        f"{got['missed']['count']} of {got['missed']['of']}",
        one(got["barge_in"]["heard_stop_ms"]["p50"]),
        str(got["continuity"]["underruns"]),
        number(row["cpu_s_per_audio_minute"], 2),
        number(row["memory_mb"], 0),
    ]


def pair(spread: Mapping[str, Any] | None) -> str:
    return f"{one(spread['p50'])} / {one(spread['p95'])}" if spread else ""


def one(estimate: Mapping[str, Any] | None) -> str:
    return number(estimate["value"] if estimate else None, 0)


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
