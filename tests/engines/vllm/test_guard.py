"""The guard by itself, as a process; what it is for is tested in test_process.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from voxtral_voice.engines.vllm import guard

GUARD: Final = str(Path(guard.__file__))
LONG_S: Final = 60.0
SLEEP: Final = "print('up', flush=True); import time; time.sleep(600)"
STUBBORN: Final = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
ASKED: Final = (
    "import os, signal; "
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked\\n'), os._exit(7))); "
    "os.write(1, b'up\\n'); signal.pause()"
)


@contextmanager
def guarded(
    text: str, *, grace_s: float = LONG_S, parent: int | None = None, command: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    words = command or (sys.executable, "-I", "-S", "-c", text)
    started = [sys.executable, "-I", GUARD, str(grace_s), str(parent or os.getpid()), *words]
    with subprocess.Popen(
        started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_up(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The command."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (child,) = psutil.Process(process.pid).children()
    return child


def let_go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
        ("import os; os.kill(os.getpid(), 15)", 128 + 15),
        ("import sys; assert sys.stdin.read() == ''", 0),
    ],
)
def test_its_exit_status_is_that_of_the_command(text: str, status: int) -> None:
    with guarded(text) as process:
        assert process.wait(LONG_S) == status


def test_signals_are_as_a_shell_gives_them() -> None:
    with guarded("", command=("sh", "-c", "kill -PIPE $$")) as process:
        assert process.wait(LONG_S) == 128 + signal.SIGPIPE


def test_a_command_that_is_none() -> None:
    with guarded("", command=("/nowhere/x",)) as process:
        assert process.wait(LONG_S) == 127
        assert process.stdout is not None
        assert process.stdout.read() == b"/nowhere/x cannot be run: No such file or directory\n"


def test_let_go_it_asks_first() -> None:
    with guarded(ASKED) as process:
        until_up(process)
        let_go(process)
        assert process.wait(LONG_S) == 7
        assert process.stdout is not None
        assert process.stdout.read() == b"asked\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_it_is_as_letting_go(number: signal.Signals) -> None:
    with guarded(ASKED) as process:
        until_up(process)
        process.send_signal(number)
        assert process.wait(LONG_S) == 7


def test_who_does_not_end_when_asked_is_killed() -> None:
    with guarded(STUBBORN, grace_s=0.2) as process:
        child = until_up(process)
        began = time.monotonic()
        let_go(process)
        assert process.wait(LONG_S) == 128 + 9
        assert time.monotonic() - began >= 0.2
        assert not child.is_running()


def test_a_byte_kills_at_once() -> None:
    with guarded(STUBBORN, grace_s=10 * LONG_S) as process:
        child = until_up(process)
        assert process.stdin is not None
        process.stdin.write(b"k")
        process.stdin.flush()
        assert process.wait(LONG_S) == 128 + 9
        assert not child.is_running()


def test_a_stopped_command_is_asked_too() -> None:
    with guarded(ASKED) as process:
        until_up(process).suspend()
        let_go(process)
        assert process.wait(LONG_S) == 7


def test_the_parent_gone_it_ends_though_somebody_holds_its_pipe_open() -> None:
    with guarded(SLEEP, parent=1, grace_s=LONG_S) as process:  # as if adopted by another
        assert process.wait(LONG_S) == 128 + 15


def test_what_the_command_leaves_behind_is_killed() -> None:
    child = "import time; time.sleep(600)"
    text = (
        "import subprocess, sys; "
        f"print(subprocess.Popen([sys.executable, '-S', '-c', {child!r}], start_new_session=True).pid, flush=True)"
    )
    with guarded(text) as process:
        assert process.stdout is not None
        left = int(process.stdout.readline())
        assert process.wait(LONG_S) == 0
        assert not psutil.pid_exists(left)
