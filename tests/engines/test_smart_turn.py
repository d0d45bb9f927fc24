"""The turn judge: its window by definition, and the real model on finished and cut-off sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engines.speech import say, silence
from voxtral_voice.engines.log_mel import log_mel
from voxtral_voice.engines.smart_turn import WINDOW_SAMPLES, SmartTurn, features
from voxtral_voice.errors import EngineError

SENTENCES = ("I would like to book a table for two people tonight.", "How far away is the moon?")


@pytest.fixture
async def judge(model_files: Callable[[str], Path]) -> AsyncIterator[SmartTurn]:
    real = SmartTurn(model_files("smart-turn-v3.2.onnx"))
    await real.start()
    yield real
    await real.aclose()


def test_shorter_audio_stands_at_the_end_of_the_window() -> None:
    spoken = say("Yes.")
    window = np.concatenate((silence(8)[len(spoken) :], spoken))
    normal = (window - window.mean()) / window.std()
    np.testing.assert_allclose(features(spoken), log_mel(normal), atol=1e-3)


def test_of_longer_audio_only_the_last_8_s_count() -> None:
    long = np.concatenate([say(sentence) for sentence in SENTENCES] * 2)
    assert len(long) > WINDOW_SAMPLES
    np.testing.assert_array_equal(features(long), features(long[-WINDOW_SAMPLES:]))


@pytest.mark.models
@pytest.mark.parametrize("sentence", SENTENCES)
async def test_a_finished_sentence_is_complete_and_half_of_it_is_not(judge: SmartTurn, sentence: str) -> None:
    spoken = say(sentence)
    finished = await judge.complete_probability(spoken)
    halved = await judge.complete_probability(spoken[: len(spoken) // 2])
    assert finished > 0.9
    assert halved < 0.5


@pytest.mark.models
async def test_nothing_to_judge_is_refused(judge: SmartTurn) -> None:
    with pytest.raises(EngineError, match="takes mono samples"):
        await judge.complete_probability(silence(0))
    with pytest.raises(EngineError, match="takes mono samples"):
        await judge.complete_probability(silence(1)[None])


@pytest.mark.models
async def test_it_says_that_it_is_not_running(judge: SmartTurn) -> None:
    assert judge.name == "smart-turn-v3.2"
    await judge.aclose()
    await judge.aclose()
    with pytest.raises(EngineError, match=r"call start\(\) first"):
        await judge.complete_probability(silence(1))


async def test_a_missing_model_is_an_engine_error(tmp_path: Path) -> None:
    judge = SmartTurn(tmp_path / "absent.onnx")
    with pytest.raises(EngineError, match=r"absent\.onnx"):
        await judge.start()
    await judge.aclose()
