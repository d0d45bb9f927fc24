"""Which stage is which target, and when a target is met."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.timeline import record, reply, said
from voxtral_voice.bench.record import Observation, ReplyEnded, Said
from voxtral_voice.bench.score import figures
from voxtral_voice.bench.targets import Judged

CASCADE = {"silence": 40, "transcript": 100, "first_token": 20, "first_phrase": 25, "first_audio": 150, "hold": 5}
DIRECT = {"silence": 40, "first_token": 120, "first_phrase": 60, "first_audio": 150, "hold": 5}


def table(*stages: dict[str, Any] | None, wait_s: float = 0.4, **changed: Any) -> dict[str, Judged]:
    """One turn for each, answered wait_s after its end; None: not answered."""
    things: list[Said] = []
    seen: list[list[Observation]] = []
    for number, each in enumerate(stages):
        begin, name = 20.0 * number, str(number)
        things.append(said(begin, begin + 1, **changed))
        if each is not None:
            answer = reply(name, begin + 1 + wait_s - 0.01)
            trace = {"stages_ms": each}
            seen.append([*answer[:2], ReplyEnded(answer[2].at, name, "completed", None, trace)])
    return {each.target: each for each in figures([record(things, *seen)]).targets}


def p50(judged: Judged) -> float | None:
    return judged.measured_ms.p50.value if judged.measured_ms.p50 else None


def test_the_stages_of_a_turn_sum_to_its_v2v() -> None:
    found = table(CASCADE)
    names = ("preprocessing", "understanding (Voxtral)", "response", "speech", "held for the end", "output")
    assert [p50(found[name]) for name in names] == [40, 100, 45, 150, 5, 60]
    assert sum(p50(found[name]) or 0 for name in names) == p50(found["V2V"]) == 400


def test_without_words_to_wait_for_the_first_word_of_the_answer_is_voxtrals() -> None:
    found = table(DIRECT)
    assert p50(found["understanding (Voxtral)"]) == 120
    assert p50(found["response"]) == 60


def test_the_response_is_judged_for_intents_alone() -> None:
    found = table(CASCADE, condition="intent")
    assert (found["response, intents"].verdict, p50(found["response, intents"])) == ("met", 45)
    assert found["response"].verdict == "not tried"
    assert table(CASCADE)["response"].verdict == ""
    assert found["V2V, intents"].verdict == "met"
    assert found["V2V"].verdict == "not tried"


@pytest.mark.parametrize(
    ("transcripts", "verdict"),
    [((100, 149), "met"), ((100, 100, 400), "met at p50"), ((100, 150, 400), "missed"), ((), "not tried")],
)
def test_a_target_is_met_below_its_limit(transcripts: tuple[float, ...], verdict: str) -> None:
    found = table(*(CASCADE | {"transcript": ms} for ms in transcripts))
    assert found["understanding (Voxtral)"].verdict == verdict


def test_a_missed_turn_is_in_v2v_alone() -> None:
    found = table(CASCADE, None)
    assert (found["V2V"].measured_ms.n, found["V2V"].verdict) == (2, "missed")
    assert found["preprocessing"].measured_ms.n == 1


def test_a_server_without_stages_is_judged_by_v2v() -> None:
    found = table({})
    assert found["V2V"].verdict == "met"
    tried = [name for name, each in found.items() if each.verdict != "not tried"]
    assert tried == ["V2V"]
