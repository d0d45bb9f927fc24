"""A Kokoro of the real shape and a tiny size, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro_torch.network import Kokoro


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Of models this small the threads only wait for each other."""
    from importlib.util import find_spec

    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Kokoro:
    from tests.engines.kokoro_torch.tiny import kokoro

    return kokoro()
