"""What a session of processes leaves behind when its leader is killed: found, and killed.

Knows: sessions, the process tree. Does not know: what runs there.

Who belongs to it is read from the kernel alone. A process may write over its title and its environment, as vLLM's do
(setproctitle), but it cannot enter another's session. Those that open a session of their own are noted while they can
still be found below the leader.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

import psutil

GIVE_UP_S: Final = 10.0
"""What SIGKILL has not ended by then hangs in the kernel, as after a fault of the GPU; it ends when it returns."""
LOOK_S: Final = 0.05
"""Between two looks at what is left."""


class Leftovers:
    """leader: pid of a child of ours that leads a session, and adopts all orphans below it."""

    def __init__(self, leader: int) -> None:
        self._leader = psutil.Process(leader)
        self._noted: frozenset[psutil.Process] = frozenset()

    def note(self) -> None:
        """To be called now and then while the leader lives. What opens a session after the last call is missed."""
        noted = set(self._noted)  # a leader that is dead by now has nobody below it
        with contextlib.suppress(psutil.Error):
            noted.update(self._leader.children(recursive=True))
        self._noted = frozenset(process for process in noted if process.is_running())

    def kill(self) -> None:
        """To be called when the leader is dead, and best before it is waited for: its number is not given to another
        until then. Returns when nothing is left."""
        until = time.monotonic() + GIVE_UP_S
        sessions = {self._leader.pid, *_sessions_of(self._noted)}
        while (left := frozenset(_living_in(sessions))) and time.monotonic() < until:
            sessions = {
                self._leader.pid,
                *_sessions_of(left),
            }  # of those that live: a number that is free may be reused
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()  # looks at its start time first
            time.sleep(LOOK_S)


def _sessions_of(processes: frozenset[psutil.Process]) -> Iterator[int]:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            session = os.getsid(process.pid)
            if process.is_running():  # then it was this one's, and not that of another which has its number now
                yield session


def _living_in(sessions: set[int]) -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            process = psutil.Process(pid)
            if os.getsid(pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                yield process
