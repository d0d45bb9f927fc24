"""A row among longer ones is what it is alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from voxtral_voice.engines.kokoro_torch.rows import Rows

pytestmark = pytest.mark.voxtral

LENGTHS = (3, 9, 5)


def rows(*lengths: int) -> Rows:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import Rows

    return Rows(lengths, torch.device("cpu"))


def filled(channels: int) -> Tensor:
    """Whose padding is anything."""
    import torch

    return torch.randn((len(LENGTHS), channels, max(LENGTHS)), generator=torch.Generator().manual_seed(3))


def assert_as_alone(together: Tensor, alone: list[Tensor], scale: int = 1) -> None:
    import torch

    for row, (length, single) in enumerate(zip(LENGTHS, alone, strict=True)):
        torch.testing.assert_close(together[row, :, : scale * length], single[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_a_block_of_convolutions_and_norms(double: bool) -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import StyledBlock

    torch.manual_seed(0)
    block, x, style = StyledBlock(6, 4, 5, double=double).eval(), filled(6), torch.randn(3, 5)
    with torch.inference_mode():
        together = block(x, style, rows(*LENGTHS))
        alone = [block(x[n : n + 1, :, :i], style[n : n + 1], rows(i)) for n, i in enumerate(LENGTHS)]
    assert_as_alone(together, alone, 2 if double else 1)


def test_a_norm_leaves_padding_at_zero_and_real_steps_normal() -> None:
    import torch

    some = rows(*LENGTHS)
    out = some.normalised(filled(4) + 7, torch.ones(3, 4, 1), torch.full((3, 4, 1), 2.0))
    assert not out[0, :, 3:].any()
    torch.testing.assert_close(out[0, :, :3].mean(1), torch.full((4,), 2.0))
    torch.testing.assert_close(out[2, :, :5].var(1, correction=0), torch.ones(4), rtol=1e-3, atol=1e-3)


def test_an_lstm_in_both_directions() -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.rows import lstm

    torch.manual_seed(0)
    recurrent: Any = lstm(6, 8)
    x = filled(6).transpose(1, 2)
    with torch.inference_mode():
        together = rows(*LENGTHS).through(recurrent, x).transpose(1, 2)
        alone = [rows(i).through(recurrent, x[n : n + 1, :i]).transpose(1, 2) for n, i in enumerate(LENGTHS)]
    assert_as_alone(together, alone)


def test_rows_grow_with_what_they_become() -> None:
    scaled = rows(3, 9).scaled(10, 1)
    assert (scaled.lengths, scaled.longest, scaled.even) == ((31, 91), 91, False)
    assert rows(4, 4).even
