"""The file of a recorded session: JSON lines.

Knows: the lines, written and read. Does not know: who feeds the core, what is left out (`redact`).

    {"format": ..., "version": 1, ..., "settings": {...}}      the header: what the core was made with
    {"t": ..., "in": {...}, "ids": [...], "out": [...]}        a step: the core was fed an event
    {"end": {"complete": true}}                                the session ended; without it the recording was cut off

Of a step, `t` is the time that the core was given, in s on the server's own clock and exactly so (a difference of two
times is rounded, and the core compares times); `ids` are the new ids that it asked for, `out` what it said, and `wake`
is when it wanted to be woken next. Of these three, what is empty is left out. `raised` is the error of a core that
failed on the event. A line is whole or, as the last one, may be cut off.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, get_args

import orjson

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.errors import ReplayError
from voxtral_voice.replay.codec import (
    CodecError,
    Json,
    JsonObject,
    read_tagged,
    read_untagged,
    shown,
    tagged,
    untagged,
)

FORMAT: Final = "voxtral-voice session"
VERSION: Final = 1

T = TypeVar("T")
K = TypeVar("K")

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""No step that is recorded comes near it; a file without line ends may not fill the memory."""


def _by_name(union: object) -> Mapping[str, type]:
    return types.MappingProxyType({kind.__name__: kind for kind in get_args(union)})


EVENTS: Final[Mapping[str, type[ev.Event]]] = _by_name(ev.Event)
COMMANDS: Final[Mapping[str, type[ev.Command]]] = _by_name(ev.Command)


@dataclass(frozen=True, slots=True)
class Header:
    """What the core was made with, and where."""

    session: str
    began: str
    """UTC, ISO 8601."""
    package: str
    """Version of this package."""
    content: bool
    """What was said is in the file."""
    policy: Policy
    settings: ev.Settings


@dataclass(frozen=True, slots=True)
class Step:
    """An event that the core was fed, and what came of it."""

    at: float
    event: ev.Event
    commands: tuple[ev.Command, ...]
    ids: tuple[str, ...] = ()
    wake_at: float | None = None
    raised: str | None = None
    """Name of the error's class."""


@dataclass(frozen=True, slots=True)
class End:
    complete: bool
    """False: nothing was recorded after this, though the session went on."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReadStep:
    """A step as it is in the file; what the core said is not taken apart, it is compared as it stands."""

    line: int
    at: float
    event: ev.Event
    out: list[Json]
    ids: tuple[str, ...]
    wake_at: float | None
    raised: str | None


# --- writing ----------------------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    return _line({"format": FORMAT, "version": VERSION, **untagged(header)})


def step_line(step: Step) -> bytes:
    line: JsonObject = {"t": step.at, "in": tagged(step.event)}
    if step.ids:
        line["ids"] = list(step.ids)
    if step.commands:
        line["out"] = [tagged(command) for command in step.commands]
    if step.wake_at is not None:
        line["wake"] = step.wake_at
    if step.raised is not None:
        line["raised"] = step.raised
    return _line(line)


def end_line(end: End) -> bytes:
    return _line({"end": untagged(end)})


def _line(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plain:
    """The fields of a step that are no messages."""

    t: float
    ids: tuple[str, ...] = ()
    wake: float | None = None
    raised: str | None = None


_read_step = partial(read_untagged, name="a step")


@contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """Raises ReplayError when the file cannot be read or is none of ours."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise ReplayError(f"There is no file {path}.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield Recording(path, file)


def _unreadable(path: Path, error: OSError) -> ReplayError:
    return ReplayError(f"{path} cannot be read: {error.strerror}.")


class Recording:
    """An open file: its header, then its steps. Every refusal is a ReplayError that names file and line."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._number = 0
        self.end: End | None = None
        """Once the steps were read; None = the file has no end."""
        self.cut_off: int | None = None
        """Number of the last line, when it is not whole."""
        self.header = self._read_header()

    def steps(self) -> Iterator[ReadStep]:
        """As far as the file goes."""
        while (line := self._next()) is not None:
            if self.end is not None:
                raise self._wrong("it comes after the end")
            if "end" in line:
                self.end = self._checked(read_untagged, line["end"], End)
            else:
                yield self._step(line)

    def commands(self, step: ReadStep) -> list[ev.Command]:
        """Of the step that was read last. Raises ReplayError for one that is not known here."""
        return [self._checked(read_tagged, command, COMMANDS) for command in step.out]

    def _read_header(self) -> Header:
        try:
            line = self._next() or {}
        except ReplayError as error:
            if isinstance(error.__cause__, OSError):
                raise
            line = {}
        if line.pop("format", None) != FORMAT:
            raise ReplayError(f"{self._path} is no recorded session: its first line does not say so.")
        version = line.pop("version", None)
        if version != VERSION:
            raise ReplayError(
                f"{self._path} has version {shown(version)} of the format, and this program reads version {VERSION}: "
                f"replay it with Voxtral Voice {shown(line.get('package'))}, which recorded it."
            )
        return self._checked(read_untagged, line, Header)

    def _next(self) -> JsonObject | None:
        """The next line; None at the end, or where the file is cut off."""
        text = self._read_line()
        if not text:
            return None
        self._number += 1
        if len(text) > MAX_LINE_BYTES:
            raise self._wrong(f"it is longer than {MAX_LINE_BYTES} bytes")
        try:
            line = _parsed(text)
        except (ValueError, RecursionError) as error:
            if not text.endswith(b"\n"):
                self.cut_off = self._number
                return None
            raise self._wrong("it is not JSON") from error
        if not isinstance(line, dict):
            raise self._wrong(f"it should be an object, not {shown(line)}")
        return line

    def _read_line(self) -> bytes:
        try:
            return self._file.readline(MAX_LINE_BYTES + 1)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _step(self, line: JsonObject) -> ReadStep:
        out = line.pop("out", [])
        if not isinstance(out, list):
            raise self._wrong(f"'out' should be a list, not {shown(out)}")
        event = line.pop("in", None)
        fields = self._checked(_read_step, line, _Plain)
        read = self._checked(read_tagged, event, EVENTS)
        return ReadStep(self._number, fields.t, read, out, fields.ids, fields.wake, fields.raised)

    def _checked(self, read: Callable[[Json, K], T], value: Json, kind: K) -> T:
        try:
            return read(value, kind)
        except CodecError as error:
            raise self._wrong(str(error)) from error

    def _wrong(self, what: str) -> ReplayError:
        return ReplayError(f"{self._path}, line {self._number}: {what}.")


def _parsed(line: bytes) -> Json:
    """orjson is fast, but refuses what the standard library reads and writes: infinities, half a surrogate pair."""
    try:
        parsed: Json = orjson.loads(line)
    except orjson.JSONDecodeError:
        parsed = json.loads(line)
    return parsed
