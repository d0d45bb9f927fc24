from __future__ import annotations

import asyncio

import pytest

from tests.server.conftest import Serving, quick
from tests.server.test_auth import KEY, bearer
from tests.server.test_door import ask, assert_no_place, keyed, limited, refusal
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
        told = await ask(server, "/v1/audio/speech", "POST", json=SPEECH)
        assert_no_place(told, 503, "server_full")
        assert told.headers["retry-after"] == (await refusal(server)).headers["retry-after"], "one server, one word"
        assert await server.metric("sessions_refused_total", reason="sessions") == 3
        assert (await ask(server, "/v1/models")).status_code == 200
        speaker.may_go_on.set()
        assert (await first).status_code == 200
        assert server.runtime.admission.requests == 0
        assert (await ask(server, "/v1/audio/speech", "POST", json=SPEECH)).status_code == 200


async def test_requests_count_with_the_key_and_the_address_of_who_asks(serving: Serving) -> None:
    """Who may have one place has one, whatever for."""
    speaker = Waits()
    speaker.may_go_on.set()
    for config in (limited(sessions_per_address=1), limited(keyed(), sessions_per_key=1)):
        async with serving(quick(speaker=speaker), config) as server:
            speaker.may_go_on.clear()
            speaker.begun.clear()
            first = asyncio.ensure_future(ask(server, "/v1/audio/speech", "POST", json=SPEECH, headers=bearer(KEY)))
            await speaker.begun.wait()
            second = await ask(server, "/v1/audio/speech", "POST", json=SPEECH, headers=bearer(KEY))
            assert_no_place(second, 429, "rate_limit_exceeded")
            assert_no_place(await refusal(server, additional_headers=bearer(KEY)), 429, "rate_limit_exceeded")
            speaker.may_go_on.set()
            assert (await first).status_code == 200


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/chat/completions", "/v1/audio/transcriptions"])
async def test_a_request_that_is_wrong_takes_none(serving: Serving, path: str) -> None:
    async with serving(config=limited(sessions=1)) as server:
        assert (await ask(server, path, "POST", json={})).status_code in (400, 415)
        assert server.runtime.admission.requests == 0
