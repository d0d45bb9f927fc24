from __future__ import annotations

from pathlib import Path

from tests.weights.loopback import model_file
from voxtral_voice.weights.listing import summary, table, verdicts
from voxtral_voice.weights.store import Finding

ONE = model_file("one", b"one")
TWO = model_file("two", b"two!!")


def test_the_table_has_a_line_for_each_file_and_a_sum(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    lines = [" ".join(line.split()) for line in table([ONE, TWO], tmp_path)]
    assert lines[1:3] == ["one 3 MIT unchecked hub", "two 5 MIT missing hub"]
    assert lines[3] == f"1 of 2 model files are in {tmp_path} (0.0 MB)."


def test_a_profile_without_models_says_so(tmp_path: Path) -> None:
    assert summary([], tmp_path) == "This profile needs no model files."


def test_verdicts_name_only_what_is_wrong(tmp_path: Path) -> None:
    fine, bad = Finding(ONE, "ok", "sha256 checked"), Finding(TWO, "damaged", "4 of 5 bytes")
    assert list(verdicts([fine], tmp_path)) == [f"All 1 model files in {tmp_path} have their sha256."]
    assert list(verdicts([fine, bad], tmp_path)) == [
        "two: damaged, 4 of 5 bytes",
        "1 of 2 model files are not whole: run 'voxtral-voice models pull'.",
    ]
