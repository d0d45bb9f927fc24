"""What a session leaves behind when it has ended: nothing that counts, even where the collector does not come by."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import tracemalloc
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest

from tests.server.conftest import quick, quick_config
from tests.server.memory import Line, connected
from voxtral_voice.engines.fakes import FakeResponder
from voxtral_voice.server.runtime import Runtime

NOISE: Final = np.random.default_rng(1).normal(0, 9_000, 72_000).clip(-32_000, 32_000).astype("<i2").tobytes()
HAND: Final = {"turn_detection": None, "transcription": {"model": "whisper-1"}}
SESSIONS: Final = 4
MOST_BYTES: Final = 256 * 1024
"""Of one that has ended. What is left waits for the collector; while it went on it had ten times as much."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@pytest.fixture(autouse=True)
def reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a client has been told of a second answer."""
    send_text = Line.send_text

    async def send(line: Line, text: str) -> None:
        if len(line.all("response.created")) > 1:
            await asyncio.Event().wait()
        await send_text(line, text)

    monkeypatch.setattr(Line, "send_text", send)


def in_use() -> int:
    """Bytes that the server has; not what this test has made."""
    kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, "*/tests/*")])
    return sum(trace.size for trace in kept.traces)


async def talk(line: Line) -> None:
    """A turn that is answered; the next answer and what is asked for besides are not read any more."""
    line.send(json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": {"input": HAND}}}))
    line.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(NOISE).decode()}))
    line.send(json.dumps({"type": "input_audio_buffer.commit"}))
    line.send(json.dumps({"type": "response.create"}))
    await line.until(lambda: len(line.all("response.done")) == 1)
    line.send(json.dumps({"type": "response.create"}))
    for item_id in line.item_ids * 2:
        line.send(json.dumps({"type": "conversation.item.retrieve", "item_id": item_id}))
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_session_that_has_ended_keeps_no_memory() -> None:
    runtime = Runtime(quick_config(), quick(responder=FakeResponder(lambda _: "word " * 20, 0, 0)))
    async with connected(runtime, judged=False) as line:  # what is made once
        await talk(line)
    before = in_use()
    for _ in range(SESSIONS):
        async with connected(runtime, judged=False) as line:
            await talk(line)
            alive = in_use() - before
        assert not line.broken
    left = (in_use() - before) / SESSIONS
    assert alive > 10 * MOST_BYTES, f"it had no more than {alive / 1024:.0f} KiB to keep"
    assert left < MOST_BYTES, f"an ended session keeps {left / 1024:.0f} KiB"
