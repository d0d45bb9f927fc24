"""What the standard set says, and how long it may take; nothing is measured here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks import standard
from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.endpoint import turn_detection
from voxtral_voice.bench.measure import Measured, Target

STEP_S = 5.7
"""As measured on the machine of the README's figures; a sound over a reply, or an echo, is no shorter than a turn."""


def seconds(words: list[str]) -> float:
    """Without the capacity."""
    options = standard.parse(words)
    steps = options.questions + options.intents + options.holds + options.taps + options.echoes + options.barge_ins
    runs = len(standard.SWEEP + standard.SWEEP_SILENCE if options.full else standard.SWEEP_USUAL)
    turns = steps + standard.WARM_UP + runs * (options.sweep + standard.WARM_UP)
    return float(STEP_S * turns + 1.2 * options.noise_s)


def test_the_set_takes_a_quarter_of_an_hour_and_the_full_one_less_than_an_hour() -> None:
    assert seconds([]) < 15 * 60
    assert seconds(["--full"]) < 50 * 60


def test_what_is_named_goes_before_the_numbers_of_the_set() -> None:
    options = standard.parse(["--questions", "0", "--no-capacity"])
    assert (options.questions, options.holds, options.capacity) == (0, standard.USUAL["holds"], False)
    assert standard.parse([]).capacity is True


def test_every_setting_of_the_sweep_is_one() -> None:
    assert [turn_detection(each) for each in standard.SWEEP[:2]] == [
        {"type": "semantic_vad", "patience": 0.0},
        {"type": "semantic_vad", "patience": 0.25},
    ]
    for each in (*standard.SWEEP, *standard.SWEEP_SILENCE, *standard.SWEEP_USUAL):
        assert turn_detection(each) is not None


def test_noise_is_shared_out_evenly() -> None:
    sounds = standard.noise(60)
    assert len(sounds) == 6
    assert {len(clip.samples) / clip.rate_hz for clip in sounds} == {10.0}
    assert {clip.end_s for clip in standard.noise(90)} == {15.0}
    assert standard.noise(0) == ()


def some(name: str, count: int) -> tuple[Clip, ...]:
    return standard.noise(6)[:1] if count else ()


@pytest.mark.parametrize(("stops_at", "kept"), [(1, 1), (2, 2)])
async def test_an_interruption_keeps_the_runs_that_there_are(
    stops_at: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    async def said(*told: Any) -> Measured:
        ran.append(told[-1])
        return Measured((), None, interrupted=len(ran) == stops_at)

    monkeypatch.setattr(standard, "said", said)
    monkeypatch.setattr(standard, "some", some)
    found = standard.Everything()
    await standard.everything(standard.parse([]), Target("ws://there"), found)
    assert [name for name, _ in found.runs] == ["default", "semantic_vad:0"][:kept]
    assert found.interrupted


async def test_without_a_run_there_is_nothing_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def said(*told: Any) -> Measured:
        raise asyncio.CancelledError

    monkeypatch.setattr(standard, "said", said)
    monkeypatch.setattr(standard, "some", some)
    with pytest.raises(asyncio.CancelledError):
        await standard.everything(standard.parse([]), Target("ws://there"), standard.Everything())
