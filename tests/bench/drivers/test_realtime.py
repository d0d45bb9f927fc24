from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.bench.drivers.line import ScriptedLine
from voxtral_voice.bench.drivers.base import Driver, Translator
from voxtral_voice.bench.drivers.realtime import SESSION, RealtimeTranslator, realtime, realtime_url
from voxtral_voice.bench.record import (
    AudioArrived,
    Flushed,
    Heard,
    Observation,
    Refused,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    TextArrived,
    TurnCommitted,
)
from voxtral_voice.errors import TalkError

URL = "ws://127.0.0.1:8000/v1/realtime"
CREATED = {"type": "session.created", "session": {}}
UPDATED = {"type": "session.updated", "session": {}}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
AT = 7.0
BEGAN = 5.0


@pytest.fixture
def translator() -> RealtimeTranslator:
    return realtime(URL).translator(BEGAN)


def seen(translator: Translator, *events: dict[str, Any]) -> list[Observation]:
    return [found for event in events for found in translator.translate(json.dumps(event), AT)]


def delta(reply: str = "r1", kind: str = "response.output_audio.delta", **fields: Any) -> dict[str, Any]:
    audio = base64.b64encode(np.array([0, 16_384, -32_768], "<i2").tobytes()).decode()
    return {"type": kind, "response_id": reply, "item_id": f"item_{reply}", "delta": audio} | fields


# --- address and key


def test_the_path_is_added_to_a_bare_host() -> None:
    assert realtime_url("127.0.0.1:8000") == URL
    assert realtime_url("ws://host/other") == "ws://host/other"


def test_the_key_goes_into_the_header_and_the_model_into_the_address() -> None:
    plain: Driver = realtime("host")
    assert (plain.url, plain.headers) == ("ws://host/v1/realtime", {})
    driver = realtime("wss://host/v1/realtime?model=a&x=1", api_key="k", model="b c")
    assert driver.headers == {"Authorization": "Bearer k"}
    assert driver.url == "wss://host/v1/realtime?x=1&model=b+c"


# --- the microphone's messages


def test_a_chunk_is_an_append() -> None:
    driver = realtime(URL)
    event = json.loads(driver.encode(bytes(range(256))))
    assert event["type"] == "input_audio_buffer.append"
    assert base64.b64decode(event["audio"]) == bytes(range(256))
    assert driver.microphone_hz == 24_000


# --- the greeting


async def test_the_session_asks_for_transcripts_and_names_its_rates() -> None:
    line = ScriptedLine([CREATED, UPDATED])
    await realtime(URL).greet(line)
    (update,) = line.sent
    assert update == {"type": "session.update", "session": SESSION}
    audio = update["session"]["audio"]
    assert audio["input"]["transcription"]["model"]
    assert audio["input"]["format"] == audio["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}


async def test_the_session_asks_for_what_it_is_told_to() -> None:
    line = ScriptedLine([CREATED, UPDATED])
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    await realtime(URL, session={"type": "realtime", "instructions": "be brief"}).greet(line)
    assert line.sent[0]["session"] == {"type": "realtime", "instructions": "be brief"}
    line = ScriptedLine([CREATED, UPDATED])
    await realtime(URL, turn_detection=detection).greet(line)
    listens = line.sent[0]["session"]["audio"]["input"]
    assert listens["turn_detection"] == detection
    assert listens["transcription"] == {"model": "whisper-1"}
    assert "turn_detection" not in SESSION["audio"]["input"]


async def test_a_server_that_says_nothing_to_the_settings_has_taken_them() -> None:
    line = ScriptedLine([CREATED, None])
    await realtime(URL).greet(line)
    assert line.timeouts_s == [pytest.approx(10, abs=1), pytest.approx(3, abs=1)]


async def test_other_events_may_come_between() -> None:
    line = ScriptedLine([{"type": "hello"}, CREATED, {"type": "conversation.created"}, UPDATED])
    await realtime(URL).greet(line)
    assert len(line.timeouts_s) == 4


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([{"type": "error", "error": {"message": "No such model."}}], r"refused the session: No such model\.$"),
        ([CREATED, {"type": "error", "error": {"message": "No."}}], r"refused the session: No\.$"),
        ([{"type": "error"}], r"refused the session: no reason given$"),
        ([None], r"did not send session\.created within 10 s\.$"),
        ([{"type": "hello"}, None], r"did not send session\.created within 10 s, but hello\.$"),
        (
            [*({"type": kind} for kind in [*"aabcdefg", "long" * 99]), None],
            r"but a, b, c, d, e and 3 other kinds\.$",
        ),
        ([{"type": "long" * 99}, None], rf"but {'long' * 10}\.$"),
        (["220 mail.example ESMTP"], r"is not a Realtime server: it sent something that is not JSON\.$"),
        (["[]"], r"is not a Realtime server: it sent JSON that is not an event\.$"),
    ],
)
async def test_a_server_with_another_greeting(messages: Sequence[Any], complaint: str) -> None:
    with pytest.raises(TalkError, match=complaint):
        await realtime(URL).greet(ScriptedLine(messages))


# --- the user's turn


def test_a_turn_is_committed_where_the_server_heard_it_end(translator: RealtimeTranslator) -> None:
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": 1_500}
    assert seen(translator, {"type": "input_audio_buffer.speech_started", "item_id": "u1"}) == [Flushed(AT)]
    assert seen(translator, stopped) == []
    assert seen(translator, {"type": "input_audio_buffer.committed", "item_id": "u1"}) == [
        TurnCommitted(AT, "u1", speech_end=6.5)
    ]


def test_a_server_that_does_not_say_where_it_ended(translator: RealtimeTranslator) -> None:
    seen(translator, {"type": "input_audio_buffer.speech_stopped", "item_id": "u1"})
    seen(translator, {"type": "input_audio_buffer.speech_stopped", "item_id": "other", "audio_end_ms": 9})
    assert seen(translator, {"type": "input_audio_buffer.committed", "item_id": "u1"}) == [TurnCommitted(AT, "u1")]


def test_transcripts_and_their_failure(translator: RealtimeTranslator) -> None:
    kind = "conversation.item.input_audio_transcription"
    assert not translator.transcribes
    assert seen(translator, {"type": f"{kind}.delta", "item_id": "u1", "delta": "so"}) == []
    assert seen(translator, {"type": f"{kind}.failed", "item_id": "u1", "error": {}}) == [Heard(AT, "u1", None)]
    assert seen(translator, {"type": f"{kind}.completed", "item_id": "u2", "transcript": "so"}) == [
        Heard(AT, "u2", "so")
    ]
    assert translator.transcribes


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({"audio": {"input": {"transcription": {"model": "whisper-1"}}}}, True),
        ({"audio": {"input": {"transcription": None}}}, False),
        ({"audio": None}, False),
        ({}, False),
    ],
)
def test_a_transcript_is_expected_when_the_session_has_it(
    translator: RealtimeTranslator, session: dict[str, Any], expected: bool
) -> None:
    assert seen(translator, {"type": "session.updated", "session": session}) == []
    assert translator.transcribes is expected


# --- the reply


@pytest.mark.parametrize("beta", [False, True])
def test_a_reply(translator: RealtimeTranslator, beta: bool) -> None:
    prefix = "response." if beta else "response.output_"
    trace = {"stages_ms": {"silence": 96.0}}
    done = {"response": {"id": "r1", "status": "completed", "status_details": None}, "voxtral_voice": {"trace": trace}}
    began, text, audio, ended = seen(
        translator,
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": f"{prefix}audio_transcript.delta", "response_id": "r1", "delta": "It is"},
        delta(kind=f"{prefix}audio.delta"),
        {"type": "response.done"} | done,
    )
    assert began == ReplyBegan(AT, "r1")
    assert text == TextArrived(AT, "r1", "It is")
    assert isinstance(audio, AudioArrived)
    assert (audio.at, audio.reply, audio.samples.tolist()) == (AT, "r1", [0, 0.5, -1])
    assert ended == ReplyEnded(AT, "r1", "completed", None, trace)


def test_a_reply_that_failed_says_why(translator: RealtimeTranslator) -> None:
    details = {"type": "failed", "error": {"type": "server_error", "message": "The speaker failed."}}
    done = {"type": "response.done", "response": {"id": "r1", "status": "failed", "status_details": details}}
    assert seen(translator, done) == [ReplyBegan(AT, "r1"), ReplyEnded(AT, "r1", "failed", "The speaker failed.")]


@pytest.mark.parametrize("details", [{"error": "x"}, {"error": {"message": None}}, {"error": {}}, {}, None])
def test_a_reply_that_failed_without_a_reason(translator: RealtimeTranslator, details: dict[str, Any] | None) -> None:
    done = {"type": "response.done", "response": {"id": "r1", "status": "failed", "status_details": details}}
    assert seen(translator, done)[-1] == ReplyEnded(AT, "r1", "failed", None)


def test_a_status_that_is_none_is_a_failure(translator: RealtimeTranslator) -> None:
    done = {"type": "response.done", "response": {"id": "r1", "status": "\x1b[31m" + "x" * 99}}
    (_, ended) = seen(translator, done)
    error = f"The server ended it as '\\x1b[31m{'x' * 35}', which is no status."
    assert ended == ReplyEnded(AT, "r1", "failed", error)


@pytest.mark.parametrize("ours", [None, [1], "x", {}, {"trace": [1]}, {"trace": "x"}])
def test_a_trace_of_another_shape_is_none(translator: RealtimeTranslator, ours: object) -> None:
    done = {"type": "response.done", "response": {"id": "r1", "status": "completed"}, "voxtral_voice": ours}
    assert seen(translator, done)[-1] == ReplyEnded(AT, "r1", "completed", None, None)


def test_a_reply_that_is_not_announced_begins_with_its_first_sign(translator: RealtimeTranslator) -> None:
    assert [type(each) for each in seen(translator, delta(), delta(), delta("r2"))] == [
        ReplyBegan,
        AudioArrived,
        AudioArrived,
        ReplyBegan,
        AudioArrived,
    ]


def test_empty_audio_is_none(translator: RealtimeTranslator) -> None:
    assert seen(translator, delta(delta="")) == [ReplyBegan(AT, "r1")]


def test_what_was_played_of_a_cut_reply_is_told(translator: RealtimeTranslator) -> None:
    seen(translator, delta())
    (message,) = translator.cut("r1", 310.7)
    assert json.loads(message) == {
        "type": "conversation.item.truncate",
        "item_id": "item_r1",
        "content_index": 0,
        "audio_end_ms": 310,
    }


def test_a_reply_without_an_item_cannot_be_truncated(translator: RealtimeTranslator) -> None:
    nameless = delta()
    del nameless["item_id"]
    seen(translator, nameless)
    assert translator.cut("r1", 310.7) == ()


def test_errors_and_unknown_events(translator: RealtimeTranslator) -> None:
    assert seen(translator, {"type": "error", "error": {"message": "Too long."}}) == [Refused(AT, "Too long.")]
    assert seen(translator, {"type": "rate_limits.updated"}, {"type": "response.output_audio.done"}) == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.done"},
        {"type": "response.done", "response": []},
        {"type": "response.created", "response": None},
        {"type": "input_audio_buffer.committed"},
        {"type": "input_audio_buffer.committed", "item_id": ["x"]},
        {"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": "1"},
        {"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": True},
        {"type": f"{TRANSCRIPTION}.completed", "item_id": "u1", "transcript": 5},
        {"type": f"{TRANSCRIPTION}.completed", "item_id": "u1", "transcript": ["a"]},
        {"type": f"{TRANSCRIPTION}.completed", "item_id": ["x"], "transcript": "a"},
        {"type": f"{TRANSCRIPTION}.failed", "item_id": ["x"]},
        {"type": "response.created", "response": {"id": None}},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "delta": 7},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "delta": None},
        {"type": "response.done", "response": {"id": "r1", "status": 17}},
        {"type": "response.done", "response": {"id": "r1", "status": ["a"]}},
        {"type": "response.done", "response": {"id": 5, "status": "completed"}},
        {"type": "response.done", "response": {"id": "r1", "status": "completed", "status_details": [1]}},
        delta(item_id=["x"]),
        delta(response_id=["x"]),
        delta(delta="AAA"),
        delta(delta="AAAA"),
        delta(delta=None),
    ],
)
def test_malformed_events_are_named(translator: RealtimeTranslator, event: dict[str, Any]) -> None:
    with pytest.raises(TalkError, match=f"sent a malformed {event['type']}: "):
        seen(translator, event)


@pytest.mark.parametrize(
    ("message", "complaint"), [(b"\x00\x01", "not JSON"), ("[1]", "not an event"), ('{"type": 1}', "not an event")]
)
def test_nonsense_is_no_realtime(translator: RealtimeTranslator, message: str | bytes, complaint: str) -> None:
    with pytest.raises(TalkError, match=complaint):
        translator.translate(message, AT)


# --- what the server thinks was heard


def retrieved(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.retrieved", "item": item}


def test_what_was_heard_of_a_reply_can_be_asked_for(translator: RealtimeTranslator) -> None:
    delta = base64.b64encode(bytes(480)).decode()
    assert translator.recall("r1") == ()
    seen(translator, {"type": "response.output_audio.delta", "response_id": "r1", "item_id": "item_1", "delta": delta})
    (asked,) = translator.recall("r1")
    assert json.loads(asked)["item_id"] == "item_1"
    assert json.loads(asked)["type"] == "conversation.item.retrieve"
    content = [{"type": "output_audio", "transcript": "The cat"}, {"type": "output_text", "text": "sat"}]
    assert seen(translator, retrieved({"id": "item_1", "content": content})) == [Remembered(AT, "r1", "The cat sat")]
    assert seen(translator, retrieved({"id": "item_1", "content": None})) == [Remembered(AT, "r1", "")]
    assert seen(translator, retrieved({"id": "other", "content": content})) == []
    with pytest.raises(TalkError, match=r"malformed conversation\.item\.retrieved"):
        seen(translator, {"type": "conversation.item.retrieved", "item": None})


def test_a_server_that_cannot_say_it_is_not_blamed(translator: RealtimeTranslator) -> None:
    refusal = {"type": "error", "error": {"message": "unknown event", "event_id": "bench_recall"}}
    assert seen(translator, refusal) == []
