"""What all tests share: the model files, and the rule that CI may not skip what a laptop may."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def missing(what: str) -> None:
    """Skip on a laptop; fail where everything has to be tested (CI=true)."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI may not skip it")
    pytest.skip(what)


@pytest.fixture(scope="session")
def model_files() -> Callable[[str], Path]:
    """Catalogue name -> path of the cached file."""
    from voxtral_voice.weights import default_weights_dir

    folder = default_weights_dir()

    def locate(name: str) -> Path:
        path = folder / name
        if not path.is_file():
            missing(f"{path} is not there (voxtral-voice models pull)")
        return path

    return locate
