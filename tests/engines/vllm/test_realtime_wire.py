"""Frames: those of the recordings are understood, and ours are what was sent in them."""

from __future__ import annotations

import json

import pytest

from tests.engines.vllm.recorded import lines
from voxtral_voice.engines.vllm import realtime_wire as wire

RECORDINGS = ("realtime_utterances", "realtime_edges", "realtime_errors", "realtime_killed", "realtime_abort")


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recorded_frame_is_understood(name: str) -> None:
    events = [line["event"] for line in lines(name) if line["from"] == "server" and "event" in line]
    assert events
    for event in events:
        found = wire.read(json.dumps(event))
        match event["type"]:
            case "session.created":
                assert found is None
            case "transcription.delta":
                assert found == wire.Delta(event["delta"])
            case "transcription.done":
                assert found == wire.Done(event["text"], event["usage"]["prompt_tokens"])
            case _:
                assert isinstance(found, wire.Failure)
                assert found.code == event["code"]


def test_what_we_say_is_what_was_said_to_the_real_one() -> None:
    recorded = [line["event"] for line in lines("realtime_utterances") if line["from"] == "client"]
    assert json.loads(wire.update("tiny")) in recorded
    assert json.loads(wire.START) in recorded
    assert json.loads(wire.FINISH) in recorded
    assert json.loads(wire.append(b"\0\0")) == {"type": "input_audio_buffer.append", "audio": "AAA="}
    assert {event["type"] for event in recorded} == {
        json.loads(said)["type"] for said in (wire.update("tiny"), wire.START, wire.FINISH, wire.append(b"\0\0"))
    }


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{not json",
        "[1]",
        "7",
        b"\x00\x01",
        '{"type": "transcription.delta"}',
        '{"type": "transcription.delta", "delta": 7}',
        '{"type": "transcription.done", "text": null}',
    ],
)
def test_what_is_no_event(data: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|text|object|char"):
        wire.read(data)


@pytest.mark.parametrize("data", ["{}", '{"type": 7}', '{"type": "session.updated"}'])
def test_what_says_nothing_to_us(data: str) -> None:
    assert wire.read(data) is None


def test_usage_may_be_missing() -> None:
    for usage in ("", ', "usage": null', ', "usage": {"prompt_tokens": "x"}'):
        assert wire.read('{"type": "transcription.done", "text": "a"' + usage + "}") == wire.Done("a", None)


def test_an_error_is_one_line_for_the_log() -> None:
    event = {"type": "error", "error": "a\n\x1b[31mb" + "x" * 1000, "code": None}
    found = wire.read(json.dumps(event))
    assert isinstance(found, wire.Failure)
    assert found.code == "None"
    assert found.message.startswith("a \ufffd[31mb")
    assert len(found.message) < 400


def test_half_a_character_costs_only_itself() -> None:
    """A server that cuts bytes sends U+FFFD or half a pair; what is around it is kept."""
    assert wire.read(r'{"type": "transcription.delta", "delta": " नम\ud83d"}') == wire.Delta(" नम\ufffd")
