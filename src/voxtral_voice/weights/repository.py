"""Voxtral's checkpoints from the hub: which files, at which commit, with which hashes; then they are model files like
all others.

Knows: the hub's list of a repository, what is written down of it (`repository.json`). Does not know: downloads, hashes,
progress (`fetch` does all of it), what is in the files (`checkpoint`).

The revision that a repository has is asked for once and written down with every file's size and sha256. From then on
nothing is asked: the folder is the model that it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from voxtral_voice.errors import WeightsError
from voxtral_voice.weights import fetch
from voxtral_voice.weights.catalogue import HubSource, ModelFile
from voxtral_voice.weights.checkpoint import INDEX, NAMES, PROCESSORS, SETTINGS, TOKENIZER, WHOLE, Layout, Model
from voxtral_voice.weights.hub_listing import HubListing, Listed
from voxtral_voice.weights.store import Finding

FOLDER: Final = "voxtral"
"""Below the weights folder."""
RECORD: Final = "repository.json"
NAME: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
LONGEST_NAME: Final = 200
"""In characters, of what the hub may have: a folder here has that name."""
WANTED: Final[dict[Layout, tuple[str, ...]]] = {
    "transformers": (SETTINGS["transformers"], "generation_config.json", *PROCESSORS, TOKENIZER, INDEX),
    "mistral": (SETTINGS["mistral"], TOKENIZER),
}
"""Besides the weights, as far as they are there."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    repo: str
    asked: str
    """The revision that was asked for; "" = the newest."""
    commit: str
    files: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """On the hub, and its folder here."""

    repo: str
    revision: str
    folder: Path
    weights_dir: Path

    def files(self, model: Model, layout: Layout, *, offline: bool = False) -> tuple[ModelFile, ...]:
        """Of this layout. Asks the hub unless they are written down. Raises WeightsError."""
        record = self.recorded()
        if record is None or not _weights([file.path for file in record.files], layout):
            if offline or fetch.hub_is_off():
                raise WeightsError(
                    f"Offline, and {NAMES[model]} ({self.repo}) was never fetched into {self.folder}: run "
                    "'voxtral-voice models pull' with the same settings once with a network, or name a folder that "
                    f"has it with --voxtral-{model}."
                )
            record = self._look_up(model, layout, record)
        return tuple(self._model_file(record, file) for file in record.files if _is_of(file.path, layout))

    def recorded(self) -> Record | None:
        """None: not looked up yet, or for another revision."""
        try:
            record = Record.model_validate_json((self.folder / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None
        return record if (record.repo, record.asked) == (self.repo, self.revision) else None

    def _look_up(self, model: Model, layout: Layout, known: Record | None) -> Record:
        with HubListing(self.repo, known.commit if known else self.revision) as listing:
            if not _weights(listing.paths, layout):
                raise WeightsError(
                    f"The repository {self.repo} has no {NAMES[model]} in the layout of {layout}: name another with "
                    f"--voxtral-{model}."
                )
            files = [listing.hashed(path) for path in listing.paths if _is_of(path, layout)]
        kept = [file for file in (known.files if known else ()) if file not in files]
        record = Record(repo=self.repo, asked=self.revision, commit=listing.commit, files=(*kept, *files))
        self._write_down(record)
        return record

    def _write_down(self, record: Record) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f"{RECORD}.new"
            fresh.write_text(record.model_dump_json(indent=1), encoding="utf-8")
            os.replace(fresh, self.folder / RECORD)
        except OSError as error:
            raise WeightsError(
                f"{self.folder} cannot be written to ({error.strerror}): make it writable, or name another folder for "
                "all model files with --weights-dir."
            ) from error

    def _model_file(self, record: Record, file: Listed) -> ModelFile:
        return ModelFile.model_validate(
            {
                "name": f"{self.folder.relative_to(self.weights_dir)}/{file.path}",
                "part": "transcriber",
                "title": self.repo,
                "size": file.size,
                "sha256": file.sha256,
                "licence": "Apache-2.0",
                "profiles": ("gpu",),
                "source": [HubSource(kind="hub", repo=self.repo, revision=record.commit, path=file.path)],
            }
        )


def repository(name: str, weights_dir: Path) -> Repository | Path:
    """name: a folder, or REPOSITORY or REPOSITORY@REVISION of the hub. Raises WeightsError when it can be neither."""
    try:
        path = Path(name).expanduser()
        a_folder = path.is_dir()
    except RuntimeError as error:
        raise WeightsError(f"{name} is no folder here: {error} Write the whole path.") from error
    except OSError:  # `checkpoint` says why
        return path.absolute()
    found = NAME.fullmatch(name) if len(name) <= LONGEST_NAME else None
    if a_folder or found is None:
        return path.absolute()
    repo, revision = found["repo"], found["revision"] or ""
    folder = "--".join(filter(None, (repo.replace("/", "--"), revision.replace("/", "--"))))
    return Repository(repo, revision, weights_dir / FOLDER / folder, weights_dir)


def obtain(name: str, model: Model, layout: Layout, weights_dir: Path, *, offline: bool = False) -> Path:
    """The folder with the checkpoint, whose files are there and whole if it is the hub's. Raises WeightsError."""
    place = repository(name, weights_dir)
    if isinstance(place, Path):
        return place
    fetch.ensure(place.files(model, layout, offline=offline), weights_dir, offline=offline)
    return place.folder


def verify(name: str, weights_dir: Path) -> list[Finding]:
    """Every file that was written down for a repository, read and hashed; [] for a folder of the user's own."""
    place = repository(name, weights_dir)
    record = None if isinstance(place, Path) else place.recorded()
    if record is None or isinstance(place, Path):
        return []
    return fetch.verify([place._model_file(record, file) for file in record.files], weights_dir)


def _is_of(path: str, layout: Layout) -> bool:
    return path in WANTED[layout] or _is_weights(path, layout)


def _is_weights(path: str, layout: Layout) -> bool:
    return path == WHOLE[layout] or (layout == "transformers" and fnmatch(path, "model-*-of-*.safetensors"))


def _weights(paths: Sequence[str], layout: Layout) -> list[str]:
    return [path for path in paths if _is_weights(path, layout)]
