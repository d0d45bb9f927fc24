from __future__ import annotations

from voxtral_voice.server.load import CALM_S, FEWEST_TURNS, LAGS, RECENT_S, Load


def load(slow_turn_s: float = 4.0, lag_s: float = 0.1) -> Load:
    return Load(slow_turn_s, lag_s)


def turns(load: Load, seconds: float, now: float, count: int = 20) -> None:
    for _ in range(count):
        load.turn(seconds, now)


def lags(load: Load, seconds: float, count: int = LAGS) -> None:
    for _ in range(count):
        load.lag(seconds)


def test_nothing_to_do_is_not_too_much() -> None:
    assert load().too_much(0.0) is None


def test_slow_answers_are() -> None:
    server = load()
    turns(server, 4.1, 0.0)
    assert server.too_much(0.0) == "turn latency"


def test_a_few_slow_answers_say_nothing() -> None:
    server = load()
    turns(server, 50.0, 0.0, FEWEST_TURNS - 1)
    assert server.too_much(0.0) is None
    turns(server, 50.0, 0.0, 1)
    assert server.too_much(0.0) == "turn latency"


def test_one_slow_answer_of_twenty_is_within_the_p95() -> None:
    server = load()
    turns(server, 1.0, 0.0, 20)
    turns(server, 50.0, 0.0, 1)
    assert server.turn_p95_s(0.0) == 1.0
    turns(server, 50.0, 0.0, 1)
    assert server.turn_p95_s(0.0) == 50.0


def test_a_late_loop_is() -> None:
    server = load()
    lags(server, 0.2, LAGS - 1)
    assert server.too_much(0.0) is None
    lags(server, 0.2, 1)
    assert server.too_much(0.0) == "event loop lag"


def test_a_pause_is_no_late_loop() -> None:
    server = load()
    lags(server, 0.0)
    lags(server, 2.0, LAGS // 2 - 1)
    assert server.too_much(0.0) is None


def test_old_turns_are_forgotten() -> None:
    server = load()
    turns(server, 9.0, 0.0)
    assert server.turn_p95_s(RECENT_S) == 9.0
    assert server.turn_p95_s(RECENT_S + 0.1) == 0.0


def test_it_does_not_flap() -> None:
    """Once it is too much, it is so until all has been well below the limits for a while."""
    server = load()
    lags(server, 0.2)
    assert server.too_much(0.0) == "event loop lag"
    lags(server, 0.09)
    assert server.too_much(100.0) == "event loop lag", "just below is not enough"
    lags(server, 0.01)
    assert server.too_much(101.0) == "event loop lag", "the calm begins"
    assert server.too_much(101.0 + CALM_S - 0.1) == "event loop lag"
    lags(server, 0.09)
    assert server.too_much(101.0 + CALM_S) == "event loop lag", "and was disturbed"
    lags(server, 0.01)
    assert server.too_much(200.0) == "event loop lag"
    assert server.too_much(200.0 + CALM_S) is None
    lags(server, 0.09)
    assert server.too_much(201.0 + CALM_S) is None


def test_limits_that_are_none() -> None:
    server = load(slow_turn_s=0.0, lag_s=0.0)
    turns(server, 50.0, 0.0)
    lags(server, 50.0)
    assert server.too_much(0.0) is None
