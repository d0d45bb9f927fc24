from __future__ import annotations

import pytest

from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.server.work import Account


def spent(metrics: Metrics, engine: str, outcome: str) -> float | None:
    labels = {"engine": engine, "outcome": outcome}
    return metrics.registry.get_sample_value("voxtral_voice_work_seconds_total", labels)


def under_way(metrics: Metrics, engine: str) -> float | None:
    return metrics.registry.get_sample_value("voxtral_voice_engine_requests", {"engine": engine})


def test_work_counts_when_its_outcome_is_known() -> None:
    metrics = Metrics()
    account = Account(metrics)
    for _ in range(2):
        with account.working("responder"):
            pass
    assert spent(metrics, "responder", "used") is None
    account.settle("used")
    first = spent(metrics, "responder", "used")
    assert first is not None
    assert first > 0


def test_the_first_outcome_stands_and_later_work_has_it_too() -> None:
    metrics = Metrics()
    account = Account(metrics)
    account.settle("dropped")
    account.settle("used")
    with account.working("speaker"):
        pass
    assert spent(metrics, "speaker", "dropped") is not None
    assert spent(metrics, "speaker", "used") is None


def test_work_that_is_stopped_counts_too() -> None:
    metrics = Metrics()
    account = Account(metrics)
    try:
        with account.working("transcriber"):
            raise TimeoutError
    except TimeoutError:
        account.settle("dropped")
    assert spent(metrics, "transcriber", "dropped") is not None


def test_work_is_under_way_until_it_ends_also_when_it_fails() -> None:
    metrics = Metrics()
    account = Account(metrics)

    def fail() -> None:
        with account.working("speaker"), account.working("speaker"):
            assert under_way(metrics, "speaker") == 2
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert under_way(metrics, "speaker") == 0
