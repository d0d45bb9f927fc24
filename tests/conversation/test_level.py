from __future__ import annotations

import math

import pytest

from voxtral_voice.conversation.level import Level


def test_a_level_is_a_mean_of_power() -> None:
    level = Level()
    assert level.db is None
    level.add(math.nan)
    assert (level.db, level.frames) == (None, 0)
    level.add(-20.0)
    level.add(-120.0)
    assert level.db == pytest.approx(-23.0, abs=0.02)
    assert level.frames == 2
