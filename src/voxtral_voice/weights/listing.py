"""What `voxtral-voice models` prints.

Knows: words and columns. Does not know: how files get here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from voxtral_voice.weights.catalogue import ModelFile
from voxtral_voice.weights.store import Finding, Store


def table(files: Sequence[ModelFile], folder: Path) -> Iterator[str]:
    """One line per file: name, size, licence, state, sources."""
    store = Store(folder)
    width = max(len(file.name) for file in files)
    yield f"{'file':{width}}  {'bytes':>11}  {'licence':12}  {'state':9}  sources"
    for file in files:
        sources = ", ".join(source.kind for source in file.sources)
        state = store.look(file).state
        yield f"{file.name:{width}}  {file.size:>11,}  {file.licence:12}  {state:9}  {sources}"
    yield summary(files, folder)


def summary(files: Sequence[ModelFile], folder: Path) -> str:
    """One sentence: how many are there."""
    if not files:
        return "This profile needs no model files."
    store = Store(folder)
    there = [file for file in files if store.look(file).state in ("ok", "unchecked")]
    megabytes = sum(file.size for file in there) / 1e6
    return f"{len(there)} of {len(files)} model files are in {folder} ({megabytes:,.1f} MB)."


def verdicts(findings: Sequence[Finding], folder: Path) -> Iterator[str]:
    """A line for each file that is not whole, and one sentence about all."""
    bad = [finding for finding in findings if finding.state != "ok"]
    for finding in bad:
        yield f"{finding.file.name}: {finding.state}, {finding.detail}"
    if bad:
        yield f"{len(bad)} of {len(findings)} model files are not whole: run 'voxtral-voice models pull'."
    else:
        yield f"All {len(findings)} model files in {folder} have their sha256."
