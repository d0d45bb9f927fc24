"""Checkpoints of the real shape and a tiny size, written once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_realtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from voxtral_voice.engines.voxtral import random_weights

    return random_weights.write(tmp_path_factory.mktemp("voxtral") / "realtime", "realtime", "tiny")


@pytest.fixture(scope="session")
def tiny_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from voxtral_voice.engines.voxtral import random_weights

    return random_weights.write(tmp_path_factory.mktemp("voxtral") / "mini", "mini", "tiny")
