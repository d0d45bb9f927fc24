"""Model files: which there are (`catalogue`), how they get here (`fetch`), if they are whole (`store`).

Knows: files, sources, hashes. Does not know: what a model does.
"""

from __future__ import annotations

import os
from pathlib import Path

DIR_VARIABLE = "VOXTRAL_VOICE_WEIGHTS_DIR"
CORPUS_DIR_VARIABLE = "VOXTRAL_VOICE_CORPUS_DIR"
"""Of the recordings to measure with, which lie beside the model files unless it says so; no setting."""

__all__ = ["CORPUS_DIR_VARIABLE", "DIR_VARIABLE", "default_weights_dir"]


def default_weights_dir() -> Path:
    """Where model files lie: `$VOXTRAL_VOICE_WEIGHTS_DIR`, or `voxtral-voice/weights` in the user's cache."""
    if chosen := os.environ.get(DIR_VARIABLE):
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "voxtral-voice" / "weights"
