"""The benchmark of the wire measures what it says, and the figures in the repository are within their targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import wire

RESULT = Path(wire.__file__).parent / "wire.json"


@pytest.mark.parametrize("case", wire.CASES, ids=lambda case: case.name)
def test_every_case_can_be_repeated(case: wire.Case) -> None:
    work = case.make()
    for _ in range(3):
        work()


def test_an_append_comes_out_as_samples() -> None:
    samples = wire.appended(20)()()
    assert isinstance(samples, np.ndarray)
    assert (samples.dtype, samples.size) == (np.float32, 480)


def test_samples_come_out_as_a_frame() -> None:
    frames = wire.delta(20)()()
    assert isinstance(frames, list)
    assert orjson.loads(frames[0])["type"] == "response.output_audio.delta"


def test_what_is_measured_is_an_event() -> None:
    made = wire.measured(wire.CASES[0], 0.001)
    assert 0 < made["least_us"] <= made["median_us"]
    assert made["events"] >= 1


def test_what_costs_too_much_is_named() -> None:
    cheap = {"name": "a", "median_us": 14.0, "target_us": 15.0}
    dear = {"name": "b", "median_us": 16.0, "target_us": 15.0}
    free = {"name": "c", "median_us": 99.0, "target_us": None}
    assert wire.missed({"events": [cheap, dear, free]}) == ["b"]


def test_the_result_in_the_repository_keeps_the_targets() -> None:
    made = json.loads(RESULT.read_text())
    assert [event["name"] for event in made["events"]] == [case.name for case in wire.CASES]
    assert wire.missed(made) == []
