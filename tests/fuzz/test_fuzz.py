"""A small share of `python -m benchmarks.fuzz`, which is for millions."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.storm import MAY_END, storm
from tests.server.conftest import Serving, quick_config
from voxtral_voice.config_limits import LimitsConfig

INPUTS = 300
FRAMES = 600


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of half a form, Starlette leaves the
# file to the collector
@pytest.mark.parametrize("name", HARNESSES)
def test_any_bytes(name: str) -> None:
    """Good input, then with a byte changed, cut or repeated, then noise."""
    harness = HARNESSES[name]
    rng = random.Random(name)
    for seed in harness.seeds:
        harness.run(seed)
    for _ in range(INPUTS):
        seed = rng.choice(harness.seeds)
        at, to = sorted(rng.choices(range(len(seed)), k=2))
        harness.run(seed[:at] + rng.randbytes(rng.randrange(3)) + seed[to:])
        harness.run(rng.randbytes(rng.randrange(64)))
    harness.run(b"")


async def test_any_frames(serving: Serving) -> None:
    """Each session answers at its end, none breaks, and nothing of them is left."""
    limits = LimitsConfig(events_per_s=10_000, audio_speed=100, new_sessions_per_s=10_000, loop_lag_ms=0, slow_turn_s=0)
    config = quick_config()
    server = config.server.model_copy(update={"resume_s": 0})
    async with serving(config=config.model_copy(update={"limits": limits, "server": server})) as running:
        told = await storm(running.url, FRAMES, seed=1)
    assert told.hung == 0
    assert told.frames >= FRAMES
    assert set(told.ended) <= MAY_END
    assert told.answers["error"]
    assert told.answers["session.updated"]
