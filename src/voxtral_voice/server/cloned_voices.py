"""Cloned voices, kept in a private folder: whose each one is, and what was agreed to.

Knows: files, owners, limits. Does not know: how a voice is made (`engines.voice_clone_fit`), HTTP.

One file per voice, `<id>.voice`: a line of JSON (a Record), then the styles (float32 [510, 1, 256], little-endian),
then the sha256 of both. The folder is 0700, a file 0600 and written whole or not at all. A file that is damaged is left
alone and its voice is not there. The clip that a voice was made of is never among them.

It is a `StyleSource` of the speaker. `add`, `delete` and `check_writable` block; the rest may be asked from any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE, are_of_a_voice
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

DIGEST_BYTES: Final = 32
MOST_BYTES: Final = 600_000
"""Of a file; what has more is not read."""
LONGEST_NAME: Final = 64
LONGEST_CONSENT: Final = 1000
MOST_GAIN_DB: Final = 40.0
"""Either way: the stock voices need 10 at most."""
LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999, which is the last that a date can tell."""

Clock = Callable[[], float]
"""Unix seconds."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has characters that cannot be shown")
    return text


Shown = Annotated[str, AfterValidator(_printable)]
"""Goes to terminals and pages as it is."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a cloned voice besides its sound; in a file nothing else counts as one."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: Annotated[str, Field(pattern=f"^{ID.pattern}$")]
    name: Annotated[Shown, Field(min_length=1, max_length=LONGEST_NAME)]
    """As its owner calls it."""
    owner: Annotated[Shown, Field(max_length=LONGEST_NAME)]
    """Name of the key; "" on a server without keys."""
    created_at: Annotated[int, Field(ge=0, le=LAST_SECOND)]
    """Unix seconds; the consent was given then."""
    consent: Annotated[Shown, Field(min_length=1, max_length=LONGEST_CONSENT)]
    """The sentence that was agreed to."""
    gender: Literal["female", "male"]
    gain_db: Annotated[float, Field(ge=-MOST_GAIN_DB, le=MOST_GAIN_DB)]
    pitch_hz: Annotated[float, Field(gt=0, le=2000)]
    similarity: Annotated[float, Field(ge=-1.01, le=1.01)]
    """A cosine, as exact as float32."""

    @property
    def voice(self) -> Voice:
        """Of no language: it reads every one."""
        return Voice(self.id, "", self.gender)


_RECORDS: Final = TypeAdapter(Record)


class StoreFull(RequestError):  # noqa: N818 - a state of the store, told to a client
    """There is no room for one more voice."""

    def __init__(self, message: str) -> None:
        super().__init__("speaker", message)


class ClonedVoices:
    """folder: made for the first voice. Raises ServerError when it cannot be used."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._changing = threading.Lock()
        """Of the folder: may be held for as long as a disk takes."""
        self._lock = threading.Lock()
        """Of what is in memory: whoever speaks waits for it."""
        self._styles: dict[str, Styles] = {}
        """Those that were used, of `_records` alone."""
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
        """Raises RequestError for one that is not there any more, or whose file is damaged."""
        if self.voice(name) is None:
            return None
        kept = self._styles.get(name)
        return self._now_used(name) if kept is None else kept

    def gain_db(self, name: str) -> float | None:
        """Raises RequestError for one that is not there any more."""
        record = self._records.get(name)
        if record is None and ID.fullmatch(name):
            raise _no_voice(name)
        return record.gain_db if record else None

    def _now_used(self, name: str) -> Styles:
        try:
            styles = _read(self._folder / f"{name}{SUFFIX}")[1]
        except FileNotFoundError as error:
            raise _no_voice(name) from error
        except (OSError, ValueError) as error:
            log.event("cloned_voice_damaged", "error", voice=name, reason=_reason(error))
            raise RequestError("speaker", f"The voice {name} is damaged: delete it, and clone it again.") from error
        with self._lock:
            if name not in self._records:  # deleted while it was read
                raise _no_voice(name)
            return self._styles.setdefault(name, styles)

    # --- changes

    def check_room(self, owner: str) -> None:
        """Raises StoreFull."""
        if len(self.owned_by(owner)) >= MOST_OF_ONE_OWNER:
            raise StoreFull(f"You have {MOST_OF_ONE_OWNER} cloned voices, which is the most: delete one first.")
        if len(self._records) >= MOST:
            raise StoreFull("This server has no room for another cloned voice.")

    def check_writable(self) -> None:
        """Whether a voice could be kept now: one takes a minute to make. Raises ServerError."""
        _try_writing(self._folder)

    def add(self, owner: str, name: str, consent: str, made: ClonedVoice) -> Record:
        """Raises StoreFull; ServerError when it cannot be written; EngineError for what no voice can be."""
        with self._changing:
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
            _write(self._folder / f"{record.id}{SUFFIX}", _packed(record, made.styles))
            with self._lock:
                self._records = {**self._records, record.id: record}
        log.event("voice_cloned", voice=record.id, similarity=round(record.similarity, 3))
        return record

    def delete(self, voice_id: str, owner: str) -> bool:
        """False when there is no such voice of theirs. Raises ServerError when the file cannot be removed; the voice is
        gone all the same until the server starts again."""
        with self._changing:
            if self.get(voice_id, owner) is None:
                return False
            with self._lock:
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
    except (OSError, ValueError) as error:
        log.event("cloned_voice_skipped", "error", file=path.name, reason=_reason(error))
        return None
    return record


def _reason(error: Exception) -> str:
    """Without what stands in the file: it may be anything."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its head'}: {first['msg']}"[:200]
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _read(path: Path) -> tuple[Record, Styles]:
    """Raises OSError; ValueError for a file that is damaged, or not the one that its name says."""
    with path.open("rb") as file:
        record, styles = _unpacked(file.read(MOST_BYTES))
    if record.id != path.stem:
        raise ValueError("it is the file of another voice")
    return record, styles


def _packed(record: Record, styles: Styles) -> bytes:
    """What can be read again. Raises EngineError for what no voice can be."""
    content = _RECORDS.dump_json(record) + b"\n" + np.ascontiguousarray(styles, "<f4").tobytes()
    content += hashlib.sha256(content).digest()
    try:
        _unpacked(content)
    except ValueError as error:
        raise EngineError("speaker", f"The voice that was made is none ({_reason(error)}).") from error
    return content


def _unpacked(content: bytes) -> tuple[Record, Styles]:
    """Raises ValueError."""
    content, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("it is not what was written")
    head, _, data = content.partition(b"\n")
    styles = np.frombuffer(data, "<f4").reshape(STYLE_SHAPE)
    if not are_of_a_voice(styles):
        raise ValueError("its styles are no voice's")
    return _RECORDS.validate_json(head), styles


def _write(path: Path, content: bytes) -> None:
    new = path.with_suffix(HALF)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise ServerError(f"The cloned voice cannot be written to {path.parent}: {error.strerror}.") from error


def _try_writing(folder: Path) -> None:
    """As much as a voice, into a file without a name."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(MOST_BYTES))
    except OSError as error:
        raise ServerError(f"Cloned voices cannot be written to {folder}: {error.strerror}.") from error
