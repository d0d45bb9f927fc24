"""What Kokoro's styles sound like, learned once for voice cloning: writes the file that the package ships.

    nice python -m benchmarks.voice_clone_learn       # 20 CPU-minutes; goes on where it was stopped

Blends of voices, some of them beyond the voices, are spoken by the embedded model: a phrase in each. Speaker embedding
and pitch are regressed on the style. `HELD_OUT` voices are in no blend and not in the regression, so that
`benchmarks.voice_clone` can clone them as strangers. Everything is seeded.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from voxtral_voice.audio.resample import resample
from voxtral_voice.engines import voice_clone_fit, voice_clone_space
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ, Samples
from voxtral_voice.engines.kokoro import open_model, run_model
from voxtral_voice.engines.phonemes import Phonemizer
from voxtral_voice.engines.pitch import pitch_hz, semitones
from voxtral_voice.engines.speaker_embedding import SpeakerEncoder, unit, without_silence
from voxtral_voice.engines.voice_clone_space import PROSODY, TIMBRE, Space, read_space
from voxtral_voice.engines.voices import VOICES
from voxtral_voice.weights import default_weights_dir

PHRASES: Final = voice_clone_fit.PHRASES
HELD_OUT: Final = ("af_nova", "am_michael", "bf_emma", "bm_george", "hm_omega", "if_sara")
BLENDS: Final = 300
SEED: Final = 7
RIDGE: Final = 3.0
"""In the space's coordinates, whose variance is 1. Least error on blends left out."""
SAVED_EVERY: Final = 20
FILE: Final = Path(voice_clone_space.__file__).with_name(voice_clone_space.LEARNED)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What came of each style and phrase, in order: the table's voices with both phrases, then the blends."""

    embeddings: Floats
    """[n, 256]"""
    pitches: Floats
    """[n], semitones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("build/voice_clone_spoken.npz"))
    weights = default_weights_dir()
    space = read_space(weights / "voices", sorted(VOICES))
    styles, phrases = made(space)
    cache = parser.parse_args().cache
    write(space, styles, phrases, listened(Studio(weights), space, styles, phrases, cache))


def made(space: Space) -> tuple[Floats, list[int]]:
    """The styles to be spoken, [n, 256], and which phrase each says."""
    rng = np.random.default_rng(SEED)
    blends = list(_blends(space, rng))
    styles = [style for style in space.means for _ in PHRASES] + [style for style, _ in blends]
    return np.stack(styles), [*range(len(PHRASES))] * len(space.names) + [phrase for _, phrase in blends]


def _blends(space: Space, rng: np.random.Generator) -> Iterator[tuple[Floats, int]]:
    """Of one to five voices, drawn out from the centre; timbre and prosody of different ones in two of five; noise of
    the voices' own spread in three of five."""
    known = space.means[[name not in HELD_OUT for name in space.names]]
    centre = known.mean(axis=0)

    def blend() -> Floats:
        count = rng.integers(1, 6)
        shares = rng.dirichlet(np.full(count, 0.8))
        return np.asarray(shares @ known[rng.choice(len(known), count, replace=False)])

    def noise(half: slice) -> Floats:
        shares = rng.normal(size=len(known)) / np.sqrt(len(known))
        return np.asarray((shares @ (known - centre))[half])

    for _ in range(BLENDS):
        style = blend()
        if rng.random() >= 0.6:
            style[PROSODY] = blend()[PROSODY]
        style[TIMBRE] = centre[TIMBRE] + rng.uniform(0.9, 1.6) * (style - centre)[TIMBRE]
        style[PROSODY] = centre[PROSODY] + rng.uniform(0.8, 1.3) * (style - centre)[PROSODY]
        if rng.random() < 0.6:
            style[TIMBRE] += rng.uniform(0.2, 0.7) * noise(TIMBRE)
            style[PROSODY] += rng.uniform(0.1, 0.4) * noise(PROSODY)
        yield style, int(rng.integers(len(PHRASES)))


# --- speaking and listening -------------------------------------------------------------------------------------


class Studio:
    """Kokoro and the speaker encoder, on one thread."""

    def __init__(self, weights: Path) -> None:
        frames = "/encoder/Clip_output_0"
        self._model = open_model(weights / "kokoro-v1.0-int8.onnx", extra_output=frames, threads=1)
        self._encoder = SpeakerEncoder.load(weights / "speaker-encoder.pt")
        self._phonemizer = Phonemizer()

    def say(self, text: str, styles: npt.NDArray[np.float32]) -> Samples:
        """styles: [510, 1, 256]. 24 kHz."""
        (utterance,) = self._phonemizer.read(text, language="en-US").utterances
        feeds = {
            "tokens": np.array([utterance.ids], np.int64),
            "style": styles[len(utterance.symbols) - 1],
            "speed": np.ones(1, np.float32),
        }
        return run_model(self._model, ["audio"], feeds)[0].reshape(-1)

    def hear(self, audio: Samples) -> tuple[Floats, float]:
        """audio: 24 kHz. Embedding, and pitch in semitones."""
        speech = without_silence(resample(audio, SPEAK_RATE_HZ, LISTEN_RATE_HZ))
        return self._encoder.embed(speech).astype(np.float64), semitones(pitch_hz(speech) or 60.0)


def listened(studio: Studio, space: Space, styles: Floats, phrases: list[int], cache: Path) -> Spoken:
    """Goes on behind what the cache has."""
    known = np.load(cache) if cache.is_file() else {"embeddings": np.zeros((0, 256)), "pitches": np.zeros(0)}
    embeddings, pitches = list(known["embeddings"][: len(styles)]), list(known["pitches"][: len(styles)])
    for number in range(len(embeddings), len(styles)):
        pack = np.asarray(styles[number] + space.by_length, np.float32)
        embedding, pitch = studio.hear(studio.say(PHRASES[phrases[number]], pack))
        embeddings.append(embedding)
        pitches.append(pitch)
        if (number + 1) % SAVED_EVERY == 0 or number + 1 == len(styles):
            _save(cache, Spoken(np.stack(embeddings), np.array(pitches)))
            print(f"{number + 1} of {len(styles)}", flush=True)
    return Spoken(np.stack(embeddings), np.array(pitches))


def _save(path: Path, spoken: Spoken) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"new-{path.name}")
    np.savez(new, embeddings=spoken.embeddings, pitches=spoken.pitches)
    os.replace(new, path)


# --- learning ---------------------------------------------------------------------------------------------------


def write(space: Space, styles: Floats, phrases: list[int], spoken: Spoken) -> None:
    of_table = len(PHRASES) * len(space.names)
    seen = np.array([name not in HELD_OUT for name in space.names for _ in PHRASES] + [True] * (len(styles) - of_table))
    points = (styles - space.centre) @ np.linalg.pinv(space.directions)
    inputs = np.concatenate([points, np.eye(len(PHRASES))[phrases]], axis=1)[seen]
    outputs = np.concatenate([spoken.embeddings, spoken.pitches[:, None]], axis=1)[seen]
    weights, left_out = ridge(inputs, outputs, points.shape[1])
    print(f"{len(inputs)} spoken; of those left out {left_out[0]:.0%} of the embeddings' variance is explained,")
    print(f"pitch is off by {left_out[1]:.2f} semitones (standard deviation {outputs[:, -1].std():.2f})")
    by_voice = spoken.embeddings[:of_table].reshape(len(space.names), len(PHRASES), -1)
    np.savez_compressed(
        FILE,
        by_style=(np.linalg.pinv(space.directions) @ weights[: points.shape[1]]).astype(np.float16),
        voices=np.array(space.names),
        embeddings=unit(by_voice.mean(axis=1).astype(np.float32)).astype(np.float16),
        pitches=spoken.pitches[:of_table].reshape(-1, len(PHRASES)).mean(axis=1).astype(np.float16),
    )
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


def ridge(inputs: Floats, outputs: Floats, penalised: int) -> tuple[Floats, tuple[float, float]]:
    """Weights; and for each row predicted from all others: the explained share of the embeddings' variance, and the
    root mean square error of the pitch."""
    penalty = np.diag([RIDGE] * penalised + [1e-3] * (inputs.shape[1] - penalised))
    inverse = np.linalg.inv(inputs.T @ inputs + penalty) @ inputs.T
    weights = inverse @ outputs
    errors = (outputs - inputs @ weights) / (1 - np.einsum("ij,ji->i", inputs, inverse))[:, None]
    spread = outputs[:, :-1] - outputs[:, :-1].mean(axis=0)
    share = 1 - float(np.sum(errors[:, :-1] ** 2) / np.sum(spread**2))
    return weights, (share, float(np.sqrt(np.mean(errors[:, -1] ** 2))))


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    main()
