"""The search for the largest number of sessions, against made-up servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from voxtral_voice.bench.capacity import Capacity, Measure, Trial, refusal, search


def trial(
    sessions: int, p95_ms: float, *, missed: int = 0, underruns: int = 0, memory_mb: float | None = None
) -> Trial:
    return Trial(
        sessions, 10 * sessions, p95_ms * 0.8, p95_ms, missed, 0, underruns, 1.0, late=False, memory_mb=memory_mb
    )


def server(p95_ms: Callable[[int], float], asked: list[tuple[int, bool]]) -> Measure:
    async def measure(sessions: int, long: bool) -> Trial:
        asked.append((sessions, long))
        return trial(sessions, p95_ms(sessions))

    return measure


@pytest.mark.parametrize("holds", range(1, 40))
async def test_finds_the_largest_number(holds: int) -> None:
    found = await search(server(lambda n: 600 if n <= holds else 2_000, []), most=64)
    assert found.sessions == holds


async def test_doubles_then_bisects_then_holds() -> None:
    asked: list[tuple[int, bool]] = []
    await search(server(lambda n: 600 if n <= 5 else 2_000, asked), most=64)
    assert asked == [(1, False), (2, False), (4, False), (8, False), (6, False), (5, False), (5, True)]


async def test_a_server_without_a_limit_is_tried_up_to_the_most() -> None:
    asked: list[tuple[int, bool]] = []
    found = await search(server(lambda _: 600, asked), most=12)
    assert found.sessions == 12
    assert asked == [(1, False), (2, False), (4, False), (8, False), (12, False), (12, True)]


async def test_one_session_that_is_too_slow_is_none() -> None:
    found = await search(server(lambda _: 1_501, []), most=8)
    assert (found.sessions, len(found.trials)) == (0, 1)
    assert found.trials[0].refused_for == "p95 1501 ms is over 1500 ms"


async def test_the_limit_is_a_quarter_above_one_session() -> None:
    found = await search(server(lambda n: 400 + 50 * (n - 1), []), most=8)
    assert (found.sessions, found.limit_p95_ms) == (3, 500)


async def test_a_given_limit_stands_alone() -> None:
    found = await search(server(lambda n: 1_000 * n, []), most=8, limit_p95_ms=4_000)
    assert found.sessions == 4


async def test_a_number_that_does_not_hold_for_long_is_not_claimed() -> None:
    async def measure(sessions: int, long: bool) -> Trial:
        return trial(sessions, 2_000 if long and sessions > 2 else 600)

    assert (await search(measure, most=4)).sessions == 2


def test_what_is_too_many() -> None:
    assert refusal(trial(2, 500, missed=1), 600) == "1 of 20 turns had no answer"
    assert refusal(trial(2, 500, underruns=1), 600) == "1 underruns in 20 replies"
    assert refusal(trial(2, 500), 600) == ""
    late = dataclasses.replace(trial(2, 500), lateness_p99_ms=10.6, late=True)
    assert refusal(late, 600).startswith("the bench itself was 11 ms late (p99)")
    rude = dataclasses.replace(trial(2, 500), cut_ins=2)
    assert refusal(rude, 600) == "2 of 20 turns were cut into"
    full = dataclasses.replace(trial(2, 0), refused_for="HTTP 503")
    assert refusal(full, 600) == "HTTP 503"


def test_memory_per_session_is_a_slope() -> None:
    trials = tuple(trial(n, 500, memory_mb=900 + 4 * n) for n in (1, 2, 4, 8, 6))
    assert Capacity(6, 600, trials).memory_mb_per_session() == pytest.approx(4)
    assert Capacity(6, 600, trials).as_json()["memory_mb_per_session"] == 4.0
    assert Capacity(1, 600, trials[:1]).as_json()["memory_mb_per_session"] is None


# --- a bench that is late itself --------------------------------------------------------------------------------


def late_from(sessions: int) -> Measure:
    async def measure(asked: int, long: bool) -> Trial:
        return dataclasses.replace(trial(asked, 600), late=asked >= sessions)

    return measure


async def test_late_with_one_session_nothing_is_known() -> None:
    found = await search(late_from(1), most=8)
    assert (found.sessions, found.void, len(found.trials)) == (0, True, 2)


async def test_late_with_more_the_server_may_hold_more() -> None:
    found = await search(late_from(3), most=8)
    assert (found.sessions, found.at_least, found.void) == (2, True, False)


async def test_a_server_at_its_limit_is_at_its_limit() -> None:
    found = await search(server(lambda n: 600 if n <= 2 else 2_000, []), most=8)
    assert (found.sessions, found.at_least) == (2, False)


async def test_late_once_is_tried_again() -> None:
    late = iter([True, False, False, False])

    async def measure(asked: int, long: bool) -> Trial:
        return dataclasses.replace(trial(asked, 600), late=next(late))

    assert (await search(measure, most=2)).sessions == 2


async def test_each_trial_is_told_with_its_reason() -> None:
    told: list[str] = []
    await search(
        server(lambda n: 600 if n < 2 else 2_000, []), most=2, after_trial=lambda t: told.append(t.refused_for)
    )
    assert told == ["", "p95 2000 ms is over 750 ms"]
