"""Checkpoints of the real shape and a tiny size, written once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Of models this small the threads only wait for each other."""
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_realtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from voxtral_voice.engines.voxtral import random_weights

    return random_weights.write(tmp_path_factory.mktemp("voxtral") / "realtime", "realtime", "tiny")


@pytest.fixture(scope="session")
def tiny_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from voxtral_voice.engines.voxtral import random_weights

    return random_weights.write(tmp_path_factory.mktemp("voxtral") / "mini", "mini", "tiny")
