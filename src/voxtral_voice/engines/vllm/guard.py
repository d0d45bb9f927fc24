"""Runs one command for a parent, and ends all of it when the parent is gone, however that went.

Knows: processes, signals, one pipe. Does not know: what it runs, and nothing of this package, for it runs as a script
of its own:

    guard.py GRACE_S PARENT_PID COMMAND...

The parent holds the other end of stdin. When that closes (the parent ended it, or was killed, even with SIGKILL) the
command gets SIGTERM, and after GRACE_S what is left of it SIGKILL. One byte on stdin means SIGKILL now. What the
command leaves behind when it ends by itself is killed too. As a subreaper the guard finds every descendant, those that
left the process group as well. Should the guard itself be killed, the kernel kills the command (PR_SET_PDEATHSIG), and
the parent what that leaves behind.

Exit status: the command's; 128 + the signal that ended it; 127 when it cannot be run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from typing import Final, NoReturn

import psutil

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
"""linux/prctl.h."""
LOOK_S: Final = 1.0
"""Every so often the guard looks whether its parent is the one that started it: a forked process may hold the other
end of stdin open."""
GIVE_UP_S: Final = 10.0
"""What SIGKILL has not ended by then hangs in the kernel, as after a fault of the GPU; it ends when it returns."""
CANNOT_RUN: Final = 127
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Guard:
    def __init__(self, grace_s: float, parent: int) -> None:
        self._grace_s = grace_s
        self._parent = parent
        self._told_to_end = False
        self._status: int | None = None
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self, command: list[str]) -> int:
        """Returns the exit status."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in ENDING:
            signal.signal(number, self._end_it)
        child = self._start(command)
        grace_s = self._until_it_ends_or_should(child)
        if self._status is None and grace_s:
            self._ask(child, grace_s)
        self._kill_the_rest(child)
        return 128 + signal.SIGKILL if self._status is None else self._status

    def _end_it(self, *_: object) -> None:
        self._told_to_end = True

    def _start(self, command: list[str]) -> int:
        guard = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # what comes before `become` must not be taken for the guard's
        child = os.fork()
        if child == 0:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(CANNOT_RUN)
            become(command)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        return child

    def _until_it_ends_or_should(self, child: int) -> float:
        """Returns how long it may take to end when it is asked; 0: it is not asked."""
        while not self._told_to_end and os.getppid() == self._parent:
            self._reap(child)
            if self._status is not None:
                return 0
            ready, _, _ = select.select([0, self._woken], [], [], LOOK_S)
            self._drain()
            if 0 in ready:
                return 0 if os.read(0, 1) else self._grace_s
        return self._grace_s

    def _ask(self, child: int, grace_s: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
            os.kill(child, signal.SIGCONT)  # a stopped process takes no SIGTERM
        until = time.monotonic() + grace_s
        while self._status is None and (left_s := until - time.monotonic()) > 0:
            select.select([self._woken], [], [], left_s)
            self._drain()
            self._reap(child)

    def _kill_the_rest(self, child: int) -> None:
        until = time.monotonic() + GIVE_UP_S
        while (left := psutil.Process().children(recursive=True)) and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            select.select([self._woken], [], [], 0.05)
            self._drain()
            self._reap(child)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _reap(self, child: int) -> None:
        """All that have ended: orphans of the command come to the guard."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._status = 128 - code if code < 0 else code


def prctl(option: int, value: int) -> None:
    """Does nothing where there is no such call: there the pipe alone has to do."""
    call = getattr(ctypes.CDLL(None), "prctl", None)
    if call is not None:
        call(option, value, 0, 0, 0)


def become(command: list[str]) -> NoReturn:
    """The command, with nothing on stdin, and signals as a shell would give them."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGCHLD, *ENDING):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
        os._exit(CANNOT_RUN)


if __name__ == "__main__":
    sys.exit(Guard(float(sys.argv[1]), int(sys.argv[2])).run(sys.argv[3:]))
