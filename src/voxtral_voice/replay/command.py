"""`voxtral-voice replay`: a recorded session once more, printed and compared; or its file written anew.

Knows: what a person is told in the end. Does not know: flags.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from voxtral_voice import __version__
from voxtral_voice.errors import ReplayError
from voxtral_voice.replay.compare import replayed
from voxtral_voice.replay.listing import Listing
from voxtral_voice.replay.recording import Recording, end_line, header_line, opened, step_line
from voxtral_voice.terminal import printable


def replay(path: Path, say: Callable[[str], object]) -> bool:
    """Say what happened, line by line, up to the first difference, and the verdict. Whether there was none.

    Raises ReplayError for a file that cannot be read.
    """
    with opened(path) as recording:
        listing = Listing(recording.header)
        events = commands = 0
        began = time.perf_counter()
        for one in replayed(recording):
            for line in listing.add(one):
                say(printable(line))
            if one.difference is not None:
                say(printable(f"Line {one.line} of {path} differs."))
                say(printable(f"  expected: {one.difference.expected}"))
                say(printable(f"  got:      {one.difference.got}"))
                return False
            events, commands = events + 1, commands + len(one.step.commands)
        seconds = time.perf_counter() - began
        for line in [*listing.end(), *_cut_off(recording)]:
            say(printable(line))
        say(f"{events:,} events, {commands:,} commands: the same ({events / seconds:,.0f} events/s).")
        return True


def accept(path: Path) -> str:
    """Rewrite what the file expects to what the core says now. Returns what was done."""
    with opened(path) as recording:
        lines = [header_line(replace(recording.header, package=__version__))]
        changed = 0
        for one in replayed(recording):
            lines.append(step_line(one.step))
            changed += one.difference is not None
        if recording.end is not None:
            lines.append(end_line(recording.end))
    _rewrite(path, b"".join(lines))
    return f"{path}: {changed} of {len(lines) - 1 - (recording.end is not None)} steps have changed."


def _cut_off(recording: Recording) -> list[str]:
    """What is missing at the end of the file."""
    if recording.cut_off is not None:
        return [f"Line {recording.cut_off}, the last one, is cut off: this is the session up to it."]
    if recording.end is None:
        return ["The file has no end: the server, or the writing of the file, ended before the session did."]
    if not recording.end.complete:
        return [f"The recording ended before the session did: {recording.end.reason}."]
    return []


def _rewrite(path: Path, data: bytes) -> None:
    """As a whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(data)
        new.chmod(path.stat().st_mode)
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise ReplayError(f"{path} cannot be written: {error.strerror}.") from error
