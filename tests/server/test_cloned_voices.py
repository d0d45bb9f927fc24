"""The store of cloned voices: owners, limits, restarts, damaged files."""

from __future__ import annotations

import hashlib
import json
import logging
import resource
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxtral_voice.engines.voice_clone import ClonedVoice
from voxtral_voice.engines.voice_styles import STYLE_SHAPE
from voxtral_voice.errors import EngineError, RequestError, ServerError
from voxtral_voice.server import cloned_voices
from voxtral_voice.server.cloned_voices import ID, ClonedVoices, StoreFull

CONSENT = "I am Ada, and this is my own voice."


def a_clone(value: float = 0.25) -> ClonedVoice:
    return ClonedVoice(np.full(STYLE_SHAPE, value, np.float32), -3.5, "female", 201.0, 0.81)


@pytest.fixture
def store(tmp_path: Path) -> ClonedVoices:
    return ClonedVoices(tmp_path / "voices", clock=lambda: 1_800_000_000.7)


def test_a_voice_is_added_with_its_consent_and_found_by_its_owner_alone(store: ClonedVoices) -> None:
    record = store.add("ada", "My voice", CONSENT, a_clone())
    assert ID.fullmatch(record.id)
    assert (record.name, record.owner, record.created_at, record.consent) == ("My voice", "ada", 1_800_000_000, CONSENT)
    assert store.owned_by("ada") == (record,)
    assert store.get(record.id, "ada") == record
    store.require(record.id, "ada")
    assert store.owned_by("eve") == ()
    assert store.get(record.id, "eve") is None
    store.require("af_heart", "eve")
    for name, owner in ((record.id, "eve"), ("voice_" + 20 * "0", "ada")):
        with pytest.raises(RequestError, match=f"There is no voice '{name}'"):
            store.require(name, owner)


def test_it_is_a_source_of_styles(store: ClonedVoices) -> None:
    record = store.add("ada", "My voice", CONSENT, a_clone(0.5))
    voice, styles = store.voice(record.id), store.styles(record.id)
    assert voice is not None
    assert (voice.id, voice.language, voice.gender) == (record.id, "", "female")
    assert styles is not None
    assert styles.shape == STYLE_SHAPE
    assert (styles == 0.5).all()
    assert store.styles(record.id) is styles
    assert store.gain_db(record.id) == -3.5


def test_other_names_are_none_of_its_own(store: ClonedVoices) -> None:
    assert store.voice("af_heart") is None
    assert store.styles("af_heart") is None
    assert store.gain_db("af_heart") is None


def test_files_are_private(store: ClonedVoices, tmp_path: Path) -> None:
    record = store.add("ada", "My voice", CONSENT, a_clone())
    folder = tmp_path / "voices"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [f"{record.id}.voice"]
    assert stat.S_IMODE((folder / f"{record.id}.voice").stat().st_mode) == 0o600


def test_a_deleted_voice_is_gone_at_once_and_says_so(store: ClonedVoices, tmp_path: Path) -> None:
    record = store.add("ada", "My voice", CONSENT, a_clone())
    assert store.styles(record.id) is not None
    assert not store.delete(record.id, "eve")
    assert store.get(record.id, "ada") == record
    assert store.delete(record.id, "ada")
    assert not store.delete(record.id, "ada")
    assert list((tmp_path / "voices").iterdir()) == []
    assert store.owned_by("ada") == ()
    for ask in (store.voice, store.styles, store.gain_db):
        with pytest.raises(RequestError, match="it may have been deleted"):
            ask(record.id)


def test_voices_survive_a_restart(store: ClonedVoices, tmp_path: Path) -> None:
    records = [store.add("ada", f"Voice {number}", CONSENT, a_clone(number / 10)) for number in range(3)]
    again = ClonedVoices(tmp_path / "voices")
    assert again.owned_by("ada") == tuple(sorted(records, key=lambda record: record.id))
    styles = again.styles(records[2].id)
    assert styles is not None
    assert (styles == np.float32(0.2)).all()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_owner(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"ada"', b'"eve"'))


def huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(10**12)


def brackets(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def renamed(path: Path) -> None:
    path.rename(path.with_name(f"voice_{20 * '0'}.voice"))


@pytest.mark.parametrize("harm", [cut, flip, empty, another_owner, huge, brackets, a_folder, renamed])
def test_a_damaged_file_costs_its_voice_alone(
    store: ClonedVoices, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Any
) -> None:
    good, bad = (store.add("ada", name, CONSENT, a_clone()) for name in ("good", "bad"))
    harm(tmp_path / "voices" / f"{bad.id}.voice")
    with caplog.at_level(logging.ERROR):
        again = ClonedVoices(tmp_path / "voices")
    assert again.owned_by("ada") == (good,)
    assert [record.message for record in caplog.records] == ["cloned_voice_skipped"]


def forge(path: Path, head: bytes | None = None, *, times: float = 1, **fields: Any) -> None:
    """The file as a program would write it that knows how, and writes nonsense."""
    old, _, rest = path.read_bytes().partition(b"\n")
    styles = np.frombuffer(rest[:-32], "<f4") * np.float32(times)
    content = (head or json.dumps({**json.loads(old), **fields}).encode()) + b"\n" + styles.tobytes()
    path.write_bytes(content + hashlib.sha256(content).digest())


@pytest.mark.parametrize(
    "field",
    [
        {"head": b"[]"},
        {"head": b"[" * 50_000},
        {"head": b"{}"},
        {"id": "../af_heart"},
        {"name": "a\nb\x1b[31m"},
        {"name": {"a": 1}},
        {"name": 65 * "n"},
        {"owner": None},
        {"created_at": "yesterday"},
        {"created_at": -1},
        {"created_at": 10**12},
        {"consent": ""},
        {"gender": "x"},
        {"gain_db": "loud"},
        {"gain_db": float("nan")},
        {"gain_db": 200.0},
        {"pitch_hz": None},
        {"similarity": 7.0},
        {"more": 1},
        {"times": 50},
        {"times": float("nan")},
    ],
    ids=lambda field: str(field)[:30],
)
def test_what_no_voice_can_be_is_skipped_in_one_line(
    store: ClonedVoices, tmp_path: Path, caplog: pytest.LogCaptureFixture, field: dict[str, Any]
) -> None:
    good, bad = (store.add("ada", name, CONSENT, a_clone()) for name in ("good", "bad"))
    forge(tmp_path / "voices" / f"{bad.id}.voice", **field)
    with caplog.at_level(logging.ERROR):
        again = ClonedVoices(tmp_path / "voices")
    assert again.owned_by("ada") == (good,)
    assert [record.message for record in caplog.records] == ["cloned_voice_skipped"]
    assert "\x1b" not in caplog.text


def test_what_a_forger_changes_within_reason_is_a_voice(store: ClonedVoices, tmp_path: Path) -> None:
    record = store.add("ada", "good", CONSENT, a_clone())
    forge(tmp_path / "voices" / f"{record.id}.voice", name="Ada", gain_db=-4.0)
    (again,) = ClonedVoices(tmp_path / "voices").owned_by("ada")
    assert (again.name, again.gain_db) == ("Ada", -4.0)


@pytest.mark.parametrize(
    ("made", "why"),
    [(a_clone(float("nan")), "its styles are no voice's"), (replace(a_clone(), gain_db=float("inf")), "gain_db: ")],
)
def test_what_could_not_be_read_again_is_not_kept(
    store: ClonedVoices, tmp_path: Path, made: ClonedVoice, why: str
) -> None:
    with pytest.raises(EngineError, match=rf"The voice that was made is none \({why}"):
        store.add("ada", "bad", CONSENT, made)
    assert store.owned_by("ada") == ()
    assert not (tmp_path / "voices").exists()


# --- what happens to a file while the server runs


def reread(store: ClonedVoices, tmp_path: Path) -> tuple[str, ClonedVoices, Path]:
    """A voice of a server that was started again: its styles are not in memory."""
    record = store.add("ada", "1", CONSENT, a_clone())
    return record.id, ClonedVoices(tmp_path / "voices"), tmp_path / "voices" / f"{record.id}.voice"


def test_a_voice_that_is_deleted_while_it_is_read_leaves_nothing_in_memory(
    store: ClonedVoices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, again, _ = reread(store, tmp_path)
    read = cloned_voices._read

    def overtaken(path: Path) -> Any:
        whole = read(path)
        assert again.delete(voice, "ada")
        return whole

    monkeypatch.setattr(cloned_voices, "_read", overtaken)
    with pytest.raises(RequestError, match="it may have been deleted"):
        again.styles(voice)
    assert again._styles == {}


def test_a_file_that_somebody_removed_is_a_voice_that_is_not_there(store: ClonedVoices, tmp_path: Path) -> None:
    voice, again, path = reread(store, tmp_path)
    path.unlink()
    with pytest.raises(RequestError, match="it may have been deleted"):
        again.styles(voice)


@pytest.mark.parametrize("harm", [cut, flip, empty, a_folder])
def test_a_file_that_is_damaged_later_is_told_without_its_path(store: ClonedVoices, tmp_path: Path, harm: Any) -> None:
    voice, again, path = reread(store, tmp_path)
    harm(path)
    with pytest.raises(RequestError, match=f"The voice {voice} is damaged: delete it") as caught:
        again.styles(voice)
    assert str(tmp_path) not in caught.value.told


def test_who_speaks_does_not_wait_for_the_disk(
    store: ClonedVoices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, again, _ = reread(store, tmp_path)
    heard: list[bool] = []

    def slow(_: int) -> None:
        asking = threading.Thread(target=lambda: heard.append(again.styles(voice) is not None))
        asking.start()
        asking.join(10)

    monkeypatch.setattr("os.fsync", slow)
    again.add("ada", "2", CONSENT, a_clone())
    assert heard == [True]


def test_what_a_stopped_server_left_half_written_is_removed(store: ClonedVoices, tmp_path: Path) -> None:
    store.add("ada", "good", CONSENT, a_clone())
    (tmp_path / "voices" / "voice_1.voice.new").write_bytes(b"half")
    again = ClonedVoices(tmp_path / "voices")
    assert len(again.owned_by("ada")) == 1
    assert not (tmp_path / "voices" / "voice_1.voice.new").exists()


def test_an_owner_has_a_limit_of_their_own(store: ClonedVoices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloned_voices, "MOST_OF_ONE_OWNER", 2)
    first = store.add("ada", "1", CONSENT, a_clone())
    store.add("ada", "2", CONSENT, a_clone())
    with pytest.raises(StoreFull, match="You have 2 cloned voices, which is the most: delete one first"):
        store.add("ada", "3", CONSENT, a_clone())
    store.add("eve", "1", CONSENT, a_clone())
    store.delete(first.id, "ada")
    store.add("ada", "3", CONSENT, a_clone())


def test_a_server_has_a_limit_too(store: ClonedVoices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloned_voices, "MOST", 1)
    store.add("ada", "1", CONSENT, a_clone())
    with pytest.raises(StoreFull, match="no room for another"):
        store.add("eve", "1", CONSENT, a_clone())


def test_what_is_no_folder_is_said_at_the_start_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(0o644)
    with pytest.raises(ServerError, match="cannot be used: Not a directory"):
        ClonedVoices(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_folder_is_made_for_the_first_voice(tmp_path: Path) -> None:
    store = ClonedVoices(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    store.add("ada", "1", CONSENT, a_clone())
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot be written"):
        ClonedVoices(tmp_path / "file" / "b").add("ada", "1", CONSENT, a_clone())


def test_a_folder_that_others_could_read_is_closed_to_them(store: ClonedVoices, tmp_path: Path) -> None:
    store.add("ada", "1", CONSENT, a_clone())
    (tmp_path / "voices").chmod(0o755)
    ClonedVoices(tmp_path / "voices")
    assert stat.S_IMODE((tmp_path / "voices").stat().st_mode) == 0o700


def test_a_voice_that_cannot_be_written_leaves_nothing_behind(
    store: ClonedVoices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ServerError, match="No space left on device"):
        store.add("ada", "1", CONSENT, a_clone())
    assert list((tmp_path / "voices").iterdir()) == []
    assert store.owned_by("ada") == ()


def test_a_file_that_cannot_be_removed_is_said_and_its_voice_is_gone(store: ClonedVoices, tmp_path: Path) -> None:
    record = store.add("ada", "1", CONSENT, a_clone())
    path = tmp_path / "voices" / f"{record.id}.voice"
    path.unlink()
    path.mkdir()
    with pytest.raises(ServerError, match="cannot be removed"):
        store.delete(record.id, "ada")
    assert store.owned_by("ada") == ()


def test_whether_it_can_be_written_is_known_beforehand(store: ClonedVoices, tmp_path: Path) -> None:
    store.check_writable()
    assert list((tmp_path / "voices").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "voices").stat().st_mode) == 0o700
    other = ClonedVoices(tmp_path / "other")
    (tmp_path / "other").write_text("no folder")
    with pytest.raises(ServerError, match="cannot be written to"):
        other.check_writable()


def test_a_full_disk_is_noticed_beforehand(store: ClonedVoices) -> None:
    """A limit of this process on the size of files stands for it: half a voice fits."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, most))
    try:
        with pytest.raises(ServerError, match="cannot be written to"):
            store.check_writable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
