"""Tricky texts, spoken by Kokoro and written down by Whisper: they are understood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.speech import Studio, studio_of

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def studio(model_files: Callable[[str], Path]) -> Studio:
    return studio_of(model_files)


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("It costs $3.50, or £20, or ₹1,00,000.", ("3.50", "20 pounds", "100,000 rupees")),
        ("Visit https://example.com/docs on 11/23/2026 at 5:30 pm.", ("slash docs", "November 23", "2026")),
    ],
)
async def test_what_is_said_is_heard(studio: Studio, written: str, heard: tuple[str, ...]) -> None:
    transcript = await studio.hear(await studio.say(written))
    assert [words for words in heard if words not in transcript] == [], transcript
