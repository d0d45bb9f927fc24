from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from voxtral_voice.server.work import Account


def counter() -> tuple[CollectorRegistry, Counter]:
    registry = CollectorRegistry()
    return registry, Counter("work_seconds", "Work.", ["engine", "outcome"], registry=registry)


def spent(registry: CollectorRegistry, engine: str, outcome: str) -> float | None:
    return registry.get_sample_value("work_seconds_total", {"engine": engine, "outcome": outcome})


def test_work_counts_when_its_outcome_is_known() -> None:
    registry, seconds = counter()
    account = Account(seconds)
    for _ in range(2):
        with account.working("responder"):
            pass
    assert spent(registry, "responder", "used") is None
    account.settle("used")
    first = spent(registry, "responder", "used")
    assert first is not None
    assert first > 0


def test_the_first_outcome_stands_and_later_work_has_it_too() -> None:
    registry, seconds = counter()
    account = Account(seconds)
    account.settle("dropped")
    account.settle("used")
    with account.working("speaker"):
        pass
    assert spent(registry, "speaker", "dropped") is not None
    assert spent(registry, "speaker", "used") is None


def test_work_that_is_stopped_counts_too() -> None:
    registry, seconds = counter()
    account = Account(seconds)
    try:
        with account.working("transcriber"):
            raise TimeoutError
    except TimeoutError:
        account.settle("dropped")
    assert spent(registry, "transcriber", "dropped") is not None
