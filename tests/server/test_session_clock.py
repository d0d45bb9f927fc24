from __future__ import annotations

import pytest

from voxtral_voice.server.session_clock import SessionClock


def test_it_runs_with_the_loop_s() -> None:
    clock = SessionClock()
    assert (clock.at(5.0), clock.loop_time(5.0), clock.is_held) == (5.0, 5.0, False)


def test_it_stands_still_while_it_is_held() -> None:
    clock = SessionClock()
    clock.hold(10.0)
    clock.hold(11.0)
    assert (clock.at(12.0), clock.at(99.0), clock.is_held) == (10.0, 10.0, True)


def test_it_goes_on_where_it_stood() -> None:
    clock = SessionClock()
    clock.hold(10.0)
    assert clock.go_on(13.0) == 3.0
    assert (clock.at(13.0), clock.at(15.0), clock.is_held) == (10.0, 12.0, False)
    assert clock.loop_time(12.0) == 15.0
    assert clock.go_on(16.0) == 0.0
    assert clock.at(16.0) == 13.0


def test_it_is_held_again() -> None:
    clock = SessionClock()
    for begin in (10.0, 20.0):
        clock.hold(begin)
        clock.go_on(begin + 2.5)
    assert clock.at(30.0) == pytest.approx(25.0)
