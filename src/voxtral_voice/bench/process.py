"""What a running server costs: CPU time and memory of a process and its children.

Knows: pids. Does not know: what runs in them. Memory is PSS where the system tells it (Linux: shared pages are divided
among those that share them), else resident memory.
"""

from __future__ import annotations

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
        root = psutil.Process(pid)
        if root.status() == psutil.STATUS_ZOMBIE:  # has ended, and nobody has asked how
            raise psutil.NoSuchProcess(pid)
        children = root.children(recursive=True)
        whole = [_of(root), *(_of_child(child) for child in children)]
    except psutil.NoSuchProcess:
        raise BenchError(f"There is no process {pid}: give --pid the server's own process id.") from None
    except psutil.AccessDenied:
        raise BenchError(f"Process {pid} is another user's: run the bench as that user, or leave out --pid.") from None
    return Usage(sum(each.cpu_s for each in whole), sum(each.memory_mb for each in whole))


def _of_child(process: psutil.Process) -> Usage:
    """Nothing when it has just ended."""
    try:
        return _of(process)
    except psutil.NoSuchProcess:
        return Usage(0, 0)


def _of(process: psutil.Process) -> Usage:
    """With the CPU time of its children that have ended."""
    with process.oneshot():
        times = process.cpu_times()
        memory = process.memory_full_info()
    cpu_s = times.user + times.system + times.children_user + times.children_system
    return Usage(cpu_s, getattr(memory, "pss", memory.rss) / 2**20)
