"""What a child process prints: its lines go to our log, and the last ones are kept to say why it failed.

Knows: lines, levels, how Python programs say what went wrong. Does not know: where the bytes come from.

A child may print anything, without end and without a line's end: lines are cut, and what comes faster than a person
could read is counted, not logged.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 2000
MAX_LINES_PER_S: Final = 50
KEPT_LINES: Final = 300
"""vLLM prints up to three tracebacks after the one that matters, of up to 60 lines each."""
MAX_CAUSE_CHARS: Final = 300

ENDS: Final = re.compile(rb"[\r\n]+")
"""A progress bar rewrites its line: each of its states is one."""
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LEVEL: Final = re.compile(r"\b(DEBUG|WARNING|ERROR|CRITICAL)\b")
LEVELS: Final = {"DEBUG": logging.DEBUG, "WARNING": logging.WARNING, "ERROR": logging.ERROR, "CRITICAL": logging.ERROR}
"""All else is told as information."""
NOISE: Final = re.compile(r"\bRoute: /")
"""vLLM lists its forty addresses at every start."""
CAUSE: Final = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|error): .+|\S+ cannot be run: .+")
CONSEQUENCE: Final = "Engine core initialization failed"
"""vLLM's server says so of its engine, which has said why before."""


class Output:
    """name: begins each line in the log. now: seconds, of any origin."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._name = name
        self._now = now
        self._rest = b""
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)  # full: the oldest goes
        self._second = now()
        self._logged = 0
        self._left_out = 0

    def feed(self, data: bytes) -> None:
        *lines, self._rest = ENDS.split(self._rest + data)
        for line in lines:
            self._take(line)
        while len(self._rest) > MAX_LINE_BYTES:
            self._take(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]

    def end(self) -> None:
        """Nothing more comes."""
        self._take(self._rest)
        self._rest = b""
        self._tell_left_out()

    def cause(self) -> str:
        """Why it failed, as far as it has said so: the last error, or else the last line; "" when it said nothing."""
        for line in reversed(self._kept):
            if CONSEQUENCE not in line and (found := CAUSE.search(line)):
                return _short(found[0])
        return _short(self._kept[-1]) if self._kept else ""

    def _take(self, data: bytes) -> None:
        line = COLOUR.sub("", data[:MAX_LINE_BYTES].decode(errors="replace")).strip()
        if not line:
            return
        self._kept.append(line)
        if self._now() - self._second >= 1:
            self._tell_left_out()
            self._second, self._logged = self._now(), 0
        self._logged += 1
        if self._logged > MAX_LINES_PER_S:
            self._left_out += 1
            return
        self._log(_level(line), line=line)

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._log(logging.WARNING, lines_left_out=self._left_out)
            self._left_out = 0

    def _log(self, level: int, **fields: str | int) -> None:
        log.log(level, "child_said", extra={"fields": {"child": self._name, **fields}})


def _level(line: str) -> int:
    if NOISE.search(line):
        return logging.DEBUG
    found = LEVEL.search(line)
    return LEVELS[found[1]] if found else logging.INFO


def _short(text: str) -> str:
    line = "".join(char if char.isprintable() else "\ufffd" for char in text).rstrip(".")
    return line if len(line) <= MAX_CAUSE_CHARS else line[:MAX_CAUSE_CHARS] + "..."
