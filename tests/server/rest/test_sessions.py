from __future__ import annotations

import pytest

from tests.server.caller import calling
from tests.server.conftest import Serving
from tests.server.test_resume import is_held
from tests.server.traveller import travelling
from voxtral_voice.server.door import is_open

FIELDS = {
    "object",
    "id",
    "age_s",
    "state",
    "turns",
    "replies",
    "interruptions",
    "underruns",
    "last_latency_ms",
    "user_audio_s",
    "reply_audio_s",
    "queues",
}


async def test_each_session_says_where_it_is_and_nothing_more(serving: Serving) -> None:
    async with serving() as server:
        assert (await server.get("/v1/sessions")).json() == {"object": "list", "data": []}
        async with calling(server.url) as one, calling(server.url) as other:
            await one.turn()
            first, second = (await server.get("/v1/sessions")).json()["data"]
            ids = [caller.all("session.created")[0]["session"]["id"] for caller in (one, other)]
            assert [first["id"], second["id"]] == ids
            assert first.keys() == FIELDS
            assert (first["turns"], first["replies"], second["turns"]) == (1, 1, 0)
            assert first["last_latency_ms"] > 0
            assert first["user_audio_s"] == pytest.approx(0.8, abs=0.11)
            assert first["reply_audio_s"] > 0
            assert second["last_latency_ms"] is None
            assert (first["queues"].keys(), second["state"]) == ({"frames", "events", "audio"}, "open")


@pytest.mark.parametrize("path", ["/metrics", "/v1/sessions"])
def test_who_is_on_this_machine_needs_no_key(path: str) -> None:
    assert is_open({"type": "http", "path": path, "client": ("127.0.0.1", 1)})
    assert not is_open({"type": "http", "path": path, "client": ("192.0.2.1", 1)})


async def test_what_is_counted_of_a_session(serving: Serving) -> None:
    async with serving() as server:
        async with calling(server.url) as caller:
            await caller.turn()
            assert await server.metric("sessions") == 1
            assert await server.metric("queue_depth", queue="frames") == 0
            assert await server.metric("places") > 1
            assert await server.metric("ready") == 1
        await server.all_ended()
        assert await server.metric("sessions_ended_total", reason="client_left") == 1
        assert await server.metric("ws_closes_total", code="1000") == 1
        assert await server.metric("reply_audio_seconds_total") > 0
        assert await server.metric("turn_latency_seconds_count") == 1
        assert await server.metric("engine_requests", engine="responder") == 0
        assert "process_resident_memory_bytes" in (await server.get("/metrics")).text


async def test_a_session_that_waits_for_its_client_is_held_and_counted_as_resumed_when_it_is_back(
    serving: Serving,
) -> None:
    async with serving() as server, travelling(server.url) as traveller:
        await traveller.cut()
        await is_held(server)
        [told] = (await server.get("/v1/sessions")).json()["data"]
        assert told["state"] == "held"
        assert await server.metric("sessions_held") == 1
        await traveller.come_back()
        assert await server.metric("sessions_held") == 0
        assert await server.metric("resumes_total") == 1
