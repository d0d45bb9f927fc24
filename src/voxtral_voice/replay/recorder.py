"""Records sessions into a folder, one file each, without holding them up.

Knows: files, one thread. Does not know: sockets, what the core decides.

A recorded session puts each step into a queue and goes on; one thread for all sessions takes out what was said, unless
asked to keep it, and writes. What goes wrong there (the disk is full, or too slow) ends the recording of that session
with one warning, and never the session: its file then says that it is incomplete, or has no end.

Only their owner may read the files. With content, NAME.wav beside NAME.jsonl holds what the user said, at 16 kHz.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from io import BufferedWriter, FileIO, IOBase, RawIOBase
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, TypeAlias

import numpy as np

from voxtral_voice import __version__
from voxtral_voice.audio.frames import LISTEN_RATE_HZ, InputBuffer
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, Samples, float_to_pcm16
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.errors import AudioError, ReplayError, ServerError
from voxtral_voice.observe import log
from voxtral_voice.replay.compare import CORE_FAULTS
from voxtral_voice.replay.recording import End, Header, Step, end_line, header_line, step_line
from voxtral_voice.replay.redact import Redactor, mask, silenced
from voxtral_voice.replay.retention import erase, older_than, recordings

WAITING: Final = 16_384
"""Steps that wait for the disk, of all sessions (3 s of 50 of them); when full, a session's recording ends."""
CLOSE_S: Final = 5.0
"""For writing what still waits when the server stops."""

ERASE_EVERY_S: Final = 3600.0

Heard = tuple[Step, Samples | None]
"""A step, and what was heard since the last one (of AudioReceived, when that is kept)."""
Queue: TypeAlias = "SimpleQueue[tuple[_File, Header | Heard | End] | None]"
IdMaker = Callable[[str], str]


class Recording:
    """Of one session; this one keeps nothing. A context: the session is over when it is left."""

    def session(self, settings: ev.Settings, ids: IdMaker, policy: Policy) -> Session:
        return Session(settings, ids, policy)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Recorder:
    """folder: made when it is not there. content: keep what was said. keep_days: older recordings are erased, at the
    start and every hour; 0 = none is.

    Raises ServerError when nothing can be written there.
    """

    def __init__(self, folder: Path, *, content: bool, keep_days: float = 0) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ServerError(f"The folder {folder} for recordings cannot be made: {error.strerror}.") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ServerError(f"Nothing can be written into the folder {folder} for recordings: choose another.")
        self._folder, self._content, self._keep_days = folder, content, keep_days
        self._queue: Queue = SimpleQueue()  # bound: WAITING, and one header and one end of each session
        self._thread = threading.Thread(
            target=self._write, name="recorder", daemon=True
        )  # a dead disk holds up no exit
        self._thread.start()

    def __str__(self) -> str:
        what = "with what is said: texts and audio" if self._content else "without what is said"
        kept = f", for {self._keep_days:g} days" if self._keep_days else ""
        return f"Recording every session into {self._folder}, {what}{kept}."

    def begin(self, session_id: str, audio: InputBuffer) -> Recording:
        """audio: what the session hears."""
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{session_id}"
        file = _File(session_id, self._folder / name, content=self._content)
        return _FileRecording(session_id, file, self._queue, audio if self._content else None, content=self._content)

    def close(self) -> None:
        """Write what still waits. Blocks for up to CLOSE_S."""
        self._queue.put(None)
        self._thread.join(CLOSE_S)

    def _write(self) -> None:
        erase_at = time.monotonic()
        while True:
            if time.monotonic() >= erase_at:
                self._erase_old()
                erase_at = time.monotonic() + ERASE_EVERY_S
            try:
                work = self._queue.get(timeout=max(0.0, erase_at - time.monotonic()))
            except Empty:
                continue
            if work is None:
                return
            file, line = work
            file.take(line)

    def _erase_old(self) -> None:
        if not self._keep_days:
            return
        try:
            if count := erase(older_than(recordings(self._folder), self._keep_days)):
                log.event("recordings_erased", files=count)
        except ReplayError as error:
            log.event("recordings_not_erased", "error", reason=str(error))


# --- in the session's loop --------------------------------------------------------------------------------------


class _FileRecording(Recording):
    """audio: None when what is heard is not kept."""

    def __init__(
        self, session_id: str, file: _File, waiting: Queue, audio: InputBuffer | None, *, content: bool
    ) -> None:
        self._session_id, self._file, self._queue, self._audio = session_id, file, waiting, audio
        self._content = content
        self._heard_to = 0
        self._header: Header | None = None
        self._end = End(complete=True)

    def session(self, settings: ev.Settings, ids: IdMaker, policy: Policy) -> Session:
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._header = Header(self._session_id, began, __version__, self._content, policy, settings)
        return RecordedSession(settings, ids, policy, self._keep, content=self._content)

    def __enter__(self) -> None:
        assert self._header is not None, "there is no session"
        self._queue.put((self._file, self._header))

    def __exit__(self, *_: object) -> None:
        self._queue.put((self._file, self._end))

    def _keep(self, step: Step) -> None:
        """Never waits: what the disk cannot follow is given up."""
        heard = None
        if self._audio is not None and isinstance(step.event, ev.AudioReceived):
            heard = self._heard_until(self._audio, step.event.end_sample)
        if self._end.complete and self._queue.qsize() >= WAITING:
            self._end = End(complete=False, reason="the disk is too slow")
            log.event("recording_stopped", "warning", session=self._session_id, reason=self._end.reason)
        if self._end.complete:
            self._queue.put((self._file, (step, heard)))

    def _heard_until(self, audio: InputBuffer, end_sample: int) -> Samples:
        """What is new. What was forgotten already is silence, so that a sample's number is its place in the file."""
        heard = audio.slice(self._heard_to, end_sample)
        lost = end_sample - self._heard_to - len(heard)
        self._heard_to = end_sample
        return np.pad(heard, (lost, 0)) if lost else heard


class RecordedSession(Session):
    """keep: is told each step, also the one that the core fails on; without content, with what the words decide."""

    def __init__(
        self, settings: ev.Settings, ids: IdMaker, policy: Policy, keep: Callable[[Step], None], *, content: bool
    ) -> None:
        self._new_id, self._keep, self._content = ids, keep, content
        self._given: list[str] = []
        super().__init__(settings, self._give_id, policy)

    def receive(self, event: ev.Event, now: float) -> list[ev.Command]:
        self._given.clear()
        commands: list[ev.Command] | None = None
        try:
            if isinstance(event, ev.TranscriptHeard) and not self._content:
                event = replace(event, facts=self.facts(event))
            commands = super().receive(event, now)
            return commands
        finally:
            if commands is not None:
                step = Step(now, event, tuple(commands), tuple(self._given), self.wake_at())
            else:
                fault = sys.exc_info()[0] or Exception
                step = Step(now, event, (), tuple(self._given), raised=fault.__name__)
            self._keep(step)

    def _give_id(self, kind: str) -> str:
        new = self._new_id(kind)
        self._given.append(new)
        return new


# --- in the thread ----------------------------------------------------------------------------------------------


class _File:
    """What becomes of one session's lines. path: without a suffix."""

    def __init__(self, session_id: str, path: Path, *, content: bool) -> None:
        self._session_id, self._path = session_id, path
        self._redactor = None if content else Redactor()
        self._text: RawIOBase | None = None
        """None: not open yet, or not any more."""
        self._sound: wave.Wave_write | None = None
        self._open_files: list[IOBase | wave.Wave_write] = []
        self._size = 0
        """Of whole lines."""

    def take(self, line: Header | Heard | End) -> None:
        """Never raises. After a failure nothing more is written: a recording with a hole would be none."""
        try:
            if isinstance(line, Header):
                self._open(line)
            elif self._text is not None:
                self._add(line)
        except (OSError, AudioError, *CORE_FAULTS) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.event("recording_stopped", "warning", session=self._session_id, reason=reason)
            with contextlib.suppress(OSError):
                self._append(end_line(End(complete=False, reason=reason)))
            self._close()

    def _open(self, header: Header) -> None:
        self._text = _created(self._path.with_suffix(".jsonl"))
        self._open_files.append(self._text)
        if self._redactor is not None:
            self._append(header_line(replace(header, settings=mask(header.settings))))
        else:
            self._append(header_line(header))
            self._open_sound()

    def _open_sound(self) -> None:
        file = BufferedWriter(_created(self._path.with_suffix(".wav")))
        self._sound = wave.open(file, "wb")  # noqa: SIM115
        self._open_files += [file, self._sound]
        self._sound.setnchannels(1)
        self._sound.setsampwidth(BYTES_PER_SAMPLE)
        self._sound.setframerate(LISTEN_RATE_HZ)

    def _add(self, line: Heard | End) -> None:
        if not isinstance(line, End):
            self._add_step(*line)
            return
        for step in self._redactor.end() if self._redactor else ():
            self._append(step_line(step))
        self._append(end_line(line))
        self._close()

    def _add_step(self, step: Step, heard: Samples | None) -> None:
        if self._redactor is not None:
            for known in self._redactor.push(step):
                self._append(step_line(known))
        else:
            self._append(step_line(replace(step, commands=tuple(map(silenced, step.commands)))))
        if self._sound is not None and heard is not None:
            self._sound.writeframes(float_to_pcm16(heard))  # its header is right after each of these

    def _append(self, line: bytes) -> None:
        """The whole line or, when that fails, nothing of it. Nothing when the file is not open."""
        if self._text is None:
            return
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._text.write(rest) :]
            self._size += len(line)
        except OSError:
            self._text.truncate(self._size)
            self._text.seek(self._size)
            raise

    def _close(self) -> None:
        for file in reversed(self._open_files):
            with contextlib.suppress(OSError):  # of what could not be written
                file.close()
        self._open_files.clear()
        self._text = self._sound = None


def _created(path: Path) -> RawIOBase:
    """A new file for its owner's eyes."""
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
