"""How long recordings stay, and erasing them.

Knows: the names that the recorder gives its files. Does not know: what is in them. Blocking.

Only files of these names are ever touched, whatever else is in the folder.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from voxtral_voice.errors import ReplayError

NAME: Final = re.compile(r"\d{8}T\d{6}Z-(?P<session>sess_[0-9a-z]+)\.(?:jsonl|wav)")
DAY_S: Final = 24 * 60 * 60


def recordings(folder: Path) -> Iterator[Path]:
    """Files of recordings, no links. Raises ReplayError when the folder cannot be read."""
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise ReplayError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return (file for file in files if NAME.fullmatch(file.name) and file.is_file() and not file.is_symlink())


def of_session(files: Iterable[Path], session: str) -> Iterator[Path]:
    return (file for file in files if (name := NAME.fullmatch(file.name)) and name["session"] == session)


def older_than(files: Iterable[Path], days: float, now: float | None = None) -> Iterator[Path]:
    """Those that nobody has written to for so long."""
    before = (time.time() if now is None else now) - days * DAY_S
    return (file for file in files if _written(file) < before)


def erase(files: Iterable[Path]) -> int:
    """How many there were. Raises ReplayError for one that cannot be erased; the others are, up to it."""
    count = 0
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise ReplayError(f"{file} cannot be erased: {error.strerror}.") from error
        count += 1
    return count


def erased(folder: Path, *, session: str = "", days: float | None = None) -> str:
    """Erase all recordings of a folder, or those of one session, or those older than so many days. What was done."""
    files = recordings(folder)
    if session:
        files = of_session(files, session)
    if days is not None:
        files = older_than(files, days)
    count = erase(files)
    return f"{count} {'file' if count == 1 else 'files'} erased in {folder}."


def _written(file: Path) -> float:
    """In Unix seconds; never, for one that has gone meanwhile."""
    try:
        return file.stat().st_mtime
    except OSError:
        return float("inf")
