"""Clips that Kokoro speaks: spoken once, then kept beside the recordings.

Knows: the speaker, the folder. Does not know: what else is made of a clip.

A file is named by its recipe (text, voice, and the hashes of both model files), and has its own sha256 beside it: a
recipe that changes makes another file, and a file that changes is made again. There is no sha256 for all machines,
because int8 arithmetic differs between processors: the marks move with the last word instead (`Spoken.moved`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.wav import read_speech, write_wav
from voxtral_voice.bench.corpus.files import make_folder, say
from voxtral_voice.bench.corpus.manifest import Voiced
from voxtral_voice.bench.corpus.sound import rounded
from voxtral_voice.engines.base import SPEAK_RATE_HZ, Speaker, Voice
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.voices import Styles
from voxtral_voice.errors import CorpusError
from voxtral_voice.weights import default_weights_dir
from voxtral_voice.weights.catalogue import ModelFile, catalogue
from voxtral_voice.weights.fetch import ensure
from voxtral_voice.weights.store import sha256_of

MODEL: Final = "kokoro-v1.0-int8.onnx"
VOICED: Final = "voiced"
"""Folder below the corpus folder."""
GAINS_DB: Final = {
    "af_heart": 0.0,
    "af_bella": -0.8,
    "af_nicole": -1.5,
    "af_sarah": -1.9,
    "hf_alpha": -8.0,
    "hf_beta": -6.9,
    "hm_omega": -7.3,
    "hm_psi": -6.2,
}
"""Those of the speaker when the clips were marked: a clip's level is part of it."""
FARTHEST_S: Final = 0.3
"""A last word that lies farther from its place than this belongs to another reading, with other marks."""


@dataclass(frozen=True, slots=True)
class Spoken:
    samples: Samples
    """24 kHz."""
    stored_s: float
    """Where the last word begins in the audio that was marked."""
    last_word_s: float
    """Where it begins in this."""

    def moved(self, mark_s: float) -> float:
        """The mark in this audio."""
        return mark_s + (self.last_word_s - self.stored_s) * min(1.0, mark_s / self.stored_s if self.stored_s else 1.0)


def voiced(clips: Sequence[tuple[str, Voiced]], folder: Path) -> dict[str, Spoken]:
    """Spoken here unless they have been. clips: (id, recipe). Raises WeightsError, EngineError, CorpusError."""
    missing = [(clip, how) for clip, how in clips if not _is_whole(_path(folder, how))]
    if missing:
        make_folder(folder / VOICED)
        say(f"speaking {len(missing)} clips with Kokoro")
        with ThreadPoolExecutor(1) as thread:  # the caller's may have an event loop already
            thread.submit(asyncio.run, _speak(missing, folder)).result()
    return {clip: _read(clip, how, _path(folder, how)) for clip, how in clips}


def speaker() -> Speaker:
    """Fetches its model files when they are missing. Not started."""
    weights = default_weights_dir()
    ensure([_model(MODEL), *(_model(f"voices/{voice}.bin") for voice in GAINS_DB)], weights)
    return Kokoro(weights / MODEL, weights / "voices", others=AsMarked())


class AsMarked:
    """A `StyleSource` without voices of its own: only the gains are."""

    def voice(self, name: str) -> Voice | None:  # noqa: ARG002
        return None

    def styles(self, name: str) -> Styles | None:  # noqa: ARG002
        return None

    def gain_db(self, name: str) -> float | None:
        return GAINS_DB.get(name)


async def _speak(clips: Sequence[tuple[str, Voiced]], folder: Path) -> None:
    kokoro = speaker()
    await kokoro.start()
    try:
        for clip, how in clips:
            chunks = [chunk async for chunk in kokoro.speak(how.text, voice=how.voice, speed=1.0)]
            words = [word for chunk in chunks for word in chunk.words]
            if len(chunks) != 1 or not words:
                raise CorpusError(f"Clip {clip} came in {len(chunks)} pieces: its text must be one phrase of words.")
            path = _path(folder, how)
            write_wav(path, rounded(chunks[0].samples.astype(np.float64)), SPEAK_RATE_HZ)
            facts = {"sha256": sha256_of(path), "last_word_s": words[-1].start_ms / 1000, "text": how.text}
            _facts(path).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    finally:
        await kokoro.aclose()


def _read(clip: str, how: Voiced, path: Path) -> Spoken:
    samples, _ = read_speech(path)
    last_word_s = float(json.loads(_facts(path).read_text(encoding="utf-8"))["last_word_s"])
    if abs(last_word_s - how.last_word_s) > FARTHEST_S:
        raise CorpusError(
            f"Kokoro speaks clip {clip} differently here: its last word begins at {last_word_s:.2f} s instead of "
            f"{how.last_word_s:.2f} s, so its marks do not fit; leave the clip out."
        )
    return Spoken(samples, how.last_word_s, last_word_s)


def _is_whole(path: Path) -> bool:
    """Also the facts beside it were written, which is done last."""
    try:
        facts = json.loads(_facts(path).read_text(encoding="utf-8"))
        return bool(facts["sha256"] == sha256_of(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _path(folder: Path, how: Voiced) -> Path:
    recipe = [how.text, how.voice, _model(MODEL).sha256, _model(f"voices/{how.voice}.bin").sha256]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    return folder / VOICED / f"{how.name}-{how.voice}-{key}.wav"


def _facts(path: Path) -> Path:
    return path.with_suffix(".json")


def _model(name: str) -> ModelFile:
    return next(file for file in catalogue() if file.name == name)
