"""What a running server costs: CPU time and memory of a process and its children.

Knows: pids. Does not know: what runs in them. Memory is PSS where the system tells it (Linux: shared pages are divided
among those that share them), else resident memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from voxtral_voice.errors import BenchError


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float
    """User and system time so far."""
    memory_mb: float
    """MiB."""


def usage(pid: int) -> Usage:
    """Of the process and all its children. Raises BenchError when there is no such process, or it is not ours."""
    try:
        snapshots = [_of(process) for process in _tree(pid)]
    except psutil.NoSuchProcess:
        raise BenchError(f"There is no process {pid}: give --pid the server's own process id.") from None
    except psutil.AccessDenied:
        raise BenchError(
            f"Process {pid} belongs to another user: run the bench as that user, or leave out --pid."
        ) from None
    return Usage(sum(each.cpu_s for each in snapshots), sum(each.memory_mb for each in snapshots))


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)


def _of(process: psutil.Process) -> Usage:
    with process.oneshot():
        times = process.cpu_times()
        memory = process.memory_full_info()
    return Usage(times.user + times.system, getattr(memory, "pss", memory.rss) / 2**20)
