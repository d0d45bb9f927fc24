"""A vLLM of somebody else is asked for before anything is loaded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.engines.vllm.recorded import RecordedVllm
from voxtral_voice.engines.fakes import FakeSpeaker
from voxtral_voice.engines.registry import fake
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm.theirs import Theirs
from voxtral_voice.errors import EngineError

NOBODY = Remote("http://127.0.0.1:9/v1", settings="voxtral.vllm_")


async def test_one_that_answers() -> None:
    server = RecordedVllm()
    async with server.running(), asyncio.timeout(30):
        theirs = Theirs(Remote(server.url))
        await theirs.start()
        await server.until(lambda: not server.open_connections)
        assert theirs.failing is None
        await theirs.aclose()


class Counted(FakeSpeaker):
    starts = 0

    async def start(self) -> None:
        self.starts += 1


async def test_nothing_is_loaded_beside_one_that_does_not_answer() -> None:
    speaker = Counted()
    engines = replace(fake(speaker=speaker), processes={"vllm mini": Theirs(NOBODY)})
    with pytest.raises(EngineError) as caught:
        await engines.start()
    assert str(caught.value) == (
        "No server answers at http://127.0.0.1:9/v1/models (Connection refused): start it, or correct voxtral.vllm_url."
    )
    assert speaker.starts == 0
