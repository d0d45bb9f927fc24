from __future__ import annotations

import pytest

from tests.server.caller import calling
from tests.server.conftest import Serving, quick
from voxtral_voice.engines.fakes import Broken, FakeTranscriber, FakeVoiceActivity
from voxtral_voice.server import ear

BROKEN = Broken("the model fell over")


async def test_what_is_said_while_voice_activity_fails_is_heard_when_it_works(serving: Serving) -> None:
    """The client is told once, however often it was tried."""
    activity = FakeVoiceActivity(broken=BROKEN)
    engines = quick(voice_activity=activity, transcriber=FakeTranscriber(("Are you there?",), 0))
    async with serving(engines) as server, calling(server.url) as caller:
        await caller.speak()
        error = (await caller.until("error"))["error"]
        assert (error["type"], error["code"]) == ("server_error", "engine_failed")
        assert error["message"] == "voice_activity: the model fell over"
        ready = await server.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]) == (503, {"voice_activity": "the model fell over"})
        assert await server.metric("engine_failures_total", engine="voice_activity") > 0
        activity.broken = None
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert caller.said() == "You said: Are you there."
        assert caller.errors() == ["engine_failed"]


async def test_each_outage_is_told(serving: Serving) -> None:
    activity = FakeVoiceActivity()
    async with serving(quick(voice_activity=activity)) as server, calling(server.url) as caller:
        for count in (1, 2):
            await caller.played()
            activity.broken = BROKEN
            await caller.speak()
            await caller.until("error", count)
            activity.broken = None
            await caller.until("response.done", count)


async def test_voice_activity_that_hangs(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ear, "HEAR_S", 0.05)
    activity = FakeVoiceActivity(60_000)
    async with serving(quick(voice_activity=activity)) as server, calling(server.url) as caller:
        await caller.speak()
        assert (await caller.until("error"))["error"]["message"] == "voice_activity: it took too long"
        activity._latency_ms = 0
        assert (await caller.until("response.done"))["response"]["status"] == "completed"


async def test_who_ends_the_turn_by_hand_needs_no_voice_activity(serving: Serving) -> None:
    """Also when that is decided while it fails."""
    activity = FakeVoiceActivity(broken=BROKEN)
    async with serving(quick(voice_activity=activity)) as server, calling(server.url) as caller:
        await caller.speak()
        await caller.until("error")
        await caller.push_to_talk()
        await caller.send("input_audio_buffer.clear")
        await caller.speak()
        await caller.send("input_audio_buffer.commit")
        await caller.send("response.create")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
