"""A small one of each storm; and what the large ones came to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import storm
from benchmarks.storm_clients import ANSWER_S, DROPS, TURN_S

RESULT = Path(storm.__file__).parent / "storm.json"


@pytest.mark.timeout(120)
async def test_clients_that_drop_off_leave_nothing_behind() -> None:
    made = await storm.dropped(20 * len(DROPS), warm=4 * len(DROPS))
    before, after = made["before"], made["after"]
    assert after["places"] == 0
    assert after["tasks"] <= before["tasks"]
    assert after["files"] <= before["files"]
    assert after["memory_mb"] - before["memory_mb"] < 10


@pytest.mark.timeout(120)
async def test_strangers_are_all_refused_and_callers_are_answered() -> None:
    made = await storm.refused(sessions=2, per_s=200, seconds=TURN_S, rounds=1, kind="script")
    assert made["told"] == {"503": round(200 * TURN_S)}
    assert made["without"]["turns"] == made["with"]["turns"] == 2
    assert made["with"]["p95_ms"] < 1000 * ANSWER_S


def test_the_p95_is_the_one_of_twenty_that_is_next_to_the_worst() -> None:
    assert storm.p95([float(number) for number in range(1, 22)]) == 20.0
    assert storm.p95([5.0]) == 5.0


@pytest.mark.skipif(not RESULT.exists(), reason="it is not made yet")
def test_the_large_ones_broke_nothing() -> None:
    made = json.loads(RESULT.read_text())
    drops = made["drops"]
    assert drops["count"] >= 10_000
    assert drops["after"]["places"] == 0
    assert drops["after"]["tasks"] <= drops["before"]["tasks"]
    assert drops["after"]["files"] <= drops["before"]["files"]
    assert drops["after"]["memory_mb"] - drops["before"]["memory_mb"] < 5
    script = made["refused"]["script"]
    assert (script["per_s"], script["seconds"]) >= (1000, 10)
    assert script["told"].keys() == {"503"}
    assert script["p95_ratio"] <= storm.TARGET
