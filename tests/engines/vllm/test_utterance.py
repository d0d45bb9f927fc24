"""One utterance, and when its server counts as hung. Every fault of a server: `test_realtime`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.engines.odd_server import PATIENCE_S
from tests.engines.vllm.recorded import Fault, RecordedVllm, silence, speech, words
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.engines.openai_http import OpenAIServer
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import utterance as module
from voxtral_voice.engines.vllm.sockets import opened
from voxtral_voice.engines.vllm.utterance import Utterance
from voxtral_voice.errors import EngineError


@asynccontextmanager
async def talking(
    fault: Fault | None = None, hang_s: float = PATIENCE_S
) -> AsyncIterator[tuple[RecordedVllm, Utterance]]:
    vllm = RecordedVllm(faults=deque([fault]))
    async with vllm.running(), asyncio.timeout(PATIENCE_S):
        utterance = Utterance(await opened(OpenAIServer("transcriber", Remote(vllm.url, "tiny"))), 480, hang_s)
        try:
            yield vllm, utterance
        finally:
            utterance.socket.cut()


def pcm(*numbers: int) -> bytearray:
    return bytearray(float_to_pcm16(speech(*numbers)))


async def test_only_what_is_new_is_sent() -> None:
    async with talking() as (vllm, utterance):
        sound = pcm(1, 2, 3, 4)
        for end in (2, 5000, 5000, len(sound)):
            await utterance.say(sound[:end])
        assert (await utterance.finish()).text.strip() == words(1, 2, 3, 4)
        assert np.allclose(vllm.heard[0].sound, speech(1, 2, 3, 4), atol=1e-4)


async def test_an_end_that_was_not_waited_for_can_be_waited_for_later() -> None:
    async with talking() as (vllm, utterance):
        await utterance.say(pcm(1, 2))
        async with asyncio.TaskGroup() as group:
            end = group.create_task(utterance.finish())
            await asyncio.sleep(0)
            end.cancel()
        assert end.cancelled()
        assert utterance.finishing
        assert (await utterance.finish()).text.strip() == words(1, 2)
        assert len(vllm.heard) == 1


async def test_nothing_is_started_before_there_is_sound() -> None:
    async with talking() as (vllm, utterance):
        await utterance.say(bytearray())
        await utterance.listen(0.0)
        assert vllm.heard == []


async def test_words_are_waited_for_as_long_as_they_are_due() -> None:
    async with talking() as (_, utterance):
        await utterance.say(pcm(1, 2) + bytearray(float_to_pcm16(silence(560))))
        await utterance.listen(PATIENCE_S)
        assert utterance.hearing.behind == 0
        assert utterance.hearing.text == words(1, 2)
        await utterance.listen(PATIENCE_S)  # nothing is due: nothing is waited for


async def test_a_server_hangs_when_a_token_is_due_for_too_long_and_not_before() -> None:
    async with talking(Fault("hang", after=2), hang_s=0.1) as (vllm, utterance):
        await utterance.say(pcm(1, 2))
        await vllm.until(lambda: bool(vllm.heard) and vllm.heard[0].tokens == 2)
        await asyncio.sleep(0.15)
        await utterance.listen(0.0)  # two came while nobody listened
        assert utterance.hearing.tokens == 2
        with pytest.raises(EngineError) as caught:
            await listening(utterance)
        assert str(caught.value).endswith("/v1/realtime was sent sound and said nothing for 0.1 s.")
        assert caught.value.told == "The transcriber's server was sent sound and said nothing for 0.1 s."


async def listening(utterance: Utterance) -> None:
    """As pushes do."""
    while True:
        await utterance.listen(0.02)


async def test_what_came_while_nobody_listened_is_no_hang() -> None:
    async with talking(hang_s=0.1) as (_, utterance):
        await utterance.say(pcm(1, 2, 3))
        await asyncio.sleep(0.2)
        await utterance.listen(0.0)
        assert utterance.hearing.behind == 0


async def test_a_server_that_is_too_slow_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FINISH_S", 0.0)
    monkeypatch.setattr(module, "HANG_S", 1.0)
    monkeypatch.setattr(module, "TOKEN_MS", 1)
    async with talking(Fault("slow"), hang_s=1.0) as (_, utterance):
        await utterance.say(pcm(1, 2))
        with pytest.raises(EngineError, match="had not heard all after 0 s"):
            await utterance.finish()


@pytest.mark.parametrize("after", [0, 8])
async def test_a_server_that_ends_an_utterance_by_itself(after: int) -> None:
    """As vLLM does at `max_model_len`."""
    async with talking(Fault("ends", after)) as (_, utterance):
        await utterance.say(pcm(1, 2, 3))
        with pytest.raises(EngineError, match=r"ended an utterance (by itself|before its end)"):
            await utterance.finish()
