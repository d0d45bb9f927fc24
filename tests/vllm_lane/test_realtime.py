from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.vllm_lane.proxy import proxy_to
from tests.vllm_lane.servers import DELAY_MS, MAX_REQUESTS, Served
from tests.vllm_lane.sounds import sound
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, TranscriptStream
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm.realtime import VllmRealtime
from voxtral_voice.errors import EngineError

TOKEN_MS = 80
FRAME_MS = 10
TAIL_WORDS = 10
"""The tiny model writes a word at every step; so many belong to the silence behind the sound's end."""


@pytest.fixture
async def engine(realtime: Served) -> AsyncIterator[VllmRealtime]:
    engine = VllmRealtime(realtime.remote, DELAY_MS)
    await engine.start()
    yield engine
    await engine.aclose()


async def heard(engine: VllmRealtime, audio: Samples) -> str:
    return (await engine.transcribe(audio, language=None, prompt="", final=True)).text


async def pushed(stream: TranscriptStream, audio: Samples, *, packet_ms: int = 100) -> str:
    """Returns the words so far."""
    step, text = LISTEN_RATE_HZ * packet_ms // 1000, ""
    for at in range(0, len(audio), step):
        text = await stream.push(audio[at : at + step])
    return text


def alike(some: str, others: str) -> float:
    """Share of words that are the same in the same place."""
    pairs = list(zip(some.split(), others.split(), strict=True))
    return sum(one == other for one, other in pairs) / len(pairs)


async def test_the_server_says_another_delay_than_was_asked_for(realtime: Served) -> None:
    engine = VllmRealtime(realtime.remote, 480)
    with pytest.raises(EngineError, match=r"240 ms.*480 ms"):
        await engine.start()


async def test_a_model_that_hears_whole_turns_is_refused(mini: Served) -> None:
    engine = VllmRealtime(mini.remote, DELAY_MS)
    with pytest.raises(EngineError, match="no Voxtral Realtime model"):
        await engine.start()


async def test_the_same_words_as_transformers(engine: VllmRealtime, realtime: Served) -> None:
    """The same weights and the same sound: the same prompt, padding and model. Nearly all words: where random weights
    leave two of them all but equally likely, rounding decides."""
    audio = sound(4)
    expected = await asyncio.to_thread(words_of_transformers, realtime.checkpoint, audio)
    assert len(expected.split()) == 4000 // TOKEN_MS + TAIL_WORDS
    assert alike(await heard(engine, audio), expected) > 0.9


def words_of_transformers(checkpoint: Path, audio: Samples) -> str:
    """With the spectrogram as vLLM (0.32) makes it: behind the prompt, its frames lie 2.5 ms before those that
    transformers makes, because vLLM cuts the sound 52.5 ms before each token, which is no multiple of 10 ms. Real
    weights do not mind; a quarter of the words of random ones does."""
    import torch
    from transformers import AutoProcessor, VoxtralRealtimeForConditionalGeneration

    model = VoxtralRealtimeForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
    inputs = processor(audio, sampling_rate=LISTEN_RATE_HZ, return_tensors="pt")
    late = np.concatenate((np.zeros(LISTEN_RATE_HZ // 400, np.float32), audio))
    shifted = processor(late, sampling_rate=LISTEN_RATE_HZ, return_tensors="pt")["input_features"]
    frames, prompt = inputs["input_features"].shape[-1], inputs["input_ids"].shape[-1]
    cut = prompt * TOKEN_MS // FRAME_MS
    inputs["input_features"][..., cut:] = shifted[..., cut:frames]
    written = model.generate(**inputs, do_sample=False, max_length=frames * FRAME_MS // TOKEN_MS)
    text: str = processor.batch_decode(written[:, prompt:], skip_special_tokens=True)[0]
    return text


async def test_packets_of_any_size_make_the_same_words(engine: VllmRealtime) -> None:
    audio, rng = sound(3, seed=1), random.Random(1)
    stream = engine.stream(language=None, prompt="")
    at = 0
    while at < len(audio):
        size = rng.randrange(1, 4000)
        await stream.push(audio[at : at + size])
        at += size
    text = (await stream.flush()).text
    await stream.aclose()
    assert text == await heard(engine, audio)


async def test_words_come_while_the_turn_goes_on(engine: VllmRealtime) -> None:
    audio = sound(3, seed=2)
    stream = engine.stream(language=None, prompt="")
    said = ""
    for at in range(0, len(audio), LISTEN_RATE_HZ // 10):
        text = await stream.push(audio[at : at + LISTEN_RATE_HZ // 10])
        await asyncio.sleep(0.1)
        assert text.startswith(said)
        said = text
    final = (await stream.flush()).text
    await stream.aclose()
    assert len(said.split()) > 10
    assert final.startswith(said)


async def test_a_flush_leaves_the_turn_as_it_was(engine: VllmRealtime) -> None:
    audio = sound(4, seed=3)
    first, second, third = audio[:16000], audio[16000:35200], audio[35200:]
    stream = engine.stream(language=None, prompt="")
    await pushed(stream, first)
    assert (await stream.flush()).text == await heard(engine, first)
    await pushed(stream, second)
    assert (await stream.flush()).text == await heard(engine, audio[:35200])
    assert (await stream.flush()).text == await heard(engine, audio[:35200])
    await pushed(stream, third)
    assert (await stream.flush()).text == await heard(engine, audio)
    await stream.aclose()


async def test_several_turns_at_once(engine: VllmRealtime) -> None:
    """More than the server works on at once."""
    sounds = [sound(2, seed=seed) for seed in range(MAX_REQUESTS + 2)]
    alone = [await heard(engine, audio) for audio in sounds]
    assert len(set(alone)) > 1
    assert await asyncio.gather(*(heard(engine, audio) for audio in sounds)) == alone


async def test_a_turn_that_is_dropped_costs_the_server_nothing_more(engine: VllmRealtime, realtime: Served) -> None:
    stream = engine.stream(language=None, prompt="")
    await pushed(stream, sound(2))
    assert await realtime.metric("vllm:kv_cache_usage_perc") > 0
    await stream.aclose()
    await realtime.until_idle()


async def test_a_flush_that_is_cancelled(engine: VllmRealtime) -> None:
    audio = sound(3, seed=4)
    stream = engine.stream(language=None, prompt="")
    await pushed(stream, audio[:32000])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await stream.flush()
    await pushed(stream, audio[32000:])
    assert (await stream.flush()).text == await heard(engine, audio)
    await stream.aclose()


async def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost(realtime: Served) -> None:
    async with proxy_to(realtime.port) as proxy:
        engine = VllmRealtime(Remote(f"http://127.0.0.1:{proxy.port}/v1", realtime.model), DELAY_MS)
        await engine.start()
        audio = sound(3, seed=5)
        expected = await heard(engine, audio)
        stream = engine.stream(language=None, prompt="")
        await pushed(stream, audio[:24000])
        before = proxy.connections
        proxy.cut()
        await pushed(stream, audio[24000:])
        assert (await stream.flush()).text == expected
        assert proxy.connections > before
        await stream.aclose()
        await engine.aclose()


async def test_a_turn_that_is_longer_than_the_model_can_hear(engine: VllmRealtime) -> None:
    """60 s for a model of 41: it begins anew in a pause, and goes on."""
    audio = sound(60, seed=6)
    stream = engine.stream(language=None, prompt="")
    await pushed(stream, audio[: 50 * LISTEN_RATE_HZ], packet_ms=1000)
    await pushed(stream, audio[50 * LISTEN_RATE_HZ :], packet_ms=1000)
    text = (await stream.flush()).text
    await stream.aclose()
    assert 60_000 // TOKEN_MS <= len(text.split()) <= 60_000 // TOKEN_MS + 5 * TAIL_WORDS
