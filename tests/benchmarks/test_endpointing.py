from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.endpointing import (
    Arrival,
    Group,
    Setting,
    Silence,
    at_budgets,
    ended_ms,
    figures,
    outcomes,
    silence_alone,
    silence_wait,
    smart_turn_wait,
)
from voxtral_voice.conversation.endpoint import Signals

ARRIVAL = Arrival(judged_ms=50, words_ms=200, words_judged_ms=260)
SURE = Signals(0.9, "Is it far?", 0.8, "en")


def silence(kind: str, clip: str = "questions/far", lag_ms: float = 60, lasts_ms: float | None = None) -> Silence:
    return Silence(clip, kind, "en", lag_ms, lasts_ms, SURE)


def when_judged(signals: Signals) -> float:
    return 5000 if signals.words_judged is None else 100


@pytest.mark.parametrize("wait_ms", [64, 70, 200, 264, 300, 1000])
def test_silence_alone_ends_the_turn_when_its_wait_is_over(wait_ms: float) -> None:
    assert ended_ms(lambda _: wait_ms, SURE, ARRIVAL) == wait_ms


def test_nothing_is_over_before_its_signal_is_there() -> None:
    assert ended_ms(when_judged, SURE, ARRIVAL) == 64 + 260
    assert ended_ms(lambda s: smart_turn_wait(0.5, 100, 900, s), SURE, ARRIVAL) == 64 + 50
    assert ended_ms(lambda s: smart_turn_wait(0.95, 100, 900, s), SURE, ARRIVAL) == 900


def test_a_pause_is_cut_off_when_the_wait_is_shorter_and_an_end_has_its_lag() -> None:
    silences = [silence("put", lasts_ms=300), silence("own", lasts_ms=250), silence("end")]
    done = outcomes([Setting("270", lambda s: silence_wait(270, s))], silences, ARRIVAL)
    assert done.cut.tolist() == [[1.0, 0.0]]
    assert done.latency_ms.tolist() == [[330.0]]


def test_the_best_setting_within_a_budget_counts() -> None:
    cuts, latency_ms = np.array([20.0, 8.0, 4.0]), np.array([200.0, 400.0, 700.0])
    assert at_budgets(cuts, latency_ms) == [700.0, 400.0, 20.0, 8.0]
    assert math.isnan(at_budgets(cuts[:2], latency_ms[:2])[0])


def test_pauses_at_one_place_are_drawn_together() -> None:
    silences = [silence("put", f"hold-human/a-then-{ms}", lasts_ms=ms) for ms in (200, 400)]
    drawn = list(Group("some", [*silences, silence("put", "hold-human/b-so-200", lasts_ms=200)]).draws(False))
    assert drawn[0].tolist() == [0, 1, 2]
    assert {tuple(each) for each in map(sorted, drawn[1:])} == {(0, 1, 2), (0, 0, 1, 1), (2, 2)}


def test_figures_of_a_group() -> None:
    some = Group("some", [silence("put", "hold-human/a-then-400", lasts_ms=460), silence("end"), silence("end", "q/b")])
    rules = {"silence": silence_alone(), "Smart Turn": silence_alone(), "ours": [Setting("patience 0.5", when_judged)]}
    found = figures(some, rules, ARRIVAL)
    assert (found["pauses"], found["ends"]) == (1, 2)
    assert found["rules"]["silence"]["latency_at_5_percent_ms"] == {"value": 560.0, "low": 560.0, "high": 560.0}
    assert found["rules"]["ours"]["default_cut_offs_percent"]["value"] == 100.0
    assert found["rules"]["ours"]["latency_at_5_percent_ms"]["value"] is None
