from __future__ import annotations

import json

import pytest

from voxtral_voice.realtime.sent_log import MOST_GREETINGS, Sent, SentLog


def event(number: int, **fields: object) -> bytes:
    return json.dumps({"type": "x", "event_id": f"event_{number}", **fields}).encode()


def filled(count: int, log: SentLog | None = None, *, keeps: bool = True) -> SentLog:
    log = log or SentLog()
    log.keep(keeps)
    for number in range(count):
        log.add(Sent(event(number), "resp_1" if number % 2 else None, 100.0 if number % 2 else 0.0))
    return log


def rest(log: SentLog) -> list[bytes]:
    taken = []
    while (frame := log.take()) is not None:
        taken.append(frame)
    return taken


def test_frames_leave_in_order() -> None:
    log = filled(3)
    assert (log.waiting, log.waiting_bytes) == (3, sum(len(event(number)) for number in range(3)))
    assert rest(log) == [event(0), event(1), event(2)]
    assert (log.waiting, log.waiting_bytes) == (0, 0)


def test_what_came_behind_an_event_is_sent_again_and_then_what_is_new() -> None:
    log = filled(4)
    rest(log)
    assert log.has("event_1")
    log.rewind("event_1")
    log.add(Sent(event(4)))
    assert (log.waiting, log.waiting_bytes) == (1, len(event(4)))
    assert log.take() == event(2)
    log.rewind("event_0")
    assert rest(log) == [event(1), event(2), event(3), event(4)]
    assert (log.waiting, log.waiting_bytes) == (0, 0)


def test_frames_that_were_never_sent_are_sent_with_those() -> None:
    log = filled(4)
    log.take()
    log.rewind("event_0")
    assert (log.waiting, log.waiting_bytes, log.all_taken) == (0, 0, False)
    assert rest(log) == [event(1), event(2), event(3)]


def test_all_has_arrived() -> None:
    log = filled(2)
    rest(log)
    log.rewind("event_1")
    assert log.all_taken
    assert rest(log) == []
    assert log.unheard_ms() == ()


@pytest.mark.parametrize("event_id", ["event_9", "", "event", '"', "event_1\udcff"])
def test_an_event_that_never_was(event_id: str) -> None:
    assert not filled(4).has(event_id)


def test_an_id_that_is_only_named_is_not_the_event() -> None:
    log = filled(2)
    log.add(Sent(event(2, error={"event_id": "event_77"})))
    assert not log.has("event_77")
    log.add(Sent(event(3, error={"event_id": "event_0"})))
    rest(log)
    log.rewind("event_0")
    assert log.take() == event(1)


def test_of_a_session_that_cannot_be_resumed_nothing_stays() -> None:
    log = filled(3, keeps=False)
    log.take()
    assert not log.has("event_0")
    assert log.has("event_1")
    log.keep(True)
    log.take()
    assert log.has("event_1")
    log.keep(False)
    assert not log.has("event_1")
    assert log.take() == event(2)


@pytest.mark.parametrize("log", [SentLog(keep_frames=2), SentLog(keep_bytes=2 * len(event(0)))])
def test_the_oldest_go_when_there_are_too_many(log: SentLog) -> None:
    filled(5, log)
    assert log.has("event_0")  # none is sent yet
    rest(log)
    assert [log.has(f"event_{number}") for number in range(5)] == [False, False, False, True, True]


@pytest.mark.parametrize("log", [SentLog(keep_frames=2), SentLog(keep_bytes=2 * len(event(0)))])
def test_what_waits_is_in_the_way_of_nothing_that_was_sent(log: SentLog) -> None:
    """The client has event_0, and the connection breaks in the middle of event_1."""
    filled(5, log)
    assert [log.take(), log.take()] == [event(0), event(1)]
    assert log.has("event_0")
    log.rewind("event_0")
    assert rest(log) == [event(1), event(2), event(3), event(4)]
    assert [log.has(f"event_{number}") for number in range(5)] == [False, False, False, True, True]


def test_all_that_is_there_is_counted() -> None:
    log = filled(5, SentLog(keep_frames=2))
    assert log.held_bytes == 5 * len(event(0))
    rest(log)
    assert log.held_bytes == 2 * len(event(0))
    log.rewind("event_3")
    filled(1, log)
    assert log.held_bytes == 3 * len(event(0))
    log.keep(False)
    rest(log)
    assert log.held_bytes == 0


def test_how_much_audio_is_sent_again() -> None:
    log = filled(6)
    log.add(Sent(event(6), "resp_2", 60.0))
    rest(log)
    log.rewind("event_2")
    assert log.unheard_ms() == (("resp_1", 200.0), ("resp_2", 60.0))
    assert log.unheard("resp_1") == [event(3), event(5)]


def test_a_greeting_stands_where_its_connection_began() -> None:
    log = filled(4)
    rest(log)
    log.rewind("event_1")
    log.greeted("event_hello")
    rest(log)
    log.rewind("event_hello")
    assert rest(log) == [event(2), event(3)]


def test_a_greeting_is_forgotten_with_what_came_behind_it_and_when_there_are_many() -> None:
    log = filled(2, SentLog(keep_frames=2))
    log.greeted("event_hello")
    assert log.has("event_hello")
    rest(log)
    filled(2, log)
    rest(log)
    assert not log.has("event_hello")
    for number in range(MOST_GREETINGS + 1):
        log.greeted(f"event_hello_{number}")
    assert not log.has("event_hello_0")
    assert log.has("event_hello_1")
