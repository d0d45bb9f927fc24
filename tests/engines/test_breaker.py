from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtral_voice.engines.breaker import HUNG, OPENS_AT, WINDOW_S, Breaker, Circuit


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(OPENS_AT):
        breaker.failed(0.0)
    assert breaker.circuit is Circuit.OPEN
    return breaker


def test_it_opens_at_so_many_failures_in_a_row_and_says_so_once() -> None:
    breaker = Breaker()
    assert [breaker.failed(float(at)) for at in range(OPENS_AT + 2)] == [False, False, True, False, False]
    assert not breaker.closed


def test_a_success_between_them_begins_the_count_again() -> None:
    breaker = Breaker()
    for at in range(10):
        assert not breaker.failed(at)
        assert not breaker.failed(at)
        assert not breaker.worked()
    assert breaker.closed


def test_one_that_hangs_counts_more() -> None:
    breaker = Breaker()
    assert not breaker.failed(0.0, hung=True)
    assert breaker.failed(0.0) == (HUNG + 1 >= OPENS_AT)


@pytest.mark.parametrize(("apart_s", "opens"), [(WINDOW_S / (OPENS_AT - 1), True), (WINDOW_S + 0.1, False)])
def test_failures_that_are_far_apart_are_no_row(apart_s: float, opens: bool) -> None:
    breaker = Breaker()
    for number in range(OPENS_AT):
        breaker.failed(number * apart_s)
    assert breaker.closed is not opens


def test_the_row_begins_at_its_first_failure() -> None:
    """Not at each: what fails a little now and then is asked for ever."""
    breaker = Breaker()
    for number in range(100):
        breaker.failed(number * (WINDOW_S * 0.6))
    assert breaker.closed


def test_a_try_makes_it_half_open_and_its_result_decides() -> None:
    breaker = opened()
    breaker.try_begins()
    assert (breaker.circuit, breaker.closed) == (Circuit.HALF_OPEN, False)
    breaker.try_failed()
    assert breaker.circuit is Circuit.OPEN
    breaker.try_begins()
    assert breaker.worked()
    assert breaker.closed


def test_a_try_that_works_ends_no_row() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AT - 1):
        assert not breaker.failed(0.0)
        assert not breaker.try_worked()
    assert breaker.failed(0.0)
    breaker.try_begins()
    assert breaker.try_worked()
    assert breaker.closed
    assert breaker.failed(1.0)
    assert breaker.worked()
    assert not breaker.failed(2.0)


def test_a_failure_of_older_work_does_not_disturb_the_try() -> None:
    breaker = opened()
    breaker.try_begins()
    assert not breaker.failed(1.0)
    assert breaker.circuit is Circuit.HALF_OPEN


def test_work_that_began_before_and_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.worked()
    assert [breaker.failed(1.0) for _ in range(OPENS_AT)] == [False] * (OPENS_AT - 1) + [True]


def test_a_try_of_one_that_is_closed_changes_nothing() -> None:
    breaker = Breaker()
    breaker.try_begins()
    breaker.try_failed()
    assert breaker.closed


def test_the_try_failing_after_it_was_closed_by_somebody_changes_nothing() -> None:
    breaker = opened()
    breaker.try_begins()
    breaker.worked()
    breaker.try_failed()
    assert breaker.closed


STEPS = {
    "failed": lambda breaker: breaker.failed(0.0),
    "hung": lambda breaker: breaker.failed(0.0, hung=True),
    "worked": lambda breaker: breaker.worked(),
    "tried": lambda breaker: breaker.try_worked(),
    "begins": lambda breaker: breaker.try_begins(),
    "missed": lambda breaker: breaker.try_failed(),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=30))
def test_whatever_happens_a_success_closes_it_and_no_failure_does(steps: list[str]) -> None:
    breaker = Breaker()
    for step in steps:
        before = breaker.circuit
        STEPS[step](breaker)
        if step in ("worked", "tried"):
            assert breaker.closed
        else:
            assert before is Circuit.CLOSED or not breaker.closed
