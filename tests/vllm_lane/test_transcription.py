from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.vllm_lane.servers import MAX_REQUESTS, Served
from tests.vllm_lane.sounds import sound
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples
from voxtral_voice.engines.vllm.transcription import FEWEST_TOKENS, TOKENS_PER_S, VllmTranscriber
from voxtral_voice.engines.voxtral.mini_model import MiniModel
from voxtral_voice.engines.voxtral.mini_transcriber import MiniTranscriber
from voxtral_voice.errors import EngineError, RequestError


@pytest.fixture
async def engine(mini: Served) -> AsyncIterator[VllmTranscriber]:
    engine = VllmTranscriber(mini.remote)
    await engine.start()
    yield engine
    await engine.aclose()


async def heard(engine: VllmTranscriber, audio: Samples, language: str | None = "en") -> str:
    return (await engine.transcribe(audio, language=language, prompt="", final=True)).text


async def test_words_up_to_the_limit(engine: VllmTranscriber) -> None:
    """The tiny model never ends by itself: one token is one word or one mark."""
    text = await heard(engine, sound(2))
    marks = sum(text.count(mark) for mark in ".,?")
    words = len(text.replace(".", " ").replace(",", " ").replace("?", " ").split())
    assert words + marks == FEWEST_TOKENS + 2 * TOKENS_PER_S


async def test_begins_with_the_same_words_as_in_this_process(engine: VllmTranscriber, mini: Served) -> None:
    """The same weights and the same sound: the same prompt, spectrogram and model. Not for all sounds: where random
    weights leave two words all but equally likely, rounding decides, and what follows is another text."""
    ours = MiniTranscriber(MiniModel(mini.checkpoint))
    await ours.start()
    try:
        same = [await begins_alike(engine, ours, sound(2, seed=seed)) for seed in range(6)]
    finally:
        await ours.aclose()
    assert sum(same) >= 5


async def begins_alike(one: VllmTranscriber, other: MiniTranscriber, audio: Samples) -> bool:
    """In all that the one of them writes which stops first, going round in circles."""
    expected = (await other.transcribe(audio, language="en", prompt="", final=True)).text
    assert expected
    return (await heard(one, audio)).startswith(expected)


async def test_another_language_is_another_prompt(engine: VllmTranscriber) -> None:
    audio = sound(2)
    assert len({await heard(engine, audio, language) for language in (None, "en", "hi")}) == 3


async def test_a_language_that_is_none(engine: VllmTranscriber) -> None:
    with pytest.raises(RequestError, match="Unsupported language"):
        await heard(engine, sound(1), "xx")


async def test_longer_than_one_stretch_of_30_s(engine: VllmTranscriber) -> None:
    assert len((await heard(engine, sound(35))).split()) > 100


async def test_longer_than_the_model_can_take(engine: VllmTranscriber) -> None:
    with pytest.raises(RequestError):
        await heard(engine, sound(165))


async def test_silence_is_not_asked_about(engine: VllmTranscriber, mini: Served) -> None:
    before = await mini.metric("vllm:prompt_tokens_total")
    assert await heard(engine, np.zeros(LISTEN_RATE_HZ, np.float32)) == ""
    assert await mini.metric("vllm:prompt_tokens_total") == before


async def test_several_at_once(engine: VllmTranscriber) -> None:
    """More than the server works on at once."""
    sounds = [sound(1, seed=seed) for seed in range(MAX_REQUESTS + 2)]
    texts = await asyncio.gather(*(heard(engine, audio) for audio in sounds))
    assert all(texts)
    assert len(set(texts)) > 1


async def test_cancelling_ends_the_servers_work(engine: VllmTranscriber, mini: Served) -> None:
    """Random words may end at any time, so several recordings are tried until one is caught at work."""
    for seed in range(20):
        ends = await mini.metric("vllm:request_success_total")
        work = asyncio.create_task(heard(engine, sound(60, seed=seed)))
        while not work.done():
            if await mini.metric("vllm:num_requests_running"):
                break
            await asyncio.sleep(0.005)
        work.cancel()
        (outcome,) = await asyncio.gather(work, return_exceptions=True)
        await mini.until_idle()
        if isinstance(outcome, asyncio.CancelledError):
            assert await mini.metric("vllm:request_success_total") - ends <= 1
            return
    pytest.fail("no transcript took long enough to be cut off")


async def test_a_realtime_model_is_refused_and_survives_it(realtime: Served) -> None:
    engine = VllmTranscriber(realtime.remote)
    with pytest.raises(EngineError, match="Realtime"):
        await engine.start()
    assert realtime.process.failing is None
