from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from voxtral_voice.bench.corpus import files
from voxtral_voice.bench.corpus.files import default_corpus_dir, fetch, path_of
from voxtral_voice.bench.corpus.manifest import Package
from voxtral_voice.errors import CorpusError
from voxtral_voice.weights.catalogue import PackageSource
from voxtral_voice.weights.hub import SourceError

CONTENT = {"a.wav": b"first", "b.raw": b"second"}


class Shelf:
    """Stands for the package managers: gives members out of `content`, and counts."""

    content = CONTENT
    asked: list[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def extract(self, source: PackageSource, part: Path, _: object) -> None:
        member = source.members[0].path
        self.asked.append(member)
        if member not in self.content:
            raise SourceError("ERROR: no such version")
        part.write_bytes(self.content[member])


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> type[Shelf]:
    Shelf.asked, Shelf.content = [], dict(CONTENT)
    monkeypatch.setattr(files, "Packages", Shelf)
    return Shelf


def package() -> Package:
    entries = [
        {"name": name, "member": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in CONTENT.items()
    ]
    facts = {"name": "speech", "version": "1.0", "kind": "pypi", "licence": "MIT", "advice": "call a friend"}
    return Package.model_validate({**facts, "files": entries})


def fetch_first(folder: Path) -> Path:
    found = package()
    fetch([("set/a", found, found.files[0])], folder)
    return path_of(folder, found.files[0])


def test_a_package_that_comes_gives_all_its_files_once(
    shelf: type[Shelf], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_first(tmp_path / "new").read_bytes() == b"first"
    fetch_first(tmp_path / "new")
    assert shelf.asked == ["a.wav", "b.raw"]
    assert capsys.readouterr().err == "fetching 2 recordings out of speech 1.0 (MIT)\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["recorded"]


def test_a_damaged_recording_is_fetched_again(shelf: type[Shelf], tmp_path: Path) -> None:
    path = fetch_first(tmp_path)
    path.write_bytes(b"fixst")
    assert fetch_first(tmp_path).read_bytes() == b"first"
    assert shelf.asked == ["a.wav", "b.raw", "a.wav"]


def test_a_recording_that_cannot_be_had_names_its_clip_and_what_to_do(shelf: type[Shelf], tmp_path: Path) -> None:
    shelf.content = {}
    with pytest.raises(CorpusError) as caught:
        fetch_first(tmp_path)
    assert str(caught.value) == (
        f"The recording of clip set/a is missing in {tmp_path}/recorded, and speech 1.0 (pypi) did not give it (ERROR: "
        "no such version): call a friend, or copy the folder from a machine that has it."
    )


def test_a_damaged_one_that_cannot_be_had_is_called_damaged(shelf: type[Shelf], tmp_path: Path) -> None:
    fetch_first(tmp_path).write_bytes(b"short")
    shelf.content = {"a.wav": b"other"}
    with pytest.raises(CorpusError, match=r"clip set/a is damaged .* \(its a\.wav has another sha256\)"):
        fetch_first(tmp_path)


def test_a_folder_that_cannot_be_written_to(shelf: type[Shelf], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError) as caught:
        fetch_first(tmp_path / "file")
    assert str(caught.value) == (
        f"The folder for clips, {tmp_path}/file/recorded, cannot be written to (Not a directory): make it writable, or "
        "name another with VOXTRAL_VOICE_CORPUS_DIR."
    )


def test_the_folder_is_chosen_or_lies_beside_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOXTRAL_VOICE_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.delenv("VOXTRAL_VOICE_CORPUS_DIR", raising=False)
    assert default_corpus_dir() == tmp_path / "corpus"
    monkeypatch.setenv("VOXTRAL_VOICE_CORPUS_DIR", str(tmp_path / "mine"))
    assert default_corpus_dir() == tmp_path / "mine"
