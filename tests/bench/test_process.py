"""What a process costs, asked of the system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from voxtral_voice.bench.process import usage
from voxtral_voice.errors import BenchError


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that has printed a line."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint(1, flush=True)\n"


def test_cpu_time_of_a_child_counts() -> None:
    child = f"{BUSY}time.sleep(60)"
    with running(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])") as process:
        assert usage(process.pid).cpu_s >= 0.5
        for each in psutil.Process(process.pid).children():
            each.kill()


def test_cpu_time_of_a_child_that_has_ended_counts() -> None:
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {BUSY!r}], stdout=subprocess.PIPE); "
    with running(f"{parent}print(1, flush=True); time.sleep(60)") as process:
        assert usage(process.pid).cpu_s >= 0.5


def test_memory_is_in_mebibytes() -> None:
    sleep = "print(1, flush=True); import time; time.sleep(60)"
    with running(sleep) as small, running(f"x = b'1' * (200 * 2**20); {sleep}") as large:
        assert usage(large.pid).memory_mb - usage(small.pid).memory_mb == pytest.approx(200, rel=0.1)


def test_time_goes_on() -> None:
    before = usage(os.getpid()).cpu_s
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert usage(os.getpid()).cpu_s - before >= 0.09


def test_no_such_process() -> None:
    with running("print(1, flush=True)") as process:
        process.wait()
    with pytest.raises(BenchError, match=f"no process {process.pid}"):
        usage(process.pid)
