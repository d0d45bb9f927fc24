"""Which words of an interrupted reply were played: found by listening to what was played, after the conversation.

Knows: a transcriber (Whisper base, on this machine). Does not know: what the server thinks was heard (`words`
compares). The transcriber never sees the reply's text, and only a reply that an interruption broke off is listened to.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from voxtral_voice.audio.pcm import Samples
from voxtral_voice.audio.resample import resample
from voxtral_voice.bench.attribution import exchanges
from voxtral_voice.bench.player import PLAY_RATE_HZ, Played
from voxtral_voice.bench.record import SessionRecord
from voxtral_voice.engines.base import LISTEN_RATE_HZ
from voxtral_voice.engines.whisper import Whisper
from voxtral_voice.weights import default_weights_dir
from voxtral_voice.weights.catalogue import catalogue
from voxtral_voice.weights.fetch import ensure

FOLDER: Final = "whisper-base"

Ear = Callable[[Samples, str], Awaitable[str]]
"""(audio at LISTEN_RATE_HZ, language) -> words."""


async def listened(records: Sequence[SessionRecord]) -> tuple[SessionRecord, ...]:
    """With `by_ear` of every interrupted reply of which the server said what was heard. Raises WeightsError,
    EngineError; loads nothing when there is no such reply."""
    if not any(_interrupted(record) for record in records):
        return tuple(records)
    async with transcriber() as ear:
        return tuple([await _listened(record, ear) for record in records])


async def _listened(record: SessionRecord, ear: Ear) -> SessionRecord:
    heard = {name: await ear(audio_played(played), language) for name, played, language in _interrupted(record)}
    return replace(record, by_ear=heard)


def _interrupted(record: SessionRecord) -> list[tuple[str, Played, str]]:
    return list(_interrupted_of(record))


def _interrupted_of(record: SessionRecord) -> Iterator[tuple[str, Played, str]]:
    for exchange in exchanges(record):
        older = exchange.older
        if exchange.said.purpose == "barge_in" and older and older.played and older.remembered is not None:
            yield older.played.reply, older.played, exchange.said.language


def audio_played(played: Played) -> Samples:
    """At LISTEN_RATE_HZ."""
    count = round(played.played_ms(math.inf) * PLAY_RATE_HZ / 1000)
    return resample(played.audio[:count], PLAY_RATE_HZ, LISTEN_RATE_HZ)


@asynccontextmanager
async def transcriber() -> AsyncIterator[Ear]:
    weights = default_weights_dir()
    ensure([file for file in catalogue() if file.name.startswith(f"{FOLDER}/")], weights)
    whisper = Whisper(weights / FOLDER)
    await whisper.start()

    async def ear(audio: Samples, language: str) -> str:
        return (await whisper.transcribe(audio, language=language, prompt="", final=True)).text

    try:
        yield ear
    finally:
        await whisper.aclose()
