"""The server made of recordings gives what the real one gave."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence

import pytest
from websockets.asyncio.client import connect

from tests.engines.vllm.recorded import Line, RecordedVllm, lines, silence, speech, words
from voxtral_voice.audio.pcm import float_to_pcm16


def utterances(name: str) -> Iterator[list[Line]]:
    """Of a recording: what was said from a start to what is done; only those in which no more is sent than is heard."""
    found: list[Line] = []
    for line in lines(name):
        found.append(line)
        if line.get("event", {}).get("type") == "transcription.done":
            yield [line for line in found if "event" in line]
            found = []


def sent(line: Line) -> str:
    event = dict(line["event"])
    if "audio_bytes" in event:
        event["audio"] = base64.b64encode(bytes(event.pop("audio_bytes"))).decode()
    return json.dumps(event)


def shape(events: Sequence[Line]) -> tuple[int, int | None]:
    """Deltas, and tokens of the prompt."""
    kinds = [event["type"] for event in events]
    return kinds.count("transcription.delta"), events[-1]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("n", range(3))
async def test_as_many_tokens_come_for_as_much_sound(n: int) -> None:
    recorded = list(utterances("realtime_utterances"))[n]
    async with RecordedVllm().running() as server, connect(server.url.replace("http", "ws") + "/realtime") as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "session.update", "model": "tiny"}))
        for line in recorded:
            if line["from"] == "client":
                await socket.send(sent(line))
        events = [json.loads(await socket.recv())]
        while events[-1]["type"] != "transcription.done":
            events.append(json.loads(await socket.recv()))
    assert shape(events) == shape([line["event"] for line in recorded if line["from"] == "server"])
    assert [event["type"] for event in events[:-1]] == ["transcription.delta"] * (len(events) - 1)


async def test_it_hears_the_numbers_in_speech() -> None:
    async with RecordedVllm().running() as server, connect(server.url.replace("http", "ws") + "/realtime") as socket:
        for event in (
            {"type": "session.update", "model": "tiny"},
            {"type": "input_audio_buffer.commit"},
            *(
                {"type": "input_audio_buffer.append", "audio": base64.b64encode(float_to_pcm16(sound)).decode()}
                for sound in (speech(3, 40), silence(500), speech(0))
            ),
            {"type": "input_audio_buffer.commit", "final": True},
        ):
            await socket.send(json.dumps(event))
        while "text" not in (event := json.loads(await socket.recv())):
            pass
    assert event["text"].strip() == words(3, 40, 0)


async def test_it_wants_to_know_the_model() -> None:
    async with RecordedVllm().running() as server, connect(server.url.replace("http", "ws") + "/realtime") as socket:
        for event, code in (
            ({"type": "input_audio_buffer.commit"}, "model_not_validated"),
            ({"type": "session.update", "model": "nope"}, "model_not_found"),
            ({"type": "response.create"}, "unknown_event"),
        ):
            await socket.send(json.dumps(event))
            while (answer := json.loads(await socket.recv()))["type"] == "session.created":
                pass
            assert (answer["type"], answer["code"]) == ("error", code)
