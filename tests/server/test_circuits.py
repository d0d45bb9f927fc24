from __future__ import annotations

import logging

import pytest

from voxtral_voice.engines.breaker import OPENS_AT, Breaker
from voxtral_voice.errors import DownError
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.circuits import SEAMS, Circuits


def states(metrics: Metrics) -> dict[str, float]:
    lines = (line for line in metrics.text().decode().splitlines() if line.startswith("voxtral_voice_circuit_state{"))
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


def opened(circuits: Circuits, seam: str) -> None:
    for _ in range(OPENS_AT):
        circuits.require(seam)
        circuits.failed(seam, "status 502 at http://there", "it is gone", hung=False)


def test_one_engine_s_circuit_is_not_another_s() -> None:
    circuits = Circuits(metrics := Metrics())
    assert states(metrics) == dict.fromkeys(SEAMS, 0)
    opened(circuits, "speaker")
    assert states(metrics) == {**dict.fromkeys(SEAMS, 0), "speaker": 2}
    circuits.require("responder")
    with pytest.raises(DownError) as caught:
        circuits.require("speaker")
    assert (caught.value.engine, str(caught.value)) == ("speaker", "status 502 at http://there")
    assert caught.value.told == "it is gone"


def test_a_try_in_the_background_decides() -> None:
    circuits = Circuits(metrics := Metrics())
    opened(circuits, "speaker")
    circuits.try_begins("speaker")
    assert states(metrics)["speaker"] == 1
    assert not circuits.closed("speaker")
    circuits.try_failed("speaker")
    assert states(metrics)["speaker"] == 2
    circuits.try_worked("speaker")
    assert circuits.closed("speaker")


def test_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    circuits = Circuits(Metrics())
    opened(circuits, "speaker")
    circuits.failed("speaker", "again", "again", hung=False)
    circuits.worked("speaker")
    circuits.worked("speaker")
    assert [record.getMessage() for record in caplog.records] == ["circuit_opened", "circuit_closed"]


def test_failures_that_are_far_apart_are_no_row() -> None:
    clock = iter(range(0, 10_000, 60))
    circuits = Circuits(Metrics(), clock=lambda: float(next(clock)))
    for _ in range(10):
        circuits.failed("speaker", "gone", "gone", hung=True)
    assert circuits.closed("speaker")


def test_a_chain_has_circuits_of_its_own() -> None:
    chain = {"responder": Breaker(), "responder.fallback": Breaker()}
    circuits = Circuits(metrics := Metrics(), chain)
    opened(circuits, "responder")
    circuits.require("responder")
    for work in (circuits.try_begins, circuits.try_failed, circuits.try_worked, circuits.worked):
        work("responder")
    for _ in range(OPENS_AT):
        chain["responder"].failed(0.0)
    assert states(metrics) == {**dict.fromkeys(SEAMS, 0), "responder": 2, "responder.fallback": 0}
    circuits.require("responder")
