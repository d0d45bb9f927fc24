"""Sizes of batches; without CUDA nothing is recorded."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.voxtral


def test_a_batch_is_filled_up_to_a_size_that_has_a_graph() -> None:
    from voxtral_voice.engines.voxtral.graphs import BATCHES, filled

    assert [filled(count) for count in (1, 2, 3, 5, 8, 9, 32)] == [1, 2, 4, 8, 8, 16, 32]
    assert filled(BATCHES[-1] + 1) == BATCHES[-1] + 1


def test_without_cuda_nothing_is_recorded() -> None:
    import torch

    from voxtral_voice.engines.voxtral.graphs import recorded

    assert recorded(pytest.fail, torch.device("cpu")) is None
