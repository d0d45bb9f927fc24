"""What is left of V2V when everything known is taken off."""

from __future__ import annotations

import numpy as np
import pytest

from voxtral_voice.bench.clip import Clip
from voxtral_voice.bench.overhead import endpoint_wait_ms, overhead
from voxtral_voice.bench.record import AudioArrived, ReplyBegan, ReplyEnded, Said, SessionRecord
from voxtral_voice.bench.turn import TurnFigures, turns
from voxtral_voice.engines.fakes import FakeVoiceActivity
from voxtral_voice.errors import BenchError

TONE = (0.3 * np.sin(2 * np.pi * 440 / 24_000 * np.arange(24_000))).astype(np.float32)


def answered(clip: str, after_s: float | None) -> TurnFigures:
    """A turn answered so many seconds after its end; None = never."""
    said = Said(clip, "turn", "turn", "hello", "en", "", begin=10.0, onset=10.0, end=11.0)
    at = 11.0 + (after_s or 0)
    seen = (ReplyBegan(at, "r"), AudioArrived(at, "r", TONE), ReplyEnded(at, "r", "completed")) if after_s else ()
    (turn,) = turns(SessionRecord((said,), seen, (1.0,), 0.0, 40.0))
    return turn


def speech(end_s: float, rate_hz: int = 16_000) -> Clip:
    """As an energy gate knows it: loud until `end_s`, then silence."""
    samples = np.full(round(end_s * rate_hz), 0.5, np.float32)
    return Clip("made/loud", "turn", "", "en", samples, rate_hz, onset_s=0.0, end_s=end_s)


# --- overhead ---------------------------------------------------------------------------------------------------


def test_is_what_is_left() -> None:
    measured = overhead([answered("a", 1.02), answered("b", 0.92)], {"a": 1_000, "b": 900})
    assert measured.overhead_ms.p50 is not None
    assert measured.overhead_ms.p50.value == pytest.approx(20, abs=0.2)
    assert (measured.turns, measured.missed) == (2, 0)


def test_is_negative_for_one_that_works_while_it_waits() -> None:
    measured = overhead([answered("a", 0.7)], {"a": 1_000})
    assert measured.overhead_ms.p50 is not None
    assert measured.overhead_ms.p50.value == pytest.approx(-300, abs=0.2)


def test_a_missed_turn_counts_with_its_deadline() -> None:
    measured = overhead([answered("a", None)], {"a": 1_000})
    assert measured.overhead_ms.p50 is not None
    assert (measured.missed, measured.overhead_ms.p50.value) == (1, 14_000)


def test_a_clip_of_which_nothing_is_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        overhead([answered("a", 1.0)], {})


# --- the wait for the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence_ms", [96, 320, 640])
async def test_the_wait_is_the_silence_and_half_a_frame(silence_ms: float) -> None:
    ends = [1.0 + 0.004 * i for i in range(8)]
    waits = [await endpoint_wait_ms(speech(end), silence_ms, FakeVoiceActivity()) for end in ends]
    assert np.mean(waits) == pytest.approx(silence_ms + 16, abs=5)


async def test_speech_without_an_end_is_an_error() -> None:
    with pytest.raises(BenchError, match="made/loud: no end of speech is heard within 2 s"):
        await endpoint_wait_ms(speech(1.0), 3_000, FakeVoiceActivity())


async def test_a_pause_inside_is_not_the_end() -> None:
    whole = speech(2.0)
    whole.samples[8_000:16_000] = 0
    assert await endpoint_wait_ms(whole, 320, FakeVoiceActivity()) == pytest.approx(336, abs=20)
