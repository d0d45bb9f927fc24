"""What all tests share: the model files, and the rule that CI may not skip what a laptop may."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
"""How long one example takes says more of what else a machine does than of the code."""

os.environ["HF_HUB_OFFLINE"] = "1"
"""No test asks the real hub; read when its library is imported, so it is set before that."""

VOXTRAL_LIBRARIES: Final = ("torch", "transformers", "mistral_common", "pynvml")


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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of tests marked `voxtral`, which import these libraries only when they run."""
    if item.get_closest_marker("voxtral") is None:
        return
    absent = [name for name in VOXTRAL_LIBRARIES if find_spec(name) is None]
    if absent:
        missing(f"{', '.join(absent)} cannot be imported (make voxtral)")
