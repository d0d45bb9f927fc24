from __future__ import annotations

from typing import Any

import pytest

from voxtral_voice.config import Config
from voxtral_voice.server.patience import NEXT_THERE_S, RESPONDER_S, SPEAKER_S, THERE_S, TRANSCRIBER_S, Waits, waits

THERE = "http://127.0.0.1:1/v1"


def config(**parts: dict[str, Any]) -> Config:
    return Config.model_validate({"profile": "fake", **parts})


def test_an_engine_on_this_machine_may_be_slow() -> None:
    found = waits(config())
    assert found["transcriber"].first_s == TRANSCRIBER_S
    assert found["responder"] == Waits(RESPONDER_S, RESPONDER_S)
    assert found["speaker"] == Waits(SPEAKER_S, SPEAKER_S)


def test_one_behind_a_url_is_not_waited_for_that_long() -> None:
    there = {part: {"url": THERE} for part in ("transcriber", "responder", "speaker")}
    found = waits(config(**there))
    assert [found[part].first_s for part in there] == [THERE_S] * 3
    assert found["responder"].next_s == found["speaker"].next_s == NEXT_THERE_S
    assert found["transcriber"].for_audio(10) == THERE_S + 5


def test_more_audio_takes_more_time() -> None:
    found = waits(config())["transcriber"]
    assert found.for_audio(0) == TRANSCRIBER_S
    assert found.for_audio(30) == TRANSCRIBER_S + 30


@pytest.mark.parametrize("url", ["", THERE])
@pytest.mark.parametrize("part", ["transcriber", "responder", "speaker"])
def test_whoever_knows_better_says_so(part: str, url: str) -> None:
    assert waits(config(**{part: {"url": url, "timeout_s": 42}}))[part].first_s == 42


def test_one_that_is_slow_to_begin_may_be_as_slow_to_go_on() -> None:
    assert waits(config(responder={"url": THERE, "timeout_s": 42}))["responder"].next_s == 42
    assert waits(config(responder={"url": THERE, "timeout_s": 1}))["responder"].next_s == NEXT_THERE_S


def test_who_waits_for_a_chain_waits_for_both() -> None:
    chain = waits(config(responder={"url": THERE, "fallback_url": THERE}))["responder"]
    assert 2 * THERE_S < chain.first_s < 2 * THERE_S + 2
    here = waits(config(responder={"fallback_url": THERE}))["responder"]
    assert RESPONDER_S + THERE_S < here.first_s < RESPONDER_S + THERE_S + 2
