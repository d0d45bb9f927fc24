"""What a process costs, asked of the system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

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


def test_cpu_time_of_children_counts() -> None:
    busy = "import time\\nend = time.process_time() + 0.5\\nwhile time.process_time() < end: pass\\nprint(1, flush=True)\\ninput()"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '{busy}'], stdin=subprocess.PIPE)"
    with running(parent) as process:
        assert usage(process.pid).cpu_s > 0.5


def test_memory_is_in_mebibytes() -> None:
    with running("print(1, flush=True); import time; time.sleep(60)") as small:
        with running("x = b'1' * (200 * 2**20); print(1, flush=True); import time; time.sleep(60)") as large:
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
