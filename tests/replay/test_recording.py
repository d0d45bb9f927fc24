from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.scenes import header
from voxtral_voice.conversation import events as ev
from voxtral_voice.errors import ReplayError
from voxtral_voice.replay import recording
from voxtral_voice.replay.codec import Json
from voxtral_voice.replay.recording import (
    End,
    ReadStep,
    Step,
    end_line,
    header_line,
    opened,
    step_line,
)

HEADER = header(ev.Settings(instructions="Be brief.", turn_detection=None), content=True)
STEPS = [
    Step(100.1, ev.AudioReceived(320), ()),
    Step(100.2, ev.CreateReply(), (ev.StopReply("resp_1"),), ("resp_1", "item_2"), 100.30000000000001),
    Step(100.3, ev.Wake(), (), raised="KeyError"),
]
GOOD = header_line(HEADER) + b"".join(map(step_line, STEPS))


def read(path: Path, data: bytes) -> tuple[list[ReadStep], End | None, int | None]:
    path.write_bytes(data)
    with opened(path) as file:
        assert file.header == HEADER
        steps = list(file.steps())
        return steps, file.end, file.cut_off


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def test_what_is_written_is_read(path: Path) -> None:
    steps, end, cut_off = read(path, GOOD + end_line(End(complete=True)))
    stop: Json = {"StopReply": {"reply_id": "resp_1"}}
    assert steps == [
        ReadStep(2, 100.1, ev.AudioReceived(320), [], (), None, None),
        ReadStep(3, 100.2, ev.CreateReply(), [stop], ("resp_1", "item_2"), 100.30000000000001, None),
        ReadStep(4, 100.3, ev.Wake(), [], (), None, "KeyError"),
    ]
    assert (end, cut_off) == (End(complete=True), None)


def test_a_line_holds_what_is_not_empty() -> None:
    assert step_line(STEPS[0]) == b'{"t":100.1,"in":{"AudioReceived":{"end_sample":320}}}\n'
    assert json.loads(header_line(HEADER))["format"] == "voxtral-voice session"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_times_are_exact(at: float) -> None:
    assert json.loads(step_line(Step(at, ev.Wake(), (), wake_at=at))) == {"t": at, "in": {"Wake": {}}, "wake": at}


def test_a_file_without_an_end(path: Path) -> None:
    steps, end, cut_off = read(path, GOOD)
    assert (len(steps), end, cut_off) == (3, None, None)


@pytest.mark.parametrize("missing", range(1, len(step_line(STEPS[2])) - 1))
def test_a_file_that_was_cut_off_is_read_up_to_there(path: Path, missing: int) -> None:
    steps, end, cut_off = read(path, GOOD[: -1 - missing])
    assert (len(steps), end, cut_off) == (2, None, 4)


def test_a_last_line_that_is_whole_needs_no_newline(path: Path) -> None:
    steps, _, cut_off = read(path, GOOD[:-1])
    assert (len(steps), cut_off) == (3, None)


def test_commands_are_read_when_they_are_asked_for(path: Path) -> None:
    path.write_bytes(GOOD)
    with opened(path) as recording:
        steps = list(recording.steps())
        assert recording.commands(steps[1]) == [ev.StopReply("resp_1")]
    odd = b'{"t":1,"in":{"Wake":{}},"out":[{"Sing":{}}]}\n'
    path.write_bytes(header_line(HEADER) + odd)
    with opened(path) as recording:
        [step] = recording.steps()
        with pytest.raises(ReplayError, match=r"session.jsonl, line 2: 'Sing' is no message that is known here\.$"):
            recording.commands(step)


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ReplayError) as raised, opened(path) as recording:
        list(recording.steps())
    return str(raised.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"nonsense\n", "it is not JSON"),
        (b"\xff\xfe\n", "it is not JSON"),
        (b"[" * 100_000 + b"\n", "it is not JSON"),
        (b"\n", "it is not JSON"),
        (b"[1]\n", "it should be an object, not [1]"),
        (b"{}\n", "a step lacks the field 't'"),
        (b'{"t":1}\n', "a message should be an object with one field, its class"),
        (b'{"t":1,"in":{"Sing":{}}}\n', "'Sing' is no message that is known here"),
        (b'{"t":1,"in":{"Wake":{"a":1}}}\n', "Wake has no field 'a'"),
        (b'{"t":1,"in":{"Wake":{}},"mood":1}\n', "a step has no field 'mood'"),
        (b'{"t":1,"in":{"Wake":{}},"out":1}\n', "'out' should be a list, not 1"),
        (b'{"t":"1","in":{"Wake":{}}}\n', "a step.t should be a number, not '1'"),
        (b'{"t":1,"in":{"Wake":{}},"ids":[1]}\n', "a step.ids should be a text, not 1"),
        (b'{"end":{}}\n', "End lacks the field 'complete'"),
        (b'{"end":{"complete":true}}\n{"t":1,"in":{"Wake":{}}}\n', "it comes after the end"),
    ],
)
def test_a_wrong_line_is_named(path: Path, line: bytes, sentence: str) -> None:
    number = 6 if b"end" in line and b"Wake" in line else 5
    assert refusal(path, GOOD + line) == f"FILE, line {number}: {sentence}."


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"RIFF\x00\x00WAVE", b"{}", b"[]\n", b'{"format": "other"}\n', b"\xff" * 100, b'{"format"']
)
def test_what_is_no_recording_is_refused(path: Path, data: bytes) -> None:
    assert refusal(path, data) == "FILE is no recorded session: its first line does not say so."


def changed_header(**changes: Any) -> bytes:
    return json.dumps({**json.loads(header_line(HEADER)), **changes}).encode() + b"\n"


def test_a_recording_of_a_newer_version_is_refused(path: Path) -> None:
    assert refusal(path, changed_header(version=2, package="9.1.0")) == (
        "FILE has version 2 of the format, and this program reads version 1: replay it with Voxtral Voice '9.1.0', "
        "which recorded it."
    )


def test_a_wrong_header_is_named(path: Path) -> None:
    assert refusal(path, changed_header(mood="good")) == "FILE, line 1: Header has no field 'mood'."
    assert refusal(path, changed_header(content=1)) == "FILE, line 1: Header.content should be true or false, not 1."


def test_a_line_without_end_is_not_read_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = max(map(len, GOOD.splitlines(keepends=True)))
    monkeypatch.setattr(recording, "MAX_LINE_BYTES", longest)
    assert len(read(path, GOOD)[0]) == len(STEPS)
    sentence = f"FILE, line 5: it is longer than {longest} bytes."
    assert refusal(path, GOOD + b" " * longest + b"\n") == sentence
    assert refusal(path, GOOD + b"x" * (longest + 1)) == sentence


@pytest.mark.parametrize("lines", [0, 2])
def test_a_file_that_breaks_while_it_is_read(path: Path, lines: int) -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= len(b"".join(GOOD.splitlines(keepends=True)[:lines])):
                raise OSError(5, "Input/output error")
            return super().readline(size)

    with pytest.raises(ReplayError, match=r"session\.jsonl cannot be read: Input/output error\.$"):
        list(recording.Recording(path, Broken(GOOD)).steps())


def test_a_failure_of_who_reads_is_not_the_files(path: Path) -> None:
    path.write_bytes(GOOD)
    with pytest.raises(BrokenPipeError), opened(path):
        raise BrokenPipeError


def test_a_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(ReplayError, match=r"^There is no file .*session\.jsonl\.$"), opened(path):
        pass
    with pytest.raises(ReplayError, match=r"cannot be read: Is a directory\.$"), opened(path.parent):
        pass
