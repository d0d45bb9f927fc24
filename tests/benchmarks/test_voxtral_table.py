"""The measured figures of docs/voxtral.md, of results made by hand; and those of the page itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.voxtral_table import NOTHING, filled, main, newest, take

PAGE = "before\n<!-- measured:begin -->\nold\n<!-- measured:end -->\nafter\n"
FIGURE = {"median_ms": 12.34, "low_ms": 11.0, "high_ms": 250.0, "n": 20}
WHEN = {"date": "2026-11-22T10:00:00+00:00", "commit": "0123456789abcdef", "command": "python -m benchmarks.gpu"}
MINI = {
    "mel_device": FIGURE,
    "encode": FIGURE,
    "prefill": {"tokens": 384, **FIGURE},
    "token": {"1 replies": FIGURE, "4 replies": FIGURE},
    "transcription": {"5 s": {"tokens": 18, **FIGURE}},
    "audio_chat": {"first_token": FIGURE | {"median_ms": 151.6}, "first_phrase": {"tokens": 8, **FIGURE}},
    "eager": {"token": FIGURE},
}
REALTIME = {
    "step": {"1 streams": FIGURE, "16 streams": FIGURE},
    "flush": {"480 ms": {"tokens": 17, "all_words": FIGURE, "nothing_new": FIGURE}},
    "eager": {"step": FIGURE},
}
PIECES: dict[str, Any] = {
    **WHEN,
    "device": {"name": "NVIDIA H100"},
    "machine": {"libraries": {"torch": "2.11"}},
    "weights": "random, real size",
    "mini": MINI,
    "realtime": REALTIME,
}
SPREAD = {"n": 4, "p50": {"value": 40.0}, "p95": {"value": 90.0}}
JUDGED = {"target": "speech", "what": "to sound", "limit_ms": 200, "measured_ms": SPREAD, "verdict": "met"}
UNTRIED = JUDGED | {"target": "V2V", "measured_ms": {"n": 0, "p50": None, "p95": None}, "verdict": "not tried"}
RUN = {"name": "server_vad:300", "turns": [{}, {}], "figures": {"targets": [JUDGED, UNTRIED]}}
BENCH: dict[str, Any] = {**WHEN, "void": False, "runs": [RUN]}


def left(folder: Path, **results: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        (folder / f"{name}.json").write_text(json.dumps(result))
    return folder


def test_every_piece_has_its_line(tmp_path: Path) -> None:
    take(left(tmp_path / "out", pieces=PIECES), tmp_path)
    page = filled(PAGE, newest(tmp_path))
    assert page.startswith("before\n<!-- measured:begin -->\nOne NVIDIA H100, torch 2.11")
    assert page.endswith("<!-- measured:end -->\nafter\n")
    assert "| Mini: a token of one reply | 12.3 | 11.0–250 |" in page
    assert "| **`direct`: end of a turn of 5 s to the first token** | 152 | 11.0–250 |" in page
    assert "| `streaming`: flush at 480 ms, 17 words to write, the worst | 12.3 |" in page
    assert "(../benchmarks/2026-11-22-0123456789-gpu-pieces.json)" in page


def test_modes_stand_beside_each_other(tmp_path: Path) -> None:
    take(left(tmp_path / "out", streaming=BENCH, direct=BENCH), tmp_path)
    page = filled(PAGE, newest(tmp_path))
    assert "| | wanted | `streaming` | `direct` |" in page
    assert "| speech | < 200 ms | 40 ms / 90 ms, met | 40 ms / 90 ms, met |" in page
    assert "| V2V | < 200 ms | not tried | not tried |" in page
    assert "| turns; what ends them | | 2, server_vad:300 | 2, server_vad:300 |" in page


def test_the_newest_counts_and_a_void_one_does_not(tmp_path: Path) -> None:
    later = BENCH | {"date": "2026-11-23T00:00:00+00:00"}
    take(left(tmp_path / "out", direct=BENCH), tmp_path)
    take(left(tmp_path / "out", direct=later, streaming=BENCH | {"void": True}), tmp_path)
    assert {name: path.name[:10] for name, path in newest(tmp_path).items()} == {"direct": "2026-11-23"}


def test_without_any_it_says_so(tmp_path: Path) -> None:
    assert NOTHING in filled(PAGE, newest(tmp_path))


def test_the_page_is_made_of_the_files_that_are_here() -> None:
    assert main(["--check"]) == 0, "run python -m benchmarks.voxtral_table"
