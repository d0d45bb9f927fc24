"""The steps of the one command for machines with a GPU, and what is left of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import gpu_run
from benchmarks.gpu_run import Step, main, parse, steps


def planned(*words: str, weights: Path = Path("weights")) -> list[Step]:
    return [*steps(parse(["out", *words]), weights)]


def names(found: Sequence[Step]) -> list[str]:
    return [step.name for step in found]


def test_all_of_it_by_default() -> None:
    weights = ["random weights, realtime", "random weights, mini"]
    assert names(planned()) == ["doctor", "pieces", *weights, "streaming", "direct", "utterance", "speaker"]


def test_only_what_is_asked_for() -> None:
    assert names(planned("--steps", "pieces")) == ["pieces"]
    assert names(planned("--steps", "speaker")) == ["random weights, mini", "speaker"]
    assert names(planned("--steps", "bench", "--modes", "direct")) == ["random weights, mini", "direct"]


def test_weights_that_are_there_are_used(tmp_path: Path) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "config.json").touch()
    assert names(planned("--steps", "bench", "--modes", "utterance", weights=tmp_path)) == ["utterance"]


def test_the_servers_flags_come_last() -> None:
    words = ("--modes", "direct", "--steps", "bench", "--", "--speaker-url", "http://127.0.0.1:9/v1")
    (*_, last) = planned(*words)
    assert last.command[-2:] == ("--speaker-url", "http://127.0.0.1:9/v1")
    assert last.command[last.command.index("--listen") + 1] == "direct"
    assert last.command[last.command.index("--voxtral-mini") + 1] == "weights/mini"


def test_the_speaker_is_on_the_gpu_in_a_run_of_its_own() -> None:
    *_, utterance, speaker = planned()
    assert speaker.command[speaker.command.index("--json") + 1].endswith("/speaker.json")
    placed = [speaker.command[place + 1] for place, word in enumerate(speaker.command) if word == "--device"]
    assert placed == ["cuda:0", "cuda:0,speaker=cuda:0"]
    assert "--speaker-backend" not in utterance.command


def test_a_short_run_has_fewer_of_everything() -> None:
    usual, short = planned(), planned("--short")
    for flag, index in (("--turns", -1), ("--barge-ins", -1), ("--repeats", 1)):
        less, more = (int(each[index].command[each[index].command.index(flag) + 1]) for each in (short, usual))
        assert less < more


def test_told_to_end_it_ends_the_step_too(tmp_path: Path) -> None:
    waits = "import sys, time; print('up', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('over')"
    script = f"""
import sys
from benchmarks import gpu_run
gpu_run.steps = lambda *_: [gpu_run.Step("waits", (sys.executable, "-c", {waits!r}))]
gpu_run.main([{str(tmp_path / "out")!r}])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=gpu_run.ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line.strip() == "up")
        process.terminate()
        assert "over" in "".join(lines)
        assert process.wait(20) != 0


def test_a_step_that_fails_does_not_keep_the_next_from_being_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [Step("one", (sys.executable, "-c", "raise SystemExit(3)")), Step("two", (sys.executable, "-c", "pass"))]
    monkeypatch.setattr(gpu_run, "steps", lambda *_: made)
    assert main([str(tmp_path / "out")]) == 1
    done = json.loads((tmp_path / "out" / "steps.json").read_text())
    assert [(each["name"], each["status"]) for each in done] == [("one", 3), ("two", 0)]
    assert "FAILED (3)   one" in capsys.readouterr().out


@pytest.mark.models
@pytest.mark.voxtral
@pytest.mark.timeout(400)
def test_a_mode_is_measured_to_the_end_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights, a server of its own with them, a spoken turn, the table of targets."""
    monkeypatch.setitem(gpu_run.BARGE_INS, True, 0)
    monkeypatch.setattr(gpu_run, "MAX_TOKENS", 6)
    words = "--short --size tiny --device cpu --steps bench --modes direct --turns 1"
    status = main([str(tmp_path), *words.split()])
    done = json.loads((tmp_path / "steps.json").read_text())
    measured = json.loads((tmp_path / "direct.json").read_text())
    assert [each["name"] for each in done] == ["random weights, mini", "direct"]
    assert done[0]["status"] == 0
    assert status == done[1]["status"] == int(measured["void"])  # a machine with too much else to do voids it, no more
    found = {each["target"]: each["measured_ms"]["n"] for each in measured["runs"][0]["figures"]["targets"]}
    assert found["understanding (Voxtral)"] > 0
    assert found["speech"] > 0
    assert (tmp_path / "direct.html").is_file()
