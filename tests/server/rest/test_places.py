from __future__ import annotations

import asyncio

import pytest

from tests.server.conftest import Serving, quick
from tests.server.test_door import ask, assert_no_place, limited, refusal
from voxtral_voice.engines.fakes import FakeSpeaker

SPEECH = {"model": "tts-1", "input": "Hello there.", "voice": "alloy"}


class Waits(FakeSpeaker):
    """Until it may go on."""

    def __init__(self) -> None:
        super().__init__(first_audio_ms=0, realtime_factor=0)
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def _step(self, ms: float) -> None:
        self.begun.set()
        await self.may_go_on.wait()
        await super()._step(ms)


async def test_a_request_that_engines_work_for_has_a_place(serving: Serving) -> None:
    speaker = Waits()
    speaker.may_go_on.set()
    async with serving(quick(speaker=speaker), limited(sessions=1)) as server:
        speaker.may_go_on.clear()
        speaker.begun.clear()
        first = asyncio.ensure_future(ask(server, "/v1/audio/speech", "POST", json=SPEECH))
        await speaker.begun.wait()
        assert_no_place(await refusal(server), 503, "server_full")
        assert_no_place(await ask(server, "/v1/audio/speech", "POST", json=SPEECH), 503, "server_full")
        assert (await ask(server, "/v1/models")).status_code == 200
        speaker.may_go_on.set()
        assert (await first).status_code == 200
        assert server.runtime.admission.requests == 0
        assert (await ask(server, "/v1/audio/speech", "POST", json=SPEECH)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/chat/completions", "/v1/audio/transcriptions"])
async def test_a_request_that_is_wrong_takes_none(serving: Serving, path: str) -> None:
    async with serving(config=limited(sessions=1)) as server:
        assert (await ask(server, path, "POST", json={})).status_code in (400, 415)
        assert server.runtime.admission.requests == 0
