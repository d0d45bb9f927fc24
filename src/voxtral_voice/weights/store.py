"""The folder of model files: what is there, whether it is whole, and who may write to it now.

Knows: sizes, hashes, stamps, the lock, free space. Does not know: where files come from.

A **stamp** remembers that a file with this size and modification time had this sha256, so that a start hashes
nothing. A file that changed has another modification time, is hashed again, and is found out.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.catalogue import ModelFile

State = Literal["ok", "unchecked", "missing", "damaged"]

SPARE_BYTES: Final = 64 * 1024 * 1024
"""Room that stays free on the disk."""


@dataclass(frozen=True, slots=True)
class Finding:
    file: ModelFile
    state: State
    detail: str
    """A few words: "not there", "12 of 522240 bytes", ..."""


class Store:
    """folder: the weights folder; it need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stamps = _read_stamps(folder / ".stamps.json")

    def path(self, file: ModelFile) -> Path:
        return self.folder / file.name

    def part_path(self, file: ModelFile) -> Path:
        """Where an unfinished download lies; named by content, so that it is never continued as another."""
        return self.folder / f"{file.name}.{file.sha256[:12]}.part"

    def look(self, file: ModelFile) -> Finding:
        """Presence, size and stamp; reads no content. "unchecked": right in size, but no stamp speaks for it."""
        try:
            stat = self.path(file).stat()
        except (FileNotFoundError, NotADirectoryError):
            return Finding(file, "missing", "not there")
        if stat.st_size != file.size:
            return Finding(file, "damaged", f"{stat.st_size:,} of {file.size:,} bytes")
        if self._stamps.get(file.name) == _stamp(stat, file.sha256):
            return Finding(file, "ok", "sha256 checked before")
        return Finding(file, "unchecked", "sha256 not checked yet")

    def verify(self, file: ModelFile) -> Finding:
        """Like `look`, but reads and hashes the whole file whatever the stamp says."""
        seen = self.look(file)
        if seen.state in ("missing", "damaged"):
            return seen
        path = self.path(file)
        stat = path.stat()
        if sha256_of(path) != file.sha256:
            self._stamps.pop(file.name, None)
            return Finding(file, "damaged", "its content has another sha256")
        self._stamps[file.name] = _stamp(stat, file.sha256)
        return Finding(file, "ok", "sha256 checked")

    def accept(self, file: ModelFile) -> str | None:
        """Check the finished part file and put it in its place, or say what is wrong with it and delete it."""
        part = self.part_path(file)
        if (size := part.stat().st_size) != file.size:
            part.unlink()
            return f"gave {size:,} bytes instead of {file.size:,}"
        if sha256_of(part) != file.sha256:
            part.unlink()
            return "gave a file with another sha256"
        _flush(part)
        os.replace(part, self.path(file))
        _flush(part.parent)
        self._stamps[file.name] = _stamp(self.path(file).stat(), file.sha256)
        return None

    def save_stamps(self) -> bool:
        """False: the folder cannot be written to, so the next start will hash again."""
        fresh = self.folder / ".stamps.json.new"
        try:
            fresh.write_text(json.dumps(self._stamps, indent=1, sort_keys=True))
            os.replace(fresh, self.folder / ".stamps.json")
        except OSError:
            return False
        return True

    def require_space(self, files: Sequence[ModelFile]) -> None:
        """Raises WeightsError if `files` do not fit on the disk."""
        begun = sum(part.stat().st_size for file in files if (part := self.part_path(file)).exists())
        wanted = sum(file.size for file in files) - begun + SPARE_BYTES
        free = shutil.disk_usage(self.folder).free
        if free < wanted:
            raise WeightsError(
                f"The model files need {_megabytes(wanted)} in {self.folder}, and {_megabytes(free)} are free: "
                "free some space, or name another folder with --weights-dir or VOXTRAL_VOICE_WEIGHTS_DIR."
            )

    @contextmanager
    def lock(self, say: Callable[[str], None]) -> Iterator[None]:
        """Only one process writes here; a second one waits, and says so. Raises WeightsError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / ".lock", "w")  # noqa: SIM115 - closed below
        except OSError as error:
            raise WeightsError(
                f"The folder for model files, {self.folder}, cannot be written to ({error.strerror}): make "
                "it writable, or name another with --weights-dir or VOXTRAL_VOICE_WEIGHTS_DIR."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"Another process is fetching model files into {self.folder}; waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._stamps |= _read_stamps(self.folder / ".stamps.json")
            yield


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(stat: os.stat_result, sha256: str) -> list[int | str]:
    return [stat.st_size, stat.st_mtime_ns, sha256]


def _read_stamps(path: Path) -> dict[str, list[int | str]]:
    """{} when there are none, or when they are unreadable: then everything is hashed again."""
    try:
        stamps = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _flush(path: Path) -> None:
    """Make sure that a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
