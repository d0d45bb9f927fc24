from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.replay.scenes import header, record
from tests.replay.test_compare import TURN, altered, written
from voxtral_voice import __version__, cli
from voxtral_voice.conversation import events as ev
from voxtral_voice.errors import ReplayError
from voxtral_voice.replay.command import accept, replay
from voxtral_voice.replay.recording import End, Step, end_line, header_line, opened, step_line

END = end_line(End(complete=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A session that goes as it went."""
    path = written(tmp_path / "session.jsonl", record(TURN), content=False)
    path.write_bytes(path.read_bytes() + END)
    return path


def told(path: Path) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return replay(path, lines.append), lines


def test_a_session_that_goes_as_it_went(path: Path) -> None:
    same, lines = told(path)
    assert same
    steps = path.read_bytes().count(b"\n") - 2
    assert re.fullmatch(rf"{steps} events, \d+ commands: the same \([\d,]+ events/s\)\.", lines[-1])
    assert "open -> hearing" in "\n".join(lines)
    assert lines[0].startswith("sess_1, ")


def test_a_difference_is_the_last_thing_told(path: Path) -> None:
    steps = altered(record(TURN), ev.SpeechStarted, (ev.SpeechStarted("item_1", 7),))
    same, lines = told(written(path, steps, content=False))
    assert not same
    text = "\n".join(lines)
    assert text.endswith(
        "  expected: SpeechStarted item_id='item_1' start_sample=7\n"
        "  got:      SpeechStarted item_id='item_1' start_sample=0"
    )
    number = re.search(rf"^Line (\d+) of {path} differs\.$", text, re.MULTILINE)
    assert number is not None
    assert b'"start_sample":7' in path.read_bytes().splitlines()[int(number[1]) - 1]
    assert "the same" not in text


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (b"", "The file has no end: the server, or the writing of the file, ended before the session did."),
        (b'{"t":', "Line {}, the last one, is cut off: this is the session up to it."),
        (end_line(End(complete=False, reason="the disk is too slow")),
         "The recording ended before the session did: the disk is too slow."),
    ],
)  # fmt: skip
def test_what_is_missing_at_the_end_is_told(path: Path, end: bytes, sentence: str) -> None:
    whole = path.read_bytes().removesuffix(END)
    path.write_bytes(whole + end)
    same, lines = told(path)
    assert same
    assert lines[-2] == sentence.format(whole.count(b"\n") + 1)


def test_a_recording_of_nothing_is_the_same(path: Path) -> None:
    assert told(written(path, [], content=True))[1][-1].startswith("0 events, 0 commands: the same (")


EVIL = "\x1b]0;owned\x07\ud800"


def test_nothing_of_a_file_reaches_the_terminal_as_it_is(path: Path) -> None:
    """Names of sessions, ids that clients make, errors: none of them is ours."""
    item = ev.Item(EVIL, "user", "text", EVIL)
    steps = [Step(1.0, ev.AddItem(item, EVIL), (), raised=EVIL)]
    path.write_bytes(
        header_line(replace(header(ev.Settings(language=EVIL), content=True), session=EVIL, began=EVIL, package=EVIL))
        + b"".join(map(step_line, steps))
        + end_line(End(complete=False, reason=EVIL))
    )
    same, lines = told(path)
    assert not same
    assert r"\x1b]0;owned\x07\ud800" in lines[0]
    assert all(line.isprintable() for line in lines)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + end_line(End(complete=False, reason=EVIL)))
    same, lines = told(path)
    assert same
    assert all(line.isprintable() for line in lines)


def test_a_reader_that_goes_away_is_no_fault_of_the_file(path: Path) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        replay(path, gone)


# --- accepting --------------------------------------------------------------------------------------------------


def test_accepting_rewrites_what_the_file_expects(path: Path) -> None:
    good = path.read_bytes()
    steps = record(TURN)
    steps = altered(steps, ev.SpeechStarted, (ev.SpeechStarted("item_1", 7),))
    steps = [replace(step, wake_at=None) if step.wake_at else step for step in steps]
    wakes = sum(b'"wake"' in line for line in good.splitlines())
    written(path, steps, content=False)
    path.write_bytes(path.read_bytes().replace(f'"{__version__}"'.encode(), b'"0.0.1"') + END)
    path.chmod(0o640)
    assert accept(path) == f"{path}: {wakes} of {len(steps)} steps have changed."
    assert path.read_bytes() == good
    assert path.stat().st_mode & 0o777 == 0o640
    assert accept(path) == f"{path}: 0 of {len(steps)} steps have changed."
    assert list(path.parent.iterdir()) == [path]


def test_accepting_keeps_what_was_said(path: Path) -> None:
    written(path, record([("turn", 9, "what is that, and why do you ask?")]), content=True)
    before = path.read_bytes()
    accept(path)
    assert path.read_bytes() == before
    assert b"what is that" in before
    assert b"pcm16" in before


def test_accepting_leaves_out_a_line_that_is_cut_off(path: Path) -> None:
    whole = path.read_bytes().removesuffix(END)
    path.write_bytes(whole + b'{"t":')
    accept(path)
    assert path.read_bytes() == whole
    with opened(path) as recording:
        assert list(recording.steps())
        assert (recording.end, recording.cut_off) == (None, None)


def test_a_file_that_cannot_be_written_is_left_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ReplayError, match=r"session\.jsonl cannot be written: No space left on device\.$"):
        accept(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- the command line -------------------------------------------------------------------------------------------


def test_the_exit_status_says_whether_it_is_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(path)]) == 0
    assert "the same (" in capsys.readouterr().out
    written(path, [Step(1.0, ev.ClearAudio(), ())], content=True)
    assert cli.main(["replay", str(path)]) == 1
    assert "expected: no further command" in capsys.readouterr().out
    assert cli.main(["replay", "--accept", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 1 of 1 steps have changed.\n"
    assert cli.main(["replay", str(path)]) == 0


def test_a_file_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "nowhere.jsonl"]) == 1
    assert capsys.readouterr().err == "voxtral-voice: There is no file nowhere.jsonl.\n"
