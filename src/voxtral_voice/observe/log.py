"""One line per event on stderr: time, level, event, session, then key=value.

Knows: the shape of a line, which session is being worked on. Does not know: what was said, and never may:
transcripts, replies and audio are no fields of an event.

    2026-11-22T08:44:29.113Z INFO session_opened session=sess_1
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

Level = Literal["debug", "info", "warning", "error"]
Value = str | int | float | bool | None

ROOT: Final = "voxtral_voice"

_session: ContextVar[str | None] = ContextVar("session", default=None)

_FORBIDDEN: Final = frozenset({"text", "transcript", "prompt", "instructions", "audio", "delta"})
"""Names of fields that would hold what was said."""


def set_up(level: Level, stream: TextIO | None = None) -> None:
    """Log everything of `level` and above to `stream` (None: stderr); libraries too. May be called again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Lines())
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
def about(*, session: str) -> Iterator[None]:
    """Events logged inside, by this task and those it starts, carry this id."""
    before = _session.set(session)
    try:
        yield
    finally:
        _session.reset(before)


class _Lines(logging.Formatter):
    """One line per record, whatever is in it; a traceback becomes one field."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        session = _session.get()
        fields: dict[str, Value] = {} if session is None else {"session": session}
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        ours = record.name.startswith(ROOT)
        words = [record.getMessage() if ours else "library_said"]
        if not ours:
            fields |= {"library": record.name, "message": record.getMessage()}
        words += [f"{name}={_shown(value)}" for name, value in fields.items()]
        return f"{seconds}.{record.msecs:03.0f}Z {record.levelname} {' '.join(words)}"


def _shown(value: Value) -> str:
    """Bare when it is one plain word, else a JSON string, so that a line can be taken apart again."""
    if isinstance(value, bool | None):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    plain = text.isprintable() and text and not any(mark in text for mark in ' "=')
    return text if plain else json.dumps(text)
