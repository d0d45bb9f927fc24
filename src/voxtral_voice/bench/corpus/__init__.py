"""Recorded speech to measure with: sets of clips, fetched and verified like model files, or made by recipe.

    load(["en-core", "hold"], limit=24)  -> clips, everything missing fetched and made
    sets()                               -> what there is

Knows: `manifest.toml` (texts, marks, hashes, recipes), the folder where files are kept. Does not know: when a clip is
spoken, or to whom.
"""

from __future__ import annotations

from voxtral_voice.bench.corpus.files import default_corpus_dir
from voxtral_voice.bench.corpus.library import lasting, load, sets
from voxtral_voice.bench.corpus.manifest import SetInfo

__all__ = ["SetInfo", "default_corpus_dir", "lasting", "load", "sets"]
