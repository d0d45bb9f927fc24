"""Clips by the names of sets.

Knows: which clip is made of what, and in which order that is done. Does not know: how a file comes here (`files`,
`voices`), what is done to samples (`sound`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.audio.wav import read_speech
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.corpus import sound
from voxtral_voice.bench.corpus.files import default_corpus_dir, fetch, path_of
from voxtral_voice.bench.corpus.manifest import (
    Echoed,
    Mix,
    Recipe,
    Recorded,
    SetInfo,
    Soaking,
    Sounded,
    Splice,
    Voiced,
    ids_of,
    licences,
    manifest,
    members,
    needed,
    recipes,
)
from voxtral_voice.bench.corpus.voices import Spoken, voiced
from voxtral_voice.errors import CorpusError

RAW_RATE_HZ: Final = 16_000
SOUND_RATE_HZ: Final = 24_000
"""Of sounds that are made of nothing."""
SOAK_S: Final = 10
NOISE_BEFORE_S: Final = 0.5
NOISE_AFTER_S: Final = 2.0
"""A noise does not begin or end with the speech; an answer is late when it waits for that."""


def sets() -> Mapping[str, SetInfo]:
    """Every set by its name, in the order of the manifest. Touches no file but the manifest."""
    return {entry.name: _info(entry.name, entry.what) for entry in manifest().clip_sets}


def load(names: Sequence[str], folder: Path | None = None, limit: int | None = None) -> tuple[Clip, ...]:
    """The clips of these sets, each once, in the order of the manifest; what is missing is fetched and made.

    names: of sets, or ids of single clips. folder: where files are kept; `default_corpus_dir` unless given. limit: at
    most so many, chosen evenly over sets, conditions and languages, always the same ones. Says on stderr what it
    fetches. Raises CorpusError naming the clip, WeightsError and EngineError when a voice is needed and cannot be had.
    """
    if not names:
        raise CorpusError(f"No set of clips is named: the sets are {', '.join(members())}.")
    if limit is not None and limit < 1:
        raise CorpusError(f"A limit of {limit} clips leaves nothing to say: give 1 or more.")
    wanted = tuple(dict.fromkeys(clip for name in names for clip in ids_of(name)))
    chosen = wanted if limit is None else evenly(wanted, limit)
    parts = needed(chosen)
    where = folder or default_corpus_dir()
    files = manifest().files()
    fetch([(part.id, *files[part.how.file]) for part in parts if isinstance(part.how, Recorded)], where)
    spoken = voiced([(part.id, part.how) for part in parts if isinstance(part.how, Voiced)], where)
    made: dict[str, Clip] = {}
    for part in parts:
        made[part.id] = _checked(_made(part, made, spoken, where))
    return tuple(made[clip] for clip in chosen)


def evenly(ids: Sequence[str], limit: int) -> tuple[str, ...]:
    """One of each set, condition and language in turn, until there are `limit`; within one of them in an order that
    does not follow the manifest's."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for clip in ids:
        recipe = recipes()[clip]
        groups[clip.split("/")[0], recipe.condition, _language(recipe)].append(clip)
    shuffled = [sorted(group, key=_seed) for group in groups.values()]
    turns = chain.from_iterable(zip_longest(*shuffled))
    return tuple(clip for clip in turns if clip is not None)[:limit]


def lasting(clip: Clip, seconds: float) -> Clip:
    """The same sound again and again, without a break; for clips that are sound from end to end."""
    samples = np.resize(clip.samples, round(seconds * clip.rate_hz))
    return replace(clip, samples=samples, end_s=len(samples) / clip.rate_hz)


@cache
def published() -> Mapping[str, str]:
    """sha256 of the 16-bit samples of every clip that comes out the same on any machine, by its id."""
    text = resources.files("voxtral_voice.bench.corpus").joinpath("made.sha256").read_text(encoding="utf-8")
    return {clip: sha256 for sha256, clip in (line.split() for line in text.splitlines())}


def sha256_of(clip: Clip) -> str:
    return hashlib.sha256(float_to_pcm16(clip.samples)).hexdigest()


def _info(name: str, what: str) -> SetInfo:
    ids = members()[name]
    models = any(isinstance(recipe.how, Voiced) for recipe in needed(ids))
    return SetInfo(name, what, len(ids), licences(ids), models)


# --- making one -------------------------------------------------------------------------------------------------


def _made(recipe: Recipe, made: Mapping[str, Clip], spoken: Mapping[str, Spoken], folder: Path) -> Clip:
    """made: holds everything that it is made of."""
    match recipe.how:
        case Recorded():
            return _recorded(recipe, recipe.how, folder)
        case Voiced():
            return _voiced(recipe, recipe.how, spoken[recipe.id])
        case Splice():
            of = spoken.get(recipe.how.of)
            at_s = of.moved(recipe.how.at_s) if of else recipe.how.at_s
            return _spliced(recipe, recipe.how.pause_ms, made[recipe.how.of], at_s)
        case Mix():
            return _mixed(recipe, recipe.how, made)
        case Echoed():
            return _echoed(recipe, recipe.how, made[recipe.how.of])
        case Sounded():
            return _sounded(recipe, recipe.how)
        case Soaking():
            return _soaking(recipe, recipe.how)


def _recorded(recipe: Recipe, how: Recorded, folder: Path) -> Clip:
    path = path_of(folder, manifest().files()[how.file][1])
    raw = path.suffix == ".raw"
    samples, rate_hz = (pcm16_to_float(path.read_bytes()), RAW_RATE_HZ) if raw else read_speech(path)
    return _turn(recipe, how, how.end_s, samples, rate_hz)


def _voiced(recipe: Recipe, how: Voiced, spoken: Spoken) -> Clip:
    return _turn(recipe, how, spoken.moved(how.end_s), spoken.samples, SOUND_RATE_HZ)


def _turn(recipe: Recipe, how: Recorded | Voiced, end_s: float, samples: Samples, rate_hz: int) -> Clip:
    return Clip(
        recipe.id,
        recipe.kind,
        how.text,
        how.language,
        samples,
        rate_hz,
        how.onset_s,
        end_s,
        answer=how.answer,
        condition=recipe.condition,
    )


def _spliced(recipe: Recipe, pause_ms: int, of: Clip, at_s: float) -> Clip:
    at, fade = _sample_at(of, at_s), round(sound.CROSSFADE_MS * of.rate_hz / 1000)
    size = pause_ms * of.rate_hz // 1000
    tone = sound.room_tone(of.samples, of.rate_hz, *_span(of), size, _seed(recipe.id))
    samples = sound.spliced(of.samples, at, tone, fade)
    pause = (at / of.rate_hz, (at + size) / of.rate_hz)
    return _like(of, recipe, samples, of.onset_s, of.end_s + size / of.rate_hz, pauses=(pause,))


def _mixed(recipe: Recipe, how: Mix, made: Mapping[str, Clip]) -> Clip:
    of, rate_hz = made[how.of], made[how.of].rate_hz
    lead = round(NOISE_BEFORE_S * rate_hz)
    size = lead + len(of.samples) + round(NOISE_AFTER_S * rate_hz)
    if how.noise == "pink":
        noise = sound.pink(size, rate_hz, _seed(recipe.id))
    else:
        others = [made[clip] for clip in recipe.of[1:]]
        noise = sound.babble([clip.samples[slice(*_span(clip))] for clip in others], size, _seed(recipe.id))
    samples = sound.under_noise(of.samples, slice(*_span(of)), noise, how.snr_db, lead)
    return _like(of, recipe, samples, NOISE_BEFORE_S + of.onset_s, NOISE_BEFORE_S + of.end_s)


def _echoed(recipe: Recipe, how: Echoed, of: Clip) -> Clip:
    samples = sound.echo(of.samples, of.rate_hz, how.level_db, how.delay_ms, _seed(recipe.id))
    delay_s = how.delay_ms / 1000
    return _like(of, recipe, samples, of.onset_s + delay_s, of.end_s + delay_s, text="")


def _sounded(recipe: Recipe, how: Sounded) -> Clip:
    make: Callable[[int, int], Samples] = {"cough": sound.cough, "door": sound.door}[how.sound]
    return _of_no_one(recipe, make(SOUND_RATE_HZ, how.seed))


def _soaking(recipe: Recipe, how: Soaking) -> Clip:
    return _of_no_one(recipe, sound.soak(how.sound, SOAK_S * SOUND_RATE_HZ, SOUND_RATE_HZ, how.level_db, how.seed))


def _of_no_one(recipe: Recipe, samples: Samples) -> Clip:
    end_s = len(samples) / SOUND_RATE_HZ
    return Clip(recipe.id, recipe.kind, "", "en", samples, SOUND_RATE_HZ, 0.0, end_s, condition=recipe.condition)


def _like(
    of: Clip,
    recipe: Recipe,
    samples: Samples,
    onset_s: float,
    end_s: float,
    *,
    pauses: tuple[tuple[float, float], ...] = (),
    text: str | None = None,
) -> Clip:
    said, rate_hz, answer = of.text if text is None else text, of.rate_hz, of.answer
    marks = (onset_s, end_s, pauses)
    return Clip(recipe.id, recipe.kind, said, of.language, samples, rate_hz, *marks, answer, recipe.condition)


def _checked(clip: Clip) -> Clip:
    """Raises CorpusError for a clip made here that is another one than everywhere else."""
    if (expected := published().get(clip.id)) and sha256_of(clip) != expected:
        raise CorpusError(
            f"Clip {clip.id} comes out differently on this machine than everywhere else, so its figures could not be "
            "compared: install the numpy of requirements.lock, or leave its set out."
        )
    if clip.end_s > len(clip.samples) / clip.rate_hz:
        raise CorpusError(f"Clip {clip.id} is shorter than its marks: delete its file, and it is made again.")
    return clip


def _sample_at(clip: Clip, at_s: float) -> int:
    return round(at_s * clip.rate_hz)


def _span(clip: Clip) -> tuple[int, int]:
    """First and one past the last sample of the speech."""
    return _sample_at(clip, clip.onset_s), _sample_at(clip, clip.end_s)


def _language(recipe: Recipe) -> str:
    first = needed((recipe.id,))[0].how
    return first.language if isinstance(first, Recorded | Voiced) else ""


def _seed(clip: str) -> int:
    """Of a clip's noise, and its place in an order: the same everywhere."""
    return int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "big")
