"""What was said is in no log at any level, in no metric, in no trace and not in the list of sessions."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tests.observe.collector import Collector, collecting
from tests.server.caller import Caller, calling
from tests.server.conftest import Serving, quick, quick_config
from voxtral_voice.config import ObserveConfig
from voxtral_voice.engines.fakes import FakeResponder, FakeTranscriber
from voxtral_voice.observe import log

WORD = "quetzalcoatl"
"""In everything that is said and shown."""
TOOL = {
    "type": "function",
    "name": f"find_{WORD}",
    "description": WORD,
    "parameters": {"type": "object", "properties": {WORD: {"type": "string"}}},
}


@pytest.fixture(params=[("debug", "text"), ("debug", "json"), ("info", "text"), ("error", "json")])
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a server at this level writes, our own and the libraries'."""
    root, ours, libraries = logging.getLogger(), logging.getLogger(log.ROOT), logging.getLogger("opentelemetry")
    before = (root.handlers[:], root.level, ours.level, libraries.level)
    stream = io.StringIO()
    level, form = request.param
    log.set_up(level, stream, form)
    yield stream
    root.handlers[:] = before[0]
    for logger, old in zip((root, ours, libraries), before[1:], strict=True):
        logger.setLevel(old)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


async def conversation(caller: Caller) -> None:
    """All that a client can say or show, what is refused too."""
    transcription = {"model": "whisper-1", "prompt": WORD}
    await caller.update(
        instructions=f"Say {WORD}.", tools=[TOOL], tool_choice="auto", audio={"input": {"transcription": transcription}}
    )
    await caller.update(tools=[])
    await caller.turn()
    content = [{"type": "input_text", "text": f"{WORD}?"}]
    await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await caller.until("conversation.item.added", 3)
    await caller.send("response.create", response={"instructions": WORD, "metadata": {"a": WORD}})
    await caller.until("response.done", 2)
    errors = caller.count("error")
    for refused in (
        json.dumps({"type": WORD}),
        json.dumps({"type": "conversation.item.delete", "item_id": WORD}),
        json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": WORD}}),
        f"{{{WORD}",
        WORD.encode(),
    ):
        await caller.send_raw(refused)
        errors += 1
        await caller.until("error", errors)


async def test_a_conversation_leaves_none_of_it(serving: Serving, logged: io.StringIO, collector: Collector) -> None:
    engines = quick(
        transcriber=FakeTranscriber([f"I said {WORD}."], latency_ms=0),
        responder=FakeResponder(lambda _: f"You said {WORD}. Did you mean {WORD}?", first_token_ms=0, token_ms=0),
    )
    config = quick_config().model_copy(update={"observe": ObserveConfig(otlp_endpoint=collector.url)})
    async with serving(engines, config) as server, calling(server.url) as caller:
        await conversation(caller)
        assert WORD in caller.said()
        told = [(await server.get(path)).text for path in ("/metrics", "/v1/sessions", "/readyz")]
    assert collector.spans
    assert WORD not in str(collector.requests)
    assert all(WORD not in text for text in told)
    assert WORD not in logged.getvalue()


@pytest.mark.parametrize("logged", [("info", "json")], indirect=True)
async def test_a_reply_is_logged_with_its_session_and_its_turn(serving: Serving, logged: io.StringIO) -> None:
    async with serving() as server, calling(server.url) as caller:
        done = await caller.turn()
        session = caller.all("session.created")[0]["session"]["id"]
        turn = caller.all("input_audio_buffer.committed")[0]["item_id"]
    [line] = [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == "reply_ended"]
    assert (line["session"], line["turn"], line["reply"]) == (session, turn, done["response"]["id"])
