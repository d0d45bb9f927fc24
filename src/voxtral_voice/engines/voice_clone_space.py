"""The space that Kokoro's voices span, and what a change in it sounds like.

Knows: the voice files, the learned response. Does not know: the model, clips.

A style is 256 numbers: 128 of timbre, 128 of prosody. A voice's style depends a little on the length of the phrase, in
nearly the same way for every voice: a voice is its mean style, and that way is the mean of all. The means of the 54
voices differ in 53 directions in either half; a point is how far along them, so that over the voices each coordinate
has mean 0 and variance 1.

The response is learned once (`benchmarks.voice_clone_learn`): speaker embedding and pitch of some hundred blends that
the model spoke, by ridge regression on their styles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from voxtral_voice.engines.voice_clone_search import Vector
from voxtral_voice.engines.voice_styles import STYLE_SHAPE, read_styles
from voxtral_voice.engines.voices import Styles
from voxtral_voice.errors import EngineError, RequestError

LENGTHS: Final = slice(5, 120)
"""Phrases of so many symbols make a voice's mean style: those that are spoken."""
TIMBRE: Final = slice(0, 128)
PROSODY: Final = slice(128, 256)
LEARNED: Final = "voice_clone.npz"


@dataclass(frozen=True, slots=True)
class Space:
    names: tuple[str, ...]
    means: Vector
    """[voices, 256]"""
    centre: Vector
    """[256]: the mean of all."""
    directions: Vector
    """[points, 256]: in each half one less than there are voices."""
    by_length: Styles
    """[510, 1, 256]: the mean way of a style with the length of the phrase; around 0."""

    def point_of(self, style: Vector) -> Vector:
        """The nearest to a mean style."""
        point: Vector = (style - self.centre) @ np.linalg.pinv(self.directions)
        return point

    def style(self, point: Vector) -> Vector:
        """[256]: its mean."""
        style: Vector = self.centre + point @ self.directions
        return style

    def styles(self, point: Vector) -> Styles:
        return np.asarray(self.style(point) + self.by_length, np.float32)


def span(styles: dict[str, Styles]) -> Space:
    """styles: voices by name, [510, 1, 256] each, at least two."""
    packs = np.stack(list(styles.values())).astype(np.float64)
    means = packs[:, LENGTHS, 0].mean(axis=1)
    centre = means.mean(axis=0)
    halves = [_directions(means[:, half] - centre[half]) for half in (TIMBRE, PROSODY)]
    count = len(halves[0])
    directions = np.zeros((2 * count, STYLE_SHAPE[2]))
    directions[:count, TIMBRE], directions[count:, PROSODY] = halves
    by_length = np.asarray((packs - means[:, None, None]).mean(axis=0), np.float32)
    return Space(tuple(styles), means, centre, directions, by_length)


def read_space(folder: Path, names: Sequence[str]) -> Space:
    """folder: that of the voice files. Raises EngineError naming one that is damaged."""
    try:
        return span({name: read_styles(folder / f"{name}.bin") for name in names})
    except RequestError as error:  # what is wrong is not the clip
        told = "a voice file on the server is damaged, so that no voice can be made now; its log says which."
        raise EngineError("speaker", str(error), told) from error


def _directions(differences: Vector) -> Vector:
    """Principal ones, each as long as the voices' standard deviation along it: [voices - 1, 128]."""
    _, lengths, axes = np.linalg.svd(differences, full_matrices=False)
    count = len(differences) - 1
    scaled: Vector = axes[:count] * (lengths[:count, None] / np.sqrt(len(differences)))
    return scaled


# --- what was learned -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Learned:
    by_style: npt.NDArray[np.float64]
    """[256, 257]: change of embedding and pitch with the style."""
    voices: tuple[str, ...]
    embeddings: npt.NDArray[np.float64]
    """[voices, 256]: of the table's voices."""
    pitches: npt.NDArray[np.float64]
    """[voices], in semitones."""

    def response(self, space: Space) -> Vector:
        """[points, 257]"""
        return space.directions @ self.by_style


def read_learned() -> Learned:
    with resources.files("voxtral_voice.engines").joinpath(LEARNED).open("rb") as file, np.load(file) as data:
        return Learned(
            data["by_style"].astype(np.float64),
            tuple(str(name) for name in data["voices"]),
            data["embeddings"].astype(np.float64),
            data["pitches"].astype(np.float64),
        )
