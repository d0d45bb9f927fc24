"""What is listened to; the transcriber itself is a list of words here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.bench.timeline import record, reply, said
from voxtral_voice.audio.pcm import Samples
from voxtral_voice.bench import ear
from voxtral_voice.bench.record import Flushed, Observation, Purpose, Remembered, SessionRecord, TextArrived
from voxtral_voice.bench.turn import turns
from voxtral_voice.engines.base import LISTEN_RATE_HZ

STORY = "The cat sat on the mat and slept."


def interrupted(*seen: Observation, purpose: Purpose = "barge_in") -> SessionRecord:
    """Heard from 1.21 to 2.41 s."""
    things = [said(0, 1), said(2, 3, purpose)]
    return record(things, [*reply("r", 1.2, 5.0)], TextArrived(1.3, "r", STORY), Flushed(2.41), list(seen))


@pytest.fixture
def lengths_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    heard: list[float] = []

    @asynccontextmanager
    async def listening() -> AsyncIterator[ear.Ear]:
        async def words(audio: Samples, language: str) -> str:
            assert language == "en"
            heard.append(round(len(audio) / LISTEN_RATE_HZ, 3))
            return "the cat sad on"

        yield words

    monkeypatch.setattr(ear, "transcriber", listening)
    return heard


async def test_what_was_played_of_an_interrupted_reply_is_listened_to(lengths_s: list[float]) -> None:
    (found,) = await ear.listened([interrupted(Remembered(4, "r", "The cat sat"))])
    assert found.by_ear == {"r": "the cat sad on"}
    assert lengths_s == [1.2]
    words = turns(found)[1].heard_words
    assert words is not None
    assert (words.played, words.told, words.off) == (4, 3, 1)


async def test_nothing_else_is(lengths_s: list[float]) -> None:
    records = [interrupted(), interrupted(Remembered(4, "r", "The cat"), purpose="tap"), record([said(0, 1)])]
    assert await ear.listened(records) == tuple(records)
    assert lengths_s == []
    assert turns(records[0])[1].heard_words is None
