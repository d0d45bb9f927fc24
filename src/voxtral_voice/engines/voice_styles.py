"""What Kokoro's voices sound like: a style for each length of phrase.

Knows: the voice files, which voices there are besides the table's. Does not know: models, what is done with a style.

A voice file is float32 [510, 1, 256]: the style for 1 to 510 symbols. It is read when its voice is first used, and
kept: all 54 are 28 MB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from voxtral_voice.engines.base import Voice
from voxtral_voice.engines.voices import VOICES, Styles, StyleSource, gain_db, known
from voxtral_voice.errors import EngineError

STYLE_SHAPE: Final = (510, 1, 256)


class VoiceStyles:
    """folder: that of `<voice>.bin`. others: voices besides the table's.

    Used by one thread, but for `find`.
    """

    def __init__(self, folder: Path, others: StyleSource | None = None) -> None:
        self._folder = folder
        self._others = others
        self._loaded: dict[str, Styles] = {}

    def find(self, name: str) -> Voice:
        """Raises EngineError."""
        other = self._others.voice(name) if self._others else None
        return other or known(VOICES, name)

    def load(self, names: Iterable[str]) -> None:
        """Read now what would be read at its first use. Raises EngineError naming the file."""
        for name in names:
            self._styles(name)

    def style(self, name: str, symbols: int) -> Styles:
        """float32 [1, 256] for a phrase of so many symbols, 1 to 510. Raises EngineError."""
        row: Styles = self._styles(name)[symbols - 1]
        return row

    def gain_db(self, name: str) -> float:
        """What makes it as loud as `af_heart`."""
        other = self._others.gain_db(name) if self._others else None
        return gain_db(name) if other is None else other

    def _styles(self, name: str) -> Styles:
        other = self._others.styles(name) if self._others else None
        if other is not None:
            return other
        if name not in self._loaded:
            voice = known(VOICES, name)  # only a name of the table becomes a path
            self._loaded[name] = read_styles(self._folder / f"{voice.id}.bin")
        return self._loaded[name]


def read_styles(path: Path) -> Styles:
    """A voice file as [510, 1, 256]. Raises EngineError naming it."""
    data = read_file(path)
    size = 4 * math.prod(STYLE_SHAPE)
    if len(data) != size:
        raise EngineError("speaker", f"{path} is damaged ({len(data)} bytes, not {size}): fetch the voice again.")
    styles = np.frombuffer(data, "<f4").reshape(STYLE_SHAPE)
    if not np.isfinite(styles).all():
        raise EngineError("speaker", f"{path} is damaged (values that are no numbers): fetch the voice again.")
    return styles


def read_file(path: Path) -> bytes:
    """Raises EngineError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError("speaker", f"{path} cannot be read ({error.strerror}): fetch the models again.") from error
