from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from tests.observe.collector import Collector, attributes, collecting
from tests.server.caller import calling
from tests.server.conftest import Serving, quick_config
from voxtral_voice.config import ObserveConfig


@pytest.fixture
def collector() -> Iterator[Collector]:
    libraries = logging.getLogger("opentelemetry")
    level = libraries.level
    with collecting() as found:
        yield found
    libraries.setLevel(level)


async def test_each_turn_arrives_where_its_traces_are_collected(serving: Serving, collector: Collector) -> None:
    config = quick_config().model_copy(update={"observe": ObserveConfig(otlp_endpoint=collector.url)})
    async with serving(config=config) as server, calling(server.url) as caller:
        done = await caller.turn()
        session = caller.all("session.created")[0]["session"]["id"]
    [root] = [span for span in collector.spans if not span.parent_span_id]
    found = attributes(root)
    assert found["gen_ai.conversation.id"] == session
    assert found["gen_ai.response.id"] == done["response"]["id"]
    assert found["voxtral_voice.turn.id"] == caller.all("input_audio_buffer.committed")[0]["item_id"]
    assert caller.said()
    assert caller.said() not in str(collector.requests)
    stages = {attributes(span).get("voxtral_voice.turn.stage") for span in collector.spans}
    assert {"silence", "transcript", "first_token", "first_audio"} & stages


async def test_without_a_collector_nothing_is_traced(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.turn()
        assert server.runtime.traces is None


async def test_a_collector_that_hangs_holds_no_turn_up(
    serving: Serving, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtral_voice.observe.otlp.CLOSE_S", 0.05)
    collector.go_on.clear()
    config = quick_config().model_copy(update={"observe": ObserveConfig(otlp_endpoint=collector.url)})
    async with serving(config=config) as server:
        async with calling(server.url) as caller:
            await caller.turn()
            await asyncio.to_thread(collector.came.wait, 20)
            done = await caller.turn()
            assert done["response"]["status"] == "completed"
        collector.go_on.set()
