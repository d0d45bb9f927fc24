"""What is written down of a measurement."""

from __future__ import annotations

from voxtral_voice.bench.capacity import Capacity, Trial
from voxtral_voice.bench.measure import Cost, Measured
from voxtral_voice.bench.record import SessionRecord
from voxtral_voice.bench.result import Result, result


def measured(lateness_ms: float = 1.0, cost: Cost | None = None) -> Measured:
    return Measured((SessionRecord((), (), (lateness_ms,) * 100, 0.0, 60.0),), cost)


def written(*runs: Measured, capacity: Capacity | None = None) -> Result:
    named = [(f"run {number}", each) for number, each in enumerate(runs)]
    return result(command="bench", target={"url": None}, settings={}, runs=named, capacity=capacity)


def test_one_late_run_voids_the_result() -> None:
    assert written(measured(), measured())["void"] is False
    assert written(measured(), measured(lateness_ms=11))["void"] is True


def test_a_capacity_that_proves_nothing_voids_the_result() -> None:
    late = Trial(1, 12, 500, 600, 0, 0, 0, 50.0, late=True, refused_for="the bench itself was late")
    assert written(capacity=Capacity(0, 1_500, (late,)))["void"] is True
    assert written(capacity=Capacity(1, 1_500, ()))["void"] is False


def test_cost_is_per_minute_of_the_callers_audio() -> None:
    run = written(measured(cost=Cost(cpu_s=3.0, audio_minutes=2.0, memory_mb=100.0)))["runs"][0]
    assert run["cost"]["cpu_s_per_audio_minute"] == 1.5
    assert written(measured())["runs"][0]["cost"] is None
