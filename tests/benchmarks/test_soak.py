"""A minute of the soak: every part of it is played, nothing is broken, and nothing of a session is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak_callers import PARTS

RESULT = Path(soak.__file__).parent / "soak.json"
MINUTE = 1.0


@pytest.mark.timeout(240)
async def test_a_minute_of_it() -> None:
    made = await soak.soaked(MINUTE, 8, 7)
    assert made["violations"] == [], "\n".join(made["violations"])
    counts = made["counts"]
    assert all(counts.get(f"part {part.__name__}") for part in PARTS)
    assert counts["part listen_only"]
    statuses = {name.split()[1] for name in counts if name.startswith("response ")}
    assert statuses >= {"completed", "cancelled"}
    before, after = made["server"]["before"], made["server"]["after"]
    assert after["tasks"] <= before["tasks"]
    assert after["files"] <= before["files"] + 1


def test_a_slope_is_that_of_what_grows() -> None:
    samples = [soak.Sample(at_s=360.0 * i, memory_mb=100 + i, tasks=5, files=9, cpu_s=0) for i in range(20)]
    assert soak.slopes(samples) == {"memory_mb": 10.0, "tasks": 0.0, "files": 0.0}
    assert soak.slopes(samples[:1]) == {}


def test_half_an_hour_of_it_broke_nothing() -> None:
    made = json.loads(RESULT.read_text())
    assert made["minutes"] >= 30
    assert made["violations"] == []
    slopes = made["server"]["slopes_per_hour"]
    assert abs(slopes["tasks"]) < 20
    assert abs(slopes["files"]) < 20
