from __future__ import annotations

import errno
import itertools
import logging
import os
import stat
import threading
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conversation.stage import Stage
from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.audio.wav import read_speech
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.policy import Policy
from voxtral_voice.conversation.session import Session
from voxtral_voice.errors import ServerError
from voxtral_voice.observe import log
from voxtral_voice.replay import recorder as module
from voxtral_voice.replay.compare import replayed
from voxtral_voice.replay.recorder import Recorder, Recording
from voxtral_voice.replay.recording import End, opened

SETTINGS = ev.Settings(instructions="Never tell the secret.")


def talk(recorder: Recorder, name: str = "sess_1", during: Callable[[Stage], object] = str) -> Stage:
    """A turn, recorded. `during`: something in the middle of it."""
    counter = itertools.count(1)
    audio = InputBuffer()
    recording = recorder.begin(name, audio)
    stage = Stage()
    stage.session = recording.session(SETTINGS, lambda kind: f"{kind}_{next(counter)}", Policy())
    heard = stage.hear

    def hear(ms: float, probability: float) -> list[ev.Command]:
        audio.append(np.full(round(ms / 32) * 512, 0.25, np.float32))
        return heard(ms, probability)

    stage.hear = hear  # type: ignore[method-assign]
    with recording:
        stage.turn("what is the secret", "The secret is plum. Nobody knows it.")
        during(stage)
    return stage


def verdict(file: Path) -> tuple[int, End | None]:
    """Steps that go as they went, and the end."""
    with opened(file) as recording:
        steps = list(replayed(recording))
        assert [one.difference for one in steps] == [None] * len(steps)
        return len(steps), recording.end


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    caplog.set_level(logging.WARNING, log.ROOT)
    return lambda: [(record.getMessage(), record.__dict__["fields"]) for record in caplog.records]


def only(folder: Path, suffix: str = "jsonl") -> Path:
    [file] = folder.glob(f"*.{suffix}")
    return file


def test_a_recorded_session_is_a_session_and_replays(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, content=False)
    stage = talk(recorder)
    recorder.close()
    assert stage.texts() == [("user", "what is the secret"), ("assistant", "")]
    assert stage.session.settings == SETTINGS
    steps, end = verdict(only(tmp_path))
    assert end == End(complete=True)
    assert steps > 50
    with opened(only(tmp_path)) as recording:
        assert (recording.header.session, recording.header.policy) == ("sess_1", Policy())


def test_without_content_nothing_of_what_was_said_is_in_the_folder(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, content=False)
    talk(recorder)
    recorder.close()
    [file] = tmp_path.iterdir()
    said = file.read_text().lower()
    for word in ("secret", "plum", "nobody", "never", "pcm16"):
        assert word not in said
    assert "xxx xxxxxx xx xxxx." in said


def test_with_content_everything_is(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, content=True)
    stage = talk(recorder)
    recorder.close()
    file = only(tmp_path)
    said = file.read_text()
    for words in ("what is the secret", "The secret is plum.", "Never tell the secret.", "pcm16"):
        assert words in said
    assert verdict(file)[1] == End(complete=True)
    with opened(file) as recording:
        spoken = [step.event.samples for step in recording.steps() if isinstance(step.event, ev.PhraseAudio)]
    assert [len(samples) for samples in spoken] == [24_000]
    assert np.allclose(np.concatenate(spoken), 0.1, atol=1e-4)
    heard, rate_hz = read_speech(only(tmp_path, "wav"))
    assert (rate_hz, len(heard)) == (16_000, stage.samples)
    assert np.allclose(heard, 0.25, atol=1e-4)


def test_a_samples_number_is_its_place_in_the_file(tmp_path: Path) -> None:
    recorder, audio = Recorder(tmp_path, content=True), InputBuffer()
    recording = recorder.begin("sess_1", audio)
    session = recording.session(SETTINGS, str, Policy())
    with recording:
        audio.append(np.full(640, 0.5, np.float32))
        audio.forget(320)
        session.receive(ev.AudioReceived(640), 1.0)
        audio.append(np.full(320, 0.25, np.float32))
        session.receive(ev.AudioReceived(960), 1.02)
    recorder.close()
    heard, _ = read_speech(only(tmp_path, "wav"))
    assert heard.tolist() == [0.0] * 320 + [0.5] * 320 + [0.25] * 320


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "folder", content=True)
    talk(recorder)
    recorder.close()
    folder = tmp_path / "new" / "folder"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 2


def test_sessions_have_files_of_their_own(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, content=False)
    talk(recorder, "sess_1", lambda _: talk(recorder, "sess_2"))
    recorder.close()
    assert sorted(file.name.rpartition("-")[2] for file in tmp_path.iterdir()) == ["sess_1.jsonl", "sess_2.jsonl"]
    assert all(verdict(file)[1] == End(complete=True) for file in tmp_path.iterdir())


def test_what_is_said_of_it_at_the_start(tmp_path: Path) -> None:
    quiet, whole = Recorder(tmp_path, content=False), Recorder(tmp_path, content=True)
    assert str(quiet) == f"Recording every session into {tmp_path}, without what is said."
    assert str(whole) == f"Recording every session into {tmp_path}, with what is said: texts and audio."
    quiet.close()
    whole.close()


def test_a_recording_of_nothing_is_a_plain_session() -> None:
    recording = Recording()
    with recording:
        assert type(recording.session(SETTINGS, str, Policy())) is Session


def test_a_core_that_fails_is_recorded_up_to_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, content=False)

    def fail(stage: Stage) -> None:
        stage.do(ev.PhraseAudio(stage.last(ev.Respond).reply_id, 99, np.zeros(1, np.float32)))

    with pytest.raises(IndexError):
        talk(recorder, during=fail)
    recorder.close()
    with opened(only(tmp_path)) as recording:
        steps = list(replayed(recording))
        assert recording.end == End(complete=True)
    assert [one.difference for one in steps] == [None] * len(steps)
    assert steps[-1].step.raised == "IndexError"


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ServerError, match=r"^The folder .*file/folder for recordings cannot be made: Not a directory\."
    ):
        Recorder(tmp_path / "file" / "folder", content=False)
    with pytest.raises(ServerError, match="cannot be made: File exists"):
        Recorder(tmp_path / "file", content=False)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may do everything
    with pytest.raises(ServerError, match=r"^Nothing can be written into the folder .*: choose another\."):
        Recorder(tmp_path, content=False)


class SmallDisk(RawIOBase):
    """A file on a disk with room for so many bytes more."""

    room = 0

    def __init__(self, file: RawIOBase) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = min(len(data), SmallDisk.room)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        SmallDisk.room -= taken
        return self._file.write(bytes(data[:taken])) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def close(self) -> None:
        self._file.close()
        super().close()


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("room", [0, 100, 5_000, 10_000])
def test_a_full_disk_ends_the_recording_and_not_the_session(
    room: int, content: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[Any]]
) -> None:
    created = module._created
    monkeypatch.setattr(module, "_created", lambda path: SmallDisk(created(path)))
    monkeypatch.setattr(SmallDisk, "room", room)
    recorder = Recorder(tmp_path, content=content)
    stage = talk(recorder)
    recorder.close()
    assert stage.last(ev.ReplyAudioDelta).samples.size
    assert warnings() == [("recording_stopped", {"session": "sess_1", "reason": "No space left on device"})]
    data = only(tmp_path).read_bytes()
    assert not data or data.endswith(b"\n")
    if room >= 5_000:
        steps, end = verdict(only(tmp_path))
        assert steps > 5
        assert end is None


def test_a_disk_that_is_mended_is_not_written_to_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[Any]]
) -> None:
    """A recording with a hole would be none; but its end may still be said."""
    created = module._created
    monkeypatch.setattr(module, "_created", lambda path: SmallDisk(created(path)))
    monkeypatch.setattr(SmallDisk, "room", 5_000)
    append = module._File._append

    def mended(file: Any, line: bytes) -> None:
        try:
            append(file, line)
        except OSError:
            SmallDisk.room = 10**6
            raise

    monkeypatch.setattr(module._File, "_append", mended)
    recorder = Recorder(tmp_path, content=False)
    talk(recorder)
    recorder.close()
    assert verdict(only(tmp_path))[1] == End(complete=False, reason="No space left on device")
    assert len(warnings()) == 1


def test_a_folder_that_goes_away(tmp_path: Path, warnings: Callable[[], list[Any]]) -> None:
    folder = tmp_path / "folder"
    recorder = Recorder(folder, content=True)
    folder.rmdir()
    talk(recorder)
    recorder.close()
    assert warnings() == [("recording_stopped", {"session": "sess_1", "reason": "No such file or directory"})]


def dead_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing can be written until the event is set."""
    created, working = module._created, threading.Event()

    def wait(path: Path) -> RawIOBase:
        working.wait()
        return created(path)

    monkeypatch.setattr(module, "_created", wait)
    return working


def test_a_disk_that_is_too_slow_ends_the_recording_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[Any]]
) -> None:
    monkeypatch.setattr(module, "WAITING", 20)
    working = dead_disk(monkeypatch)
    recorder = Recorder(tmp_path, content=False)
    stage = talk(recorder)
    assert stage.last(ev.ReplyAudioDelta).samples.size
    assert list(tmp_path.iterdir()) == []
    working.set()
    recorder.close()
    steps, end = verdict(only(tmp_path))
    assert 15 <= steps <= 20
    assert end == End(complete=False, reason="the disk is too slow")
    assert warnings() == [("recording_stopped", {"session": "sess_1", "reason": "the disk is too slow"})]


def test_a_dead_disk_does_not_keep_a_server_from_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = dead_disk(monkeypatch)
    monkeypatch.setattr(module, "CLOSE_S", 0.01)
    recorder = Recorder(tmp_path, content=False)
    talk(recorder)
    recorder.close()
    assert recorder._thread.daemon
    assert recorder._thread.is_alive()
    working.set()
    recorder._thread.join()


def test_a_fault_of_ours_ends_one_recording_and_says_nothing_of_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[Any]]
) -> None:
    def broken(step: Any) -> bytes:
        raise TypeError(f"what is {step.event}?")

    recorder = Recorder(tmp_path, content=True)
    with monkeypatch.context() as faulty:
        faulty.setattr(module, "step_line", broken)
        talk(recorder, "sess_1")
        recorder.begin("sess_0", InputBuffer())  # never begun: leaves nothing
        wait_until_idle(recorder)
    talk(recorder, "sess_2")
    recorder.close()
    assert warnings() == [("recording_stopped", {"session": "sess_1", "reason": "TypeError"})]
    first, second = sorted(tmp_path.glob("*.jsonl"), key=lambda file: file.name[-7:])
    assert verdict(first) == (0, End(complete=False, reason="TypeError"))
    assert verdict(second)[1] == End(complete=True)


def wait_until_idle(recorder: Recorder) -> None:
    """All that was put into the queue has been taken out."""
    done = threading.Event()

    class Mark:
        def take(self, _: object) -> None:
            done.set()

    recorder._queue.put((Mark(), End(complete=True)))  # type: ignore[arg-type]
    assert done.wait(10)
