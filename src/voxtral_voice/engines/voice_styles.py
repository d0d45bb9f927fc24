"""What Kokoro's voices sound like: a style for each length of phrase.

Knows: the voice files, which voices there are besides the table's. Does not know: models, what is done with a style.

A voice file is float32 [510, 1, 256]: the style for 1 to 510 symbols. It is read when its voice is first used, and
kept: all 54 are 28 MB. A blend is mixed row by row when it speaks: nothing of it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.blends import is_blend, names_in, parse
from voxtral_voice.engines.voices import GAINS_DB, VOICES, Styles, StyleSource, stock
from voxtral_voice.errors import EngineError, RequestError

STYLE_SHAPE: Final = (510, 1, 256)
FARTHEST: Final = 6.4
"""From 0, of any number of a style: twice what the farthest one of all 54 voices is. Beyond it the model makes noise or
nothing."""


@dataclass(frozen=True, slots=True)
class Sound:
    """All that a run needs of a voice. What is deleted meanwhile can be spoken to its end."""

    style: Styles = field(repr=False)
    """float32 [1, 256]"""
    gain: np.float32
    """The audio times this has LOUDNESS_LUFS."""
    shared: bool
    """It is everybody's: of the table, as are all parts of a blend."""


class VoiceStyles:
    """folder: that of `<voice>.bin`. others: voices besides the table's.

    Used by one thread, but for `find`.
    """

    def __init__(self, folder: Path, others: StyleSource | None = None) -> None:
        self._folder = folder
        self._others = others
        self._loaded: dict[str, Styles] = {}

    def find(self, name: str) -> Voice:
        """A voice of the table or of the others, or a blend of such. Raises RequestError."""
        return parse(name, self._alone).voice if is_blend(name) else self._alone(name)

    def load(self, names: Iterable[str]) -> None:
        """Read now what would be read at its first use. Raises RequestError naming the file."""
        for name in names:
            self.style(name, 1)

    def sound(self, name: str, symbols: int) -> Sound:
        """For a phrase of 1 to 510 symbols. Raises RequestError naming a file that is damaged, and for a voice that was
        deleted."""
        shared = all(part in VOICES for part in names_in(name))
        return Sound(self.style(name, symbols), np.float32(10 ** (self.gain_db(name) / 20)), shared)

    def style(self, name: str, symbols: int) -> Styles:
        """float32 [1, 256] for a phrase of 1 to 510 symbols. Raises RequestError naming a file that is damaged."""
        if is_blend(name):
            rows = [part.weight * self.style(part.voice.id, symbols) for part in parse(name, self._alone).parts]
            mixed: Styles = np.sum(rows, axis=0, dtype=np.float32)
            return mixed
        row: Styles = self._styles(name)[symbols - 1]
        return row

    def gain_db(self, name: str) -> float:
        """What brings it to LOUDNESS_LUFS."""
        if is_blend(name):
            return sum(part.weight * self.gain_db(part.voice.id) for part in parse(name, self._alone).parts)
        other = self._others.gain_db(name) if self._others else None
        return GAINS_DB[stock(name).id] if other is None else other

    def _alone(self, name: str) -> Voice:
        """What is no blend."""
        other = self._others.voice(name) if self._others else None
        return other or stock(name)

    def _styles(self, name: str) -> Styles:
        other = self._others.styles(name) if self._others else None
        if other is not None:
            return other
        if name not in self._loaded:
            voice = stock(name)  # only a name of the table becomes a path
            self._loaded[name] = read_styles(self._folder / f"{voice.id}.bin")
        return self._loaded[name]


def read_styles(path: Path) -> Styles:
    """A voice file as [510, 1, 256]. Raises RequestError naming it: the other voices are fine."""
    size = 4 * math.prod(STYLE_SHAPE)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from error
    if len(data) != size:
        raise _unusable(path, f"is damaged ({len(data)} bytes, not {size})")
    styles = np.frombuffer(data, "<f4").reshape(STYLE_SHAPE)
    if not are_of_a_voice(styles):
        raise _unusable(path, "is damaged (values that no voice has)")
    return styles


def are_of_a_voice(styles: Styles) -> bool:
    """They are numbers, and near those of the voices that the model learned."""
    return bool((np.abs(styles) <= FARTHEST).all())  # no comparison holds for what is no number


def read_file(path: Path) -> bytes:
    """A model's. Raises EngineError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError("speaker", f"{path} cannot be read ({error.strerror}): fetch the models again.") from error


def _unusable(path: Path, why: str) -> RequestError:
    told = f"The voice {path.stem} cannot be used now: its file on the server is damaged. Choose another voice."
    return RequestError("speaker", f"{path} {why}: run 'voxtral-voice models pull' to fetch the voice again.", told)
