from __future__ import annotations

from typing import Any

import pytest

from voxtral_voice.config_limits import SESSIONS, LimitsConfig
from voxtral_voice.server.admission import (
    ADDRESS_FULL,
    FULL,
    KEY_FULL,
    LOADED,
    TOO_FAST,
    Admission,
    Place,
    network_of,
)

HERE = "203.0.113.9"


def admission(most: int = 3, **limits: Any) -> Admission:
    return Admission(LimitsConfig(**limits), most)


def entered(admission: Admission, owner: bytes = b"", address: str = HERE, now: float = 0.0) -> Place:
    place = admission.enter(owner, address, now)
    assert isinstance(place, Place)
    return place


def at_work(admission: Admission, owner: bytes = b"", address: str = HERE) -> Place:
    place = admission.begin_work(owner, address, 0.0)
    assert isinstance(place, Place)
    return place


def slow(admission: Admission, now: float) -> None:
    for _ in range(20):
        admission.load.turn(10.0, now)


def test_places_are_counted_and_given_back() -> None:
    door = admission(most=2)
    first, second = entered(door), entered(door)
    assert (door.sessions, door.has_room(0.0)) == (2, False)
    assert door.check(HERE, 0.0) == door.enter(b"", HERE, 0.0) == FULL
    first.leave()
    assert (door.sessions, door.has_room(0.0)) == (1, True)
    assert door.check(HERE, 0.0) is None
    entered(door)
    second.leave()
    assert door.sessions == 1


def test_a_place_is_left_once_however_often_one_says_so() -> None:
    door = admission()
    entered(door)
    place = entered(door)
    place.leave()
    place.leave()
    assert door.sessions == 1


def test_a_place_is_taken_by_who_looks_after_it() -> None:
    place = entered(admission())
    assert not place.taken
    place.take()
    assert place.taken


def test_one_key_has_so_many_and_who_shows_none_has_no_such_limit() -> None:
    door = admission(most=9, sessions_per_key=2)
    mine = entered(door, b"mine")
    entered(door, b"mine", "203.0.113.10")
    assert door.enter(b"mine", "203.0.113.11", 0.0) == KEY_FULL
    entered(door, b"yours")
    for _ in range(3):
        entered(door)
    mine.leave()
    entered(door, b"mine")


def test_one_address_has_so_many() -> None:
    door = admission(most=9, sessions_per_address=1)
    place = entered(door, b"a")
    assert door.check(HERE, 0.0) == door.enter(b"b", HERE, 0.0) == ADDRESS_FULL
    entered(door, b"a", "203.0.113.10")
    place.leave()
    entered(door, b"b")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (HERE, HERE),
        ("::ffff:203.0.113.9", HERE),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_who_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_new_sessions_come_at_a_rate_after_a_burst() -> None:
    door = admission(most=1000, new_sessions_per_s=5)
    for _ in range(10):
        entered(door).leave()
    assert door.check(HERE, 0.0) == door.enter(b"", HERE, 0.0) == TOO_FAST
    assert door.check(HERE, 0.1) == TOO_FAST
    entered(door, now=0.25)
    assert door.check(HERE, 0.3) == TOO_FAST


def test_who_is_refused_does_not_count_as_new() -> None:
    door = admission(most=1, new_sessions_per_s=1)
    entered(door)
    for _ in range(100):
        assert door.enter(b"", HERE, 0.0) == FULL
    assert door.sessions == 1


def test_no_new_ones_while_there_is_too_much_to_do() -> None:
    door = admission(most=8)
    slow(door, 0.0)
    first, _ = entered(door), entered(door)
    assert door.check(HERE, 0.0) == door.begin_work(b"", HERE, 0.0) == LOADED
    assert not door.has_room(0.0)
    first.leave()
    assert door.check(HERE, 0.0) is None, "one that is slow by itself is no load"
    entered(door)
    assert door.check(HERE, 0.0) == LOADED
    assert door.check(HERE, 40.0) == LOADED, "the slow turns are forgotten, and it waits for calm"
    assert door.check(HERE, 46.0) is None


def test_the_load_is_looked_at_when_a_quarter_is_taken() -> None:
    door = admission(most=40)
    slow(door, 0.0)
    for _ in range(10):
        entered(door)
    assert door.enter(b"", HERE, 0.0) == LOADED


def test_all_may_come_back_at_once_and_then_at_a_rate() -> None:
    door = admission(most=30, new_sessions_per_s=5)
    assert [door.come_back(0.0) for _ in range(31)] == [None] * 30 + [TOO_FAST]
    assert door.come_back(0.2) is None
    assert door.come_back(0.2) == TOO_FAST
    assert (door.sessions, door.check(HERE, 0.2)) == (0, None)


def test_one_comes_in_however_seldom_new_ones_may() -> None:
    door = admission(new_sessions_per_s=0.1)
    entered(door)
    assert door.check(HERE, 9.9) == TOO_FAST
    entered(door, now=10.1)


def test_requests_have_places_too() -> None:
    door = admission(most=2)
    entered(door)
    place = at_work(door)
    assert door.check(HERE, 0.0) == door.begin_work(b"", HERE, 0.0) == FULL
    place.leave()
    place.leave()
    assert (door.requests, door.sessions, door.check(HERE, 0.0)) == (0, 1, None)


def test_requests_count_with_their_key_and_their_address() -> None:
    door = admission(most=9, sessions_per_key=2, sessions_per_address=3)
    entered(door, b"mine")
    mine = at_work(door, b"mine")
    assert door.enter(b"mine", HERE, 0.0) == door.begin_work(b"mine", HERE, 0.0) == KEY_FULL
    at_work(door, b"yours")
    assert door.check(HERE, 0.0) == door.begin_work(b"theirs", HERE, 0.0) == ADDRESS_FULL
    at_work(door, b"theirs", "203.0.113.10")
    mine.leave()
    entered(door, b"mine")
    assert (door.sessions, door.requests) == (2, 2)


def test_requests_come_as_fast_as_they_like() -> None:
    door = admission(most=1000, new_sessions_per_s=1)
    for _ in range(100):
        at_work(door)
    assert door.check(HERE, 0.0) is None


def test_nothing_is_kept_of_who_has_left() -> None:
    door = admission(most=9999, new_sessions_per_s=10_000)
    places = [entered(door, str(number).encode(), f"203.0.113.{number % 256}") for number in range(2000)]
    places += [at_work(door, str(number).encode()) for number in range(2000)]
    for place in places:
        place.leave()
    assert (door.sessions + door.requests, len(door._by_owner), len(door._by_network)) == (0, 0, 0)


def test_how_many_places_there_are() -> None:
    assert LimitsConfig().most_sessions("embedded") == SESSIONS["embedded"] == 16
    assert LimitsConfig(sessions=5).most_sessions("gpu") == 5
