from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from tests.replay.test_recorder import talk
from voxtral_voice.cli import main
from voxtral_voice.errors import ReplayError
from voxtral_voice.observe import log
from voxtral_voice.replay import recorder as module
from voxtral_voice.replay.recorder import Recorder
from voxtral_voice.replay.retention import DAY_S, erased

OTHERS = ("notes.txt", "20260101T000000Z-sess_1.jsonl.bak", "x-sess_1.jsonl", ".20260101T000000Z-sess_1.wav")


def made(folder: Path, *names: str, days: float = 0.0) -> None:
    """Files that were last written to so many days ago."""
    for name in names:
        file = folder / name
        file.write_text("x")
        at = time.time() - days * DAY_S
        os.utime(file, (at, at))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made(tmp_path, "20260101T000000Z-sess_1.jsonl", "20260101T000000Z-sess_1.wav", days=10)
    made(tmp_path, "20260102T000000Z-sess_2.jsonl", days=1)
    made(tmp_path, *OTHERS, days=100)
    (tmp_path / "20260101T000000Z-sess_3.jsonl").mkdir()
    (tmp_path / "20260101T000000Z-sess_4.jsonl").symlink_to(tmp_path / "notes.txt")
    return tmp_path


def erased_by(folder: Path, *words: str) -> set[str]:
    before = set(names(folder))
    assert main(["recordings", "erase", str(folder), *words]) == 0
    return before - set(names(folder))


def test_the_recordings_of_one_session(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {"20260101T000000Z-sess_1.jsonl", "20260101T000000Z-sess_1.wav"}
    assert erased_by(folder, "--session", "sess_1") == first
    assert capsys.readouterr().out == f"2 files erased in {folder}.\n"


def test_old_recordings(folder: Path) -> None:
    assert erased_by(folder, "--older-than", "11") == set()
    first = {"20260101T000000Z-sess_1.jsonl", "20260101T000000Z-sess_1.wav"}
    assert erased_by(folder, "--older-than", "9.5") == first


def test_all_recordings_and_nothing_else(folder: Path) -> None:
    assert len(erased_by(folder, "--all")) == 3
    assert set(OTHERS) < set(names(folder))


def test_one_says_which(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        [],
        ["--all", "--session", "x"],
        ["--older-than", "x"],
        ["--older-than", "-1"],
        ["--older-than", "nan"],
    ):
        with pytest.raises(SystemExit) as refused:
            main(["recordings", "erase", str(folder), *words])
        assert refused.value.code == 2
    assert "is not a number of days" in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "nowhere"
    assert main(["recordings", "erase", str(nowhere), "--all"]) == 1
    assert f"The folder {nowhere} cannot be read: No such file or directory." in capsys.readouterr().err


def test_a_file_that_cannot_be_erased(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ReplayError, match="cannot be erased: Operation not permitted"):
        erased(folder)


# --- while the server runs ---------------------------------------------------------------------------------------


def test_a_server_erases_what_is_too_old_at_its_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    recorder = Recorder(folder, content=False, keep_days=5)
    assert str(recorder).endswith(", for 5 days.")
    talk(recorder, "sess_5")
    recorder.close()
    kept = [name for name in names(folder) if name.endswith((".jsonl", ".wav")) and not name.startswith((".", "x"))]
    assert [name.partition("-")[2] for name in kept] == ["sess_3.jsonl", "sess_4.jsonl", "sess_2.jsonl", "sess_5.jsonl"]
    (record,) = [record for record in caplog.records if record.getMessage() == "recordings_erased"]
    assert vars(record)["fields"] == {"files": 2}


def test_and_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ERASE_EVERY_S", 0.01)
    recorder = Recorder(tmp_path, content=False, keep_days=1)
    made(tmp_path, "20260101T000000Z-sess_1.jsonl", days=2)
    until = time.monotonic() + 20
    while names(tmp_path) and time.monotonic() < until:
        time.sleep(0.005)
    recorder.close()
    assert names(tmp_path) == []


def test_none_is_erased_unless_asked_for(folder: Path) -> None:
    before = names(folder)
    Recorder(folder, content=False).close()
    assert names(folder) == before


def test_a_folder_that_cannot_be_read_is_told_and_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(folder: Path) -> None:
        raise ReplayError(f"The folder {folder} cannot be read: Permission denied.")

    monkeypatch.setattr(module, "recordings", refuse)
    recorder = Recorder(tmp_path, content=False, keep_days=1)
    talk(recorder)
    recorder.close()
    assert "recordings_not_erased" in [record.getMessage() for record in caplog.records]
    assert len(names(tmp_path)) == 1
