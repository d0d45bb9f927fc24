"""What fails of the machine that the server runs on: its disks, and its wall clock. Stand-ins: a test has no right to
fill a disk or to set a clock.

Knows: where the server writes, what it reads the time with. Does not know: sessions.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any, Final
from unittest import mock

from tests.faults import promises as what
from tests.faults.promises import Fault
from voxtral_voice.observe import log
from voxtral_voice.replay import recorder

DAY_S: Final = 86_400.0
JUMPS_S: Final = {what.CLOCK_FORWARD: DAY_S, what.CLOCK_BACK: -DAY_S}


class Machine:
    def __init__(self) -> None:
        self.disk_is_full = False
        self.refused = 0
        """Writes."""
        self.ahead_s = 0.0

    def write(self) -> None:
        """Raises OSError when the disk is full."""
        if self.disk_is_full:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File(FileIO):
    """In the folder of recordings."""

    machine: Machine

    def write(self, data: Any, /) -> int:
        self.machine.write()
        return super().write(data)


class _Stderr(io.StringIO):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def write(self, text: str, /) -> int:
        self._machine.write()
        return super().write(text)


_machine = Machine()


def befall(fault: Fault) -> Callable[[], None]:
    """Returns how it ends; there has to have been something to refuse."""
    _machine.disk_is_full = fault in (what.DISK_OF_RECORDINGS, what.DISK_OF_LOG)
    _machine.ahead_s = JUMPS_S.get(fault, 0.0)
    return lambda: _over(fault)


def _over(fault: Fault) -> None:
    _machine.disk_is_full, _machine.ahead_s = False, 0.0
    assert fault in JUMPS_S or _machine.refused, "nothing was written"


@contextmanager
def prepared(fault: Fault) -> Iterator[str]:
    """Before servers start that this is to befall. Yields the folder to record into; "": none."""
    global _machine
    _machine = Machine()
    if fault is what.DISK_OF_RECORDINGS:
        with tempfile.TemporaryDirectory() as folder, _recordings():
            yield folder
    elif fault is what.DISK_OF_LOG:
        with _logging():
            yield ""
    elif fault in JUMPS_S:
        now = time.time

        def jumped() -> float:
            return now() + _machine.ahead_s

        with mock.patch.object(time, "time", jumped):
            yield ""
    else:
        yield ""


@contextmanager
def _recordings() -> Iterator[None]:
    def created(path: Path) -> RawIOBase:
        file = _File(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        file.machine = _machine
        return file

    with mock.patch.object(recorder, "_created", created):
        yield


@contextmanager
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level, ours = root.handlers[:], root.level, logging.getLogger(log.ROOT).level
    disabled = root.manager.disable
    logging.disable(logging.NOTSET)  # whoever plays this may want to see no log
    log.set_up("debug", _Stderr(_machine))
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger(log.ROOT).setLevel(ours)
        logging.disable(disabled)
