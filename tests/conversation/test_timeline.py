from __future__ import annotations

import pytest

from voxtral_voice.conversation.timeline import Timeline

FULL = Timeline(10.0, 10.1, 10.4, 10.5, 10.55, 10.6, 10.3, 10.6)


def test_stages_sum_to_the_whole() -> None:
    assert FULL.stages_ms() == {
        "silence": 100.0,
        "transcript": 300.0,
        "first_token": 100.0,
        "first_phrase": 50.0,
        "first_audio": 50.0,
        "hold": 0.0,
    }
    assert FULL.total_ms() == pytest.approx(600)
    assert FULL.endpoint_ms() == pytest.approx(300)
    assert FULL.offsets_ms()["commit"] == pytest.approx(300)
    assert FULL.offsets_ms()["speech_end"] == 0


def test_a_stage_that_was_not_reached_is_left_out() -> None:
    timeline = Timeline(speech_end=1.0, tentative_end=1.1, first_token=1.5)
    assert timeline.stages_ms() == {"silence": 100.0, "first_token": 400.0}
    assert timeline.total_ms() is None
    assert timeline.endpoint_ms() is None


def test_without_speech_there_is_nothing_to_tell() -> None:
    timeline = Timeline(commit=1.0, first_sent=2.0)
    assert (timeline.stages_ms(), timeline.offsets_ms()) == ({}, {})
    assert (timeline.total_ms(), timeline.endpoint_ms()) == (None, None)
