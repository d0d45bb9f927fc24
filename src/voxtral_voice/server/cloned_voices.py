"""Cloned voices, kept in a private folder: whose each one is, and what was agreed to.

Knows: files, owners, limits. Does not know: how a voice is made (`engines.voice_clone_fit`), HTTP.

One file per voice, `<id>.voice`: a line of JSON, then the styles (float32 [510, 1, 256], little-endian), whose sha256
is in the line. The folder is 0700, a file 0600 and written whole or not at all. A file that is damaged is left alone
and its voice is not there. The clip that a voice was made of is never among them.

It is a `StyleSource` of the speaker. `add` and `delete` block; the rest may be asked from any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.engines.voices import Styles
from voxtral_voice.errors import EngineError, RequestError, ServerError
from voxtral_voice.observe import log

SUFFIX: Final = ".voice"
HALF: Final = f"{SUFFIX}.new"
"""Of a file that is being written."""
ID: Final = re.compile(r"voice_[0-9a-f]{20}")
MOST_OF_ONE_OWNER: Final = 20
MOST: Final = 500
"""Of all owners: 260 MB on disk, and as much memory when all are in use."""

Clock = Callable[[], float]
"""Unix seconds."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a cloned voice besides its sound."""

    id: str
    name: str
    """As its owner calls it."""
    owner: str
    """Name of the key; "" on a server without keys."""
    created_at: int
    """Unix seconds; the consent was given then."""
    consent: str
    """The sentence that was agreed to."""
    gender: Literal["female", "male"]
    gain_db: float
    pitch_hz: float
    similarity: float

    @property
    def voice(self) -> Voice:
        """Of no language: it reads every one."""
        return Voice(self.id, "", self.gender)


class StoreFull(RequestError):  # noqa: N818 - a state of the store, told to a client
    """There is no room for one more voice."""

    def __init__(self, message: str) -> None:
        super().__init__("speaker", message)


class ClonedVoices:
    """folder: made for the first voice. Raises ServerError when it cannot be used."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        """Of what changes the folder."""
        self._styles: dict[str, Styles] = {}
        """Those that were used."""
        self._records = {record.id: record for record in _kept(folder)}

    # --- who may use what

    def owned_by(self, owner: str) -> tuple[Record, ...]:
        """Their voices, oldest first."""
        return tuple(
            sorted((r for r in self._records.values() if r.owner == owner), key=lambda r: (r.created_at, r.id))
        )

    def get(self, voice_id: str, owner: str) -> Record | None:
        """None, too, when it is somebody else's."""
        record = self._records.get(voice_id)
        return record if record is not None and record.owner == owner else None

    def require(self, name: str, owner: str) -> None:
        """Raises RequestError, as if there was none, for somebody else's voice. Other names are none of its own."""
        if ID.fullmatch(name) and self.get(name, owner) is None:
            raise _no_voice(name)

    # --- as a StyleSource

    def voice(self, name: str) -> Voice | None:
        """Raises RequestError for one that is not there any more."""
        record = self._records.get(name)
        if record is None and ID.fullmatch(name):
            raise _no_voice(name)
        return record.voice if record else None

    def styles(self, name: str) -> Styles | None:
        if self.voice(name) is None:
            return None
        if name not in self._styles:
            self._styles[name] = _read(self._folder / f"{name}{SUFFIX}")[1]
        return self._styles[name]

    def gain_db(self, name: str) -> float | None:
        record = self._records.get(name)
        return record.gain_db if record else None

    # --- changes

    def check_room(self, owner: str) -> None:
        """Raises StoreFull."""
        if len(self.owned_by(owner)) >= MOST_OF_ONE_OWNER:
            raise StoreFull(f"You have {MOST_OF_ONE_OWNER} cloned voices, which is the most: delete one first.")
        if len(self._records) >= MOST:
            raise StoreFull("This server has no room for another cloned voice.")

    def add(self, owner: str, name: str, consent: str, made: ClonedVoice) -> Record:
        """Raises StoreFull; ServerError when it cannot be written."""
        with self._lock:
            self.check_room(owner)
            record = Record(
                f"voice_{secrets.token_hex(10)}",
                name,
                owner,
                int(self._clock()),
                consent,
                made.gender,
                made.gain_db,
                made.pitch_hz,
                made.similarity,
            )
            _write(self._folder / f"{record.id}{SUFFIX}", record, made.styles)
            self._records = {**self._records, record.id: record}
        log.event("voice_cloned", voice=record.id, similarity=round(record.similarity, 3))
        return record

    def delete(self, voice_id: str, owner: str) -> bool:
        """False when there is no such voice of theirs. Raises ServerError when the file cannot be removed; the voice is
        gone all the same until the server starts again."""
        with self._lock:
            if self.get(voice_id, owner) is None:
                return False
            self._records = {key: record for key, record in self._records.items() if key != voice_id}
            self._styles.pop(voice_id, None)
            try:
                (self._folder / f"{voice_id}{SUFFIX}").unlink(missing_ok=True)
            except OSError as error:
                raise ServerError(f"The file of {voice_id} cannot be removed: {error.strerror}.") from error
        log.event("voice_deleted", voice=voice_id)
        return True


def _no_voice(name: str) -> RequestError:
    return RequestError("speaker", f"There is no voice {name!r}: it may have been deleted. Choose another voice.")


# --- files ------------------------------------------------------------------------------------------------------


def _kept(folder: Path) -> Iterator[Record]:
    """What is whole in the folder; what a server that was stopped left half written is removed. Raises ServerError."""
    try:
        if not folder.exists():
            return
        files = sorted(folder.iterdir())
        folder.chmod(0o700)
        for path in files:
            if path.name.endswith(HALF):
                path.unlink()
    except OSError as error:
        raise ServerError(f"The folder of cloned voices {folder} cannot be used: {error.strerror}.") from error
    yield from filter(None, (_checked(path) for path in files if path.suffix == SUFFIX))


def _checked(path: Path) -> Record | None:
    """Says in the log why there is none."""
    try:
        record = _read(path)[0]
    except EngineError as error:
        log.event("cloned_voice_skipped", "error", file=path.name, reason=str(error))
        return None
    return record


def _read(path: Path) -> tuple[Record, Styles]:
    """Raises EngineError for a file that is damaged, or not the one that its name says."""
    try:
        head, _, data = path.read_bytes().partition(b"\n")
        fields: dict[str, Any] = json.loads(head)
        digest = fields.pop("sha256")
        record = Record(**fields)
        styles = np.frombuffer(data, "<f4").reshape(STYLE_SHAPE)
    except OSError as error:
        raise EngineError("speaker", f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EngineError("speaker", f"{path} is damaged: {str(error)[:100]}.") from error
    if record.id != path.stem or hashlib.sha256(data).hexdigest() != digest or not np.isfinite(styles).all():
        raise EngineError("speaker", f"{path} is damaged: it is not what was written.")
    return record, styles


def _write(path: Path, record: Record, styles: Styles) -> None:
    data = np.ascontiguousarray(styles, "<f4").tobytes()
    head = json.dumps({**asdict(record), "sha256": hashlib.sha256(data).hexdigest()})
    new = path.with_suffix(HALF)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(head.encode() + b"\n" + data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise ServerError(f"The cloned voice cannot be written to {path.parent}: {error.strerror}.") from error
