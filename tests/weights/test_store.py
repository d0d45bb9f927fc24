from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from tests.weights.loopback import model_file
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights import store as store_module
from voxtral_voice.weights.store import Store

CONTENT = b"model" * 1000
FILE = model_file("voices/one.bin", CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "voices").mkdir()
    return Store(tmp_path)


def put(store: Store, content: bytes = CONTENT) -> Path:
    path = store.path(FILE)
    path.write_bytes(content)
    return path


def test_what_is_not_there_is_missing(store: Store) -> None:
    assert store.look(FILE).state == "missing"
    assert store.verify(FILE).state == "missing"


def test_a_folder_that_does_not_exist_has_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path / "no" / "where").look(FILE).state == "missing"


def test_another_size_is_damage(store: Store) -> None:
    put(store, CONTENT[:-1])
    assert store.look(FILE).state == "damaged"
    assert store.look(FILE).detail == "4,999 of 5,000 bytes"


def test_only_a_hash_makes_a_file_ok_and_the_stamp_outlives_the_process(store: Store) -> None:
    put(store)
    assert store.look(FILE).state == "unchecked"
    assert store.verify(FILE).state == "ok"
    assert store.look(FILE).state == "ok"
    assert store.save_stamps()
    assert Store(store.folder).look(FILE).state == "ok"


def test_a_stamped_file_is_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    store.verify(FILE)
    monkeypatch.setattr(store_module, "sha256_of", lambda path: pytest.fail(f"{path} was hashed"))
    assert store.look(FILE).state == "ok"


def test_a_file_that_changed_in_place_is_found_out(store: Store) -> None:
    path = put(store)
    store.verify(FILE)
    path.write_bytes(b"x" + CONTENT[1:])
    os.utime(path, ns=(1, 1))
    assert store.look(FILE).state == "unchecked"
    assert store.verify(FILE).state == "damaged"
    assert store.look(FILE).state == "unchecked"


def test_a_stamp_for_other_content_says_nothing(store: Store) -> None:
    put(store)
    store.verify(FILE)
    newer = FILE.model_copy(update={"sha256": hashlib.sha256(b"newer").hexdigest()})
    assert store.look(newer).state == "unchecked"


@pytest.mark.parametrize("stamps", ["not json", "[]", "{}"])
def test_unreadable_stamps_only_cost_a_hash(store: Store, stamps: str) -> None:
    put(store)
    (store.folder / ".stamps.json").write_text(stamps)
    assert Store(store.folder).look(FILE).state == "unchecked"


def test_stamps_that_cannot_be_written_are_admitted(tmp_path: Path) -> None:
    assert not Store(tmp_path / "nowhere").save_stamps()


def test_a_right_part_file_takes_its_place(store: Store) -> None:
    store.part_path(FILE).write_bytes(CONTENT)
    assert store.accept(FILE) is None
    assert store.path(FILE).read_bytes() == CONTENT
    assert not store.part_path(FILE).exists()
    assert store.look(FILE).state == "ok"


@pytest.mark.parametrize(("content", "reason"), [(CONTENT[:-5], "4,995 bytes"), (CONTENT[::-1], "another sha256")])
def test_a_wrong_part_file_never_takes_the_place(store: Store, content: bytes, reason: str) -> None:
    put(store, b"the old one")
    store.part_path(FILE).write_bytes(content)
    assert reason in str(store.accept(FILE))
    assert store.path(FILE).read_bytes() == b"the old one"
    assert not store.part_path(FILE).exists()


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": size})())


def test_a_full_disk_is_said_before_anything_is_fetched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, store_module.SPARE_BYTES + len(CONTENT) - 1)
    with pytest.raises(WeightsError, match=r"67\.1 MB .*free some space"):
        store.require_space([FILE])


def test_what_is_begun_needs_no_room_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, store_module.SPARE_BYTES + 1000)
    store.part_path(FILE).write_bytes(CONTENT[1000:])
    store.require_space([FILE])


def test_a_second_writer_waits_and_says_so(store: Store) -> None:
    said = threading.Event()
    order: list[str] = []

    def second() -> None:
        with Store(store.folder).lock(lambda _: said.set()):
            order.append("second")

    with store.lock(lambda line: pytest.fail(line)):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert said.wait(10)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_the_lock_brings_the_stamps_of_whoever_had_it(store: Store) -> None:
    put(store)
    other = Store(store.folder)
    other.verify(FILE)
    other.save_stamps()
    with store.lock(lambda line: pytest.fail(line)):
        assert store.look(FILE).state == "ok"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WeightsError, match=r"cannot be written to .*--weights-dir"),
        Store(tmp_path / "file" / "weights").lock(print),
    ):
        pass
