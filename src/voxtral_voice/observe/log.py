"""One line per event on stderr: time, level, event, session, turn, then key=value; or the same as JSON.

Knows: the shape of a line, which session and turn are being worked on. Does not know: what was said, and never may:
transcripts, replies and audio are no fields of an event.

    2026-11-22T08:44:29.113Z INFO reply_ended session=sess_1 turn=item_1 status=completed
    {"time": "2026-11-22T08:44:29.113Z", "level": "info", "event": "reply_ended", "session": "sess_1", ...}
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, TextIO

from voxtral_voice.observe.redact import redacted

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["text", "json"]
Value = str | int | float | bool | None

ROOT: Final = "voxtral_voice"

_session: ContextVar[str | None] = ContextVar("session", default=None)
_turn: ContextVar[str | None] = ContextVar("turn", default=None)

_FORBIDDEN: Final = frozenset({"text", "transcript", "prompt", "instructions", "audio", "delta"})
"""Names of fields that would hold what was said."""


def set_up(level: Level, stream: TextIO | None = None, form: Form = "text") -> None:
    """Log everything of `level` and above to `stream` (None: stderr); libraries from warnings on. May be called
    again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Lines(form))
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler.formatter, _Lines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING if level != "error" else logging.ERROR)
    logging.getLogger(ROOT).setLevel(level.upper())


def event(name: str, level: Level = "info", /, **fields: Value) -> None:
    """Log `name` (snake_case, past tense: "session_opened") with its fields. ValueError for a field that would hold
    what was said."""
    if said := _FORBIDDEN & fields.keys():
        raise ValueError(f"a log never holds what was said: {', '.join(sorted(said))}")
    logging.getLogger(ROOT).log(logging.getLevelNamesMapping()[level.upper()], name, extra={"fields": fields})


@contextmanager
def about(*, session: str | None = None, turn: str | None = None) -> Iterator[None]:
    """Events logged inside, by this task and those it starts, carry these ids; None: as before."""
    sessions = None if session is None else _session.set(session)
    turns = None if turn is None else _turn.set(turn)
    try:
        yield
    finally:
        if turns is not None:
            _turn.reset(turns)
        if sessions is not None:
            _session.reset(sessions)


class _Lines(logging.Formatter):
    """One line per record, whatever is in it; a traceback becomes one field."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._line(record))

    def _line(self, record: logging.LogRecord) -> str:
        name, fields = _taken_apart(record)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._form == "json":
            head = {"time": _time(record), "level": record.levelname.lower(), "event": name}
            return json.dumps(head | fields | head)
        words = [name, *(f"{name}={_shown(value)}" for name, value in fields.items())]
        return f"{_time(record)} {record.levelname} {' '.join(words)}"


def _taken_apart(record: logging.LogRecord) -> tuple[str, dict[str, Value]]:
    """The event and its fields, the ids first."""
    ids = {"session": _session.get(), "turn": _turn.get()}
    fields: dict[str, Value] = {name: value for name, value in ids.items() if value is not None}
    if not record.name.startswith(ROOT):
        return "library_said", fields | {"library": record.name, "message": record.getMessage()}
    return record.getMessage(), fields | getattr(record, "fields", {})


def _time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{record.msecs:03.0f}Z"


def _shown(value: Value) -> str:
    """Bare when it is one plain word, else a JSON string, so that a line can be taken apart again."""
    if isinstance(value, bool | None):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    plain = text.isprintable() and text and not any(mark in text for mark in ' "=')
    return text if plain else json.dumps(text)
