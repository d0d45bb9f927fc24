"""What a comparison says, of results made by hand."""

from __future__ import annotations

from typing import Any

from benchmarks.side_by_side import table, verdicts

Row = dict[str, Any]


def row(
    target: str, *, p95: float = 50.0, missed: int = 0, cut_ins: int = 0, void: bool = False, ran: bool = True
) -> Row:
    spread = {"p50": {"value": p95 / 2}, "p95": {"value": p95}}
    figures = {
        "latency": {"v2v_ms": spread},
        "missed": {"count": missed, "of": 10},
        "cut_ins": {"count": cut_ins},
        "barge_in": {"heard_stop_ms": {"p50": None}},
        "continuity": {"underruns": 0},
        "lateness": {"p99_ms": 2.0},
        "void": void,
    }
    return {
        "target": target,
        "settings": "matched",
        "sessions": 8,
        "failures": [] if ran else ["it did not start"],
        "figures": figures if ran else None,
        "overhead": {"overhead_ms": spread} if ran else None,
        "cpu_s_per_audio_minute": 0.5,
        "memory_mb": 120.0,
    }


def result(*rows: Row, ratio: float = 0.8) -> dict[str, Any]:
    ours_to_it = [
        {"target": each["target"], "settings": "matched", "sessions": 8, "ours_to_it": {"ratio": {"value": ratio}}}
        for each in rows
        if each["target"] != "ours" and each["figures"]
    ]
    return {"rows": list(rows), "against_ours": ours_to_it}


def failed(compared: dict[str, Any]) -> list[str]:
    return [text for holds, text in verdicts(compared) if not holds]


def test_ahead_of_everyone() -> None:
    compared = result(row("ours", p95=40), row("pipecat", p95=90))
    assert failed(compared) == []
    assert [text for _, text in verdicts(compared)][-2:] == [
        "pipecat, matched, 8 sessions: our median V2V is 0.80 of it",
        "pipecat, matched, 8 sessions: our overhead is 40 ms at the 95th percentile, its 90 ms",
    ]


def test_slower_is_no_pass() -> None:
    assert failed(result(row("ours", p95=40), row("pipecat", p95=90), ratio=1.1)) == [
        "pipecat, matched, 8 sessions: our median V2V is 1.10 of it"
    ]
    assert failed(result(row("ours", p95=95), row("pipecat", p95=90))) == [
        "pipecat, matched, 8 sessions: our overhead is 95 ms at the 95th percentile, its 90 ms"
    ]


def test_fast_and_wrong_is_no_pass() -> None:
    broken = row("ours", missed=1, cut_ins=2, void=True)
    assert failed(result(broken, row("pipecat", p95=90))) == [
        "ours, matched, 8 sessions: 1 missed turns",
        "ours, matched, 8 sessions: 2 false cut-ins",
        "ours, matched, 8 sessions: the microphone was at most 2.0 ms late (p99)",
    ]


def test_what_did_not_run_is_no_pass() -> None:
    assert failed(result(row("ours"), row("pipecat", ran=False))) == [
        "pipecat, matched, 8 sessions did not run: it did not start"
    ]
    assert failed(result(row("ours", ran=False))) == ["ours, matched, 8 sessions did not run: it did not start"]


def test_the_table_has_a_line_for_each_losses_included() -> None:
    lines = table(result(row("ours"), row("pipecat", missed=3), row("s2s", ran=False))).splitlines()
    assert len(lines) == 5
    assert lines[2] == "| ours | matched | 8 | 25 / 50 | 25 / 50 | 0 | 0 of 10 | - | 0 | 0.50 | 120 |"
    assert "3 of 10" in lines[3]
    assert "did not run" in lines[4]
    assert len({line.count("|") for line in lines}) == 1
