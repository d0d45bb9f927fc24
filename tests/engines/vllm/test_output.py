from __future__ import annotations

import logging

import pytest

from voxtral_voice.engines.vllm.output import KEPT_LINES, MAX_CAUSE_CHARS, MAX_LINE_BYTES, MAX_LINES_PER_S, Output


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(text: str) -> dict[str, str]:
    return {"child": "vllm", "line": text}


def fed(*data: bytes) -> Output:
    output = Output("vllm", Clock())
    for part in data:
        output.feed(part)
    output.end()
    return output


def test_each_line_is_logged_once_it_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    output = Output("vllm", Clock())
    output.feed(b"one\ntw")
    assert [vars(r)["fields"] for r in caplog.records] == [line("one")]
    output.feed(b"o\r\n\n  \nthree")
    output.end()
    output.end()
    assert [vars(r)["fields"] for r in caplog.records] == [line("one"), line("two"), line("three")]


def test_the_level_is_what_the_line_says(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    fed(b"(APIServer pid=7) WARNING 11-22 slow\nERROR x\nCRITICAL\nDEBUG y\nINFO\nno level; WARNINGS\nINFO Route: /x\n")
    assert [r.levelname for r in caplog.records] == ["WARNING", "ERROR", "ERROR", "DEBUG", "INFO", "INFO", "DEBUG"]


def test_colours_and_half_characters_are_taken_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    fed(b"\x1b[32mINFO\x1b[0m gr\xc3\xbc\xc3\n")
    assert [vars(r)["fields"] for r in caplog.records] == [line("INFO grü\ufffd")]


def test_a_progress_bar_is_a_line_for_each_state() -> None:
    output = fed(b"Loading 0%\rLoading 50%\rLoading 100%\n")
    assert output.cause() == "Loading 100%"


def test_a_line_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    fed(b"x" * (2 * MAX_LINE_BYTES + 10), b"y\n")
    assert [len(vars(r)["fields"]["line"]) for r in caplog.records] == [MAX_LINE_BYTES, MAX_LINE_BYTES, 11]


def test_what_comes_too_fast_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    clock = Clock()
    output = Output("vllm", clock)
    output.feed(b"x\n" * (MAX_LINES_PER_S + 7))
    assert len(caplog.records) == MAX_LINES_PER_S
    clock.now = 1.0
    output.feed(b"again\n")
    found = [vars(r)["fields"] for r in caplog.records[MAX_LINES_PER_S:]]
    assert found == [{"child": "vllm", "lines_left_out": 7}, line("again")]


def test_what_was_left_out_last_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "voxtral_voice")
    fed(b"x\n" * (MAX_LINES_PER_S + 2))
    assert vars(caplog.records[-1])["fields"] == {"child": "vllm", "lines_left_out": 2}


# --- why it failed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", ""),
        ("INFO only this", "INFO only this"),
        ("Traceback\nValueError: Free memory on device (7.9/8.0 GiB).\nINFO bye", "ValueError: Free memory on device"),
        ("(EngineCore pid=9) ERROR 11-22 torch.OutOfMemoryError: CUDA out of memory", "torch.OutOfMemoryError: CUDA"),
        ("usage: vllm\nvllm serve: error: unrecognized arguments: --x", "error: unrecognized arguments: --x"),
        ("/x/vllm cannot be run: Permission denied", "/x/vllm cannot be run: Permission denied"),
        ("OSError: first\nKeyError: 'second'", "KeyError: 'second'"),
        (
            "ValueError: the cause\nRuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: the cause",
        ),
    ],
)
def test_the_cause_is_the_last_error_that_is_none_of_another(text: str, cause: str) -> None:
    found = fed(text.encode()).cause()
    assert found.startswith(cause)
    assert bool(found) == bool(cause)


def test_a_cause_is_short_and_printable() -> None:
    assert fed(b"ValueError: a\x07b.\n").cause() == "ValueError: a\ufffdb"
    assert len(fed(b"ValueError: " + b"x" * 1000).cause()) == MAX_CAUSE_CHARS + 3


def test_only_the_last_lines_are_kept() -> None:
    assert fed(b"ValueError: old\n" + b"x\n" * KEPT_LINES).cause() == "x"
