"""What the corpus holds: source files, marks, recipes.

Knows: `manifest.toml`, and that it fits together. Does not know: how a file gets here, how a recipe is carried out.

**Marks** say where speech begins and ends. They were set once, each looked at on a spectrogram, and are stored; what is
measured never depends on an energy gate. How they were set, and how far forced alignments lie from them, is said at
the top of the manifest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voxtral_voice.bench.clip import Kind
from voxtral_voice.errors import CorpusError
from voxtral_voice.weights.catalogue import Member, PackageSource

Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


@dataclass(frozen=True, slots=True)
class SetInfo:
    name: str
    what: str
    """One line."""
    size: int
    """Clips."""
    licence: str
    """SPDX identifiers of the recordings, and of the models that spoke."""
    models: bool
    """Some of it is spoken by Kokoro, whose model files are fetched too."""


class Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- files out of packages --------------------------------------------------------------------------------------


class SourceFile(Entry):
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.(wav|raw|g722)$")]
    """A .raw is 16-bit PCM, 16 kHz, mono."""
    member: str
    """Path inside the package."""
    size: Annotated[int, Field(gt=0)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Package(Entry):
    name: str
    version: str
    kind: Literal["pypi", "pypi-source", "debian"]
    licence: str
    """SPDX identifier."""
    advice: str
    """What to do when it cannot be had; ends a sentence."""
    files: Annotated[tuple[SourceFile, ...], Field(min_length=1)]

    def source(self, file: SourceFile) -> PackageSource:
        member = Member(package=self.name, version=self.version, path=file.member)
        return PackageSource(kind=self.kind, members=(member,))


# --- clips, and recipes of clips --------------------------------------------------------------------------------


class Marked(Entry):
    """Speech with its marks, in seconds from the first sample."""

    name: Name
    text: str
    onset_s: Seconds
    end_s: Seconds
    answer: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.onset_s < self.end_s:
            raise ValueError(f"{self.name} ends before it begins")
        return self


class Recorded(Marked):
    """A source file as it is."""

    file: str
    language: Language


class Voiced(Marked):
    """Spoken by Kokoro. The marks belong to audio in which the model says that the last word begins at `last_word_s`;
    where arithmetic differs and it says something else, they move with that word."""

    voice: str
    language: Language
    last_word_s: Seconds


class Spliced(Entry):
    """Another clip with a pause behind a word: one clip for each of the set's lengths."""

    of: str
    """Clip id."""
    after: str
    """The word before the pause; for people."""
    at_s: Seconds
    """Where the clip is cut."""


class Mixed(Entry):
    """Clips under noise: one clip for each of these, each noise and each signal-to-noise ratio."""

    of: tuple[str, ...]
    noises: tuple[Literal["pink", "babble"], ...]
    snr_db: tuple[float, ...]
    babble_of: tuple[str, ...]
    """The voices in the babble; a clip is never in its own."""


class Echoed(Entry):
    """A voice's clip as a loudspeaker and a room bring it back."""

    name: Name
    of: str
    level_db: Annotated[float, Field(lt=0)]
    delay_ms: Annotated[float, Field(gt=0)]


class Sounded(Entry):
    """A sound that is no speech, made of noise by a seeded recipe; all of its energy is between the marks."""

    name: Name
    sound: Literal["cough", "door"]
    seed: int


class Soaking(Entry):
    """Sound without speech that goes on and on, made of noise by a seeded recipe."""

    name: Name
    sound: Literal["white", "hum", "clicks", "music"]
    level_db: Annotated[float, Field(lt=0)]
    """RMS, dBFS."""
    seed: int


class ClipSet(Entry):
    name: Name
    what: str
    kind: Kind = "turn"
    condition: str = ""
    """Of the clips that are recorded or voiced."""
    recorded: tuple[Recorded, ...] = ()
    voiced: tuple[Voiced, ...] = ()
    spliced: tuple[Spliced, ...] = ()
    pauses_ms: tuple[int, ...] = ()
    mixed: Mixed | None = None
    echoed: tuple[Echoed, ...] = ()
    sounded: tuple[Sounded, ...] = ()
    soaking: tuple[Soaking, ...] = ()
    clips: tuple[str, ...] = ()
    """Ids of other sets' clips that are this set."""
    sets: tuple[str, ...] = ()
    """Sets that are this one together."""


class Manifest(Entry):
    packages: Annotated[tuple[Package, ...], Field(alias="package")]
    clip_sets: Annotated[tuple[ClipSet, ...], Field(alias="set")]

    def files(self) -> dict[str, tuple[Package, SourceFile]]:
        """By name."""
        return {file.name: (package, file) for package in self.packages for file in package.files}


@cache
def manifest() -> Manifest:
    text = resources.files("voxtral_voice.bench.corpus").joinpath("manifest.toml").read_text(encoding="utf-8")
    return Manifest.model_validate(tomllib.loads(text))


# --- one recipe for each clip -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Splice:
    of: str
    at_s: float
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Mix:
    of: str
    noise: Literal["pink", "babble"]
    snr_db: float
    babble_of: tuple[str, ...]


How = Recorded | Voiced | Splice | Mix | Echoed | Sounded | Soaking


@dataclass(frozen=True, slots=True)
class Recipe:
    id: str
    kind: Kind
    condition: str
    how: How

    @property
    def of(self) -> tuple[str, ...]:
        """The clips that it is made of, the first one first."""
        match self.how:
            case Splice() | Echoed():
                return (self.how.of,)
            case Mix():
                return (self.how.of, *(clip for clip in self.how.babble_of if clip != self.how.of))
        return ()


@cache
def recipes() -> dict[str, Recipe]:
    """Every clip by its id, in the order of the manifest."""
    return {recipe.id: recipe for entry in manifest().clip_sets for recipe in _recipes_of(entry)}


@cache
def members() -> dict[str, tuple[str, ...]]:
    """The clip ids of every set, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in manifest().clip_sets:
        own = tuple(recipe.id for recipe in _recipes_of(entry))
        found[entry.name] = own + entry.clips + tuple(clip for name in entry.sets for clip in found[name])
    return found


def ids_of(name: str) -> tuple[str, ...]:
    """name: a set, or one clip's id. Raises CorpusError with the name that is nearest to it."""
    if name in members():
        return members()[name]
    if name in recipes():
        return (name,)
    known = list(recipes()) if "/" in name else list(members())
    near = get_close_matches(name, known, 1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"the sets are {', '.join(members())}."
    raise CorpusError(f"There is no {'clip' if '/' in name else 'set of clips'} {name!r}: {hint}")


def needed(ids: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The recipes of `ids` and of everything they are made of."""
    found: dict[str, Recipe] = {}
    for clip in ids:
        recipe = recipes()[clip]
        found |= {part.id: part for part in needed(recipe.of)}
        found[clip] = recipe
    return tuple(found.values())


def licences(ids: tuple[str, ...]) -> str:
    """Of the recordings and the voice model behind these clips; SPDX."""
    names: dict[str, None] = {}
    for recipe in needed(ids):
        if isinstance(recipe.how, Recorded):
            names[manifest().files()[recipe.how.file][0].licence] = None
        elif isinstance(recipe.how, Voiced):
            names[VOICES_LICENCE] = None
    return " AND ".join(names) or OWN_LICENCE


VOICES_LICENCE: Final = "Apache-2.0"
"""Kokoro-82M's."""
OWN_LICENCE: Final = "Apache-2.0"
"""Sounds made of noise are this project's."""


def _recipes_of(entry: ClipSet) -> Iterator[Recipe]:
    spoken: tuple[Recorded | Voiced, ...] = (*entry.recorded, *entry.voiced)
    for how in spoken:
        yield Recipe(f"{entry.name}/{how.name}", entry.kind, entry.condition, how)
    for spliced in entry.spliced:
        for pause_ms in entry.pauses_ms:
            name = f"{entry.name}/{spliced.of.split('/')[1]}-{spliced.after}-{pause_ms}"
            yield Recipe(name, entry.kind, f"pause {pause_ms} ms", Splice(spliced.of, spliced.at_s, pause_ms))
    if entry.mixed:
        yield from _mixes(entry.name, entry.kind, entry.mixed)
    for echoed in entry.echoed:
        yield Recipe(f"{entry.name}/{echoed.name}", entry.kind, f"echo {echoed.level_db:g} dB", echoed)
    for sounded in entry.sounded:
        yield Recipe(f"{entry.name}/{sounded.name}", entry.kind, sounded.sound, sounded)
    for soaking in entry.soaking:
        condition = f"{soaking.sound} {soaking.level_db:g} dB"
        yield Recipe(f"{entry.name}/{soaking.name}", entry.kind, condition, soaking)


def _mixes(name: str, kind: Kind, mixed: Mixed) -> Iterator[Recipe]:
    for of in mixed.of:
        for noise in mixed.noises:
            for snr_db in mixed.snr_db:
                clip = f"{name}/{of.split('/')[1]}-{noise}-{snr_db:g}"
                how = Mix(of, noise, snr_db, mixed.babble_of if noise == "babble" else ())
                yield Recipe(clip, kind, f"{noise} {snr_db:g} dB", how)
