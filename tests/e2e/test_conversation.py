"""Conversations with real models over a real socket, spoken and heard, through the stock `openai` SDK."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.e2e.caller import RATE_HZ, Caller, Reply, calling
from tests.e2e.speech import Studio, frequency_hz, plain, studio_of, word_errors
from voxtral_voice.audio.level import rms_dbfs

embedded = pytest.mark.parametrize("live_server", ["embedded"], indirect=True)
scripted = pytest.mark.parametrize("live_server", ["fake"], indirect=True)

GREETING: Final = "Hello! How can I help you?"
STORY: Final = (
    "Once upon a time there was a small house at the edge of the forest. "
    "An old man lived there with his dog and two grey cats. "
    "Every morning he walked down to the river and counted the boats. "
    "In the evening he told the animals what he had seen on the water."
)
"""Some 15 s when it is spoken."""


@pytest.fixture(scope="session")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


# --- one question -----------------------------------------------------------------------------------------------


@pytest.mark.models
@embedded
async def test_a_spoken_question_gets_a_spoken_answer(live_server: str, studio: Studio) -> None:
    question = "What is the capital of France?"
    async with calling(live_server) as caller:
        reply = await caller.ask(await studio.say(question))
        heard = await caller.transcript(0)
    caller.judge()
    assert word_errors(question, heard) <= 0.2
    assert reply.done.status == "completed"
    assert rms_dbfs(reply.audio) > -35
    assert len(reply.text.split()) >= 3
    assert word_errors(reply.text, await studio.hear(reply.audio)) <= 0.15
