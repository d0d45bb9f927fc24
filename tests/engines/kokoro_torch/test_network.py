"""Several phrases at once are what each is alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.engines.kokoro_torch.tiny import phrases

if TYPE_CHECKING:
    from voxtral_voice.engines.kokoro_torch.network import Kokoro

pytestmark = pytest.mark.voxtral


def test_a_padded_batch_is_what_its_phrases_are_alone(tiny: Kokoro) -> None:
    some = phrases([4, 17, 9, 17], [1.0, 1.3, 0.7, 1.0])
    plans = tiny.plan(some)
    together = tiny.sound(plans)
    for phrase, plan, samples in zip(some, plans, together, strict=True):
        (alone,) = tiny.plan([phrase])
        assert plan.frames == alone.frames
        np.testing.assert_allclose(plan.encoded, alone.encoded, atol=1e-5)
        np.testing.assert_allclose(plan.said, alone.said, atol=1e-5)
        (expected,) = tiny.sound([alone])
        assert samples.shape == expected.shape == (600 * sum(plan.frames),)
        assert np.abs(samples - expected).max() < 1e-3 * np.abs(expected).max()


def test_phrases_of_one_length_share_a_run_without_padding(tiny: Kokoro) -> None:
    first, second = phrases([6, 6])
    same = replace(second, ids=first.ids)
    plans = tiny.plan([first, same, first])
    assert plans[0].frames == plans[2].frames
    one, _, three = tiny.sound(plans)
    np.testing.assert_allclose(one, three, atol=1e-4)


def test_the_same_phrase_is_the_same_sound(tiny: Kokoro) -> None:
    (phrase,) = phrases([8])
    first, again = (tiny.sound(tiny.plan([phrase]))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32


def test_another_style_is_another_sound(tiny: Kokoro) -> None:
    one, other = phrases([8, 8])
    (plan, changed) = tiny.plan([one, replace(one, style=other.style)])
    assert plan.encoded.shape == changed.encoded.shape == (10, 16 + 128)
    assert (plan.encoded - changed.encoded).abs().max() > 0.01


def test_speed_divides_the_length_and_every_symbol_is_said(tiny: Kokoro) -> None:
    (phrase,) = phrases([20])
    lengths = {speed: tiny.plan([replace(phrase, speed=speed)])[0].frames for speed in (0.5, 1.0, 2.0, 100.0)}
    assert sum(lengths[0.5]) == pytest.approx(2 * sum(lengths[1.0]), rel=0.1)
    assert sum(lengths[2.0]) == pytest.approx(0.5 * sum(lengths[1.0]), rel=0.1)
    assert lengths[100.0] == (1,) * 22


def test_the_real_one_has_as_many_weights_as_were_published() -> None:
    import torch

    from voxtral_voice.engines.kokoro_torch.network import Kokoro, Shape
    from voxtral_voice.engines.speaker_backend import WEIGHTS_BYTES

    with torch.device("meta"):
        made = Kokoro(Shape())
    assert 4 * sum(each.numel() for each in made.parameters()) == WEIGHTS_BYTES
