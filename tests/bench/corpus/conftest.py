"""The recordings, fetched once into the user's cache: small, but a package manager has to reach its registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import missing
from voxtral_voice.bench.corpus.files import default_corpus_dir, fetch
from voxtral_voice.bench.corpus.manifest import Recorded, manifest, needed, recipes
from voxtral_voice.errors import CorpusError


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The corpus folder, with every recording in it."""
    files = manifest().files()
    parts = needed(tuple(recipes()))
    try:
        fetch(
            [(part.id, *files[part.how.file]) for part in parts if isinstance(part.how, Recorded)],
            default_corpus_dir(),
        )
    except CorpusError as error:
        missing(str(error))
    return default_corpus_dir()
