"""The judges of what we send: the types of the `openai` package, and what agents-js' schemas want beyond them.

read(frames)                 bytes -> events, each of them judged: nothing that a stock client does not know
read(frames, patience=True)  of a session whose patience was set: it is there too
read(frames, ours=True)      of a client that asked for our events, and perhaps for a patience
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

import orjson
from openai.types.realtime import RealtimeServerEvent
from pydantic import Field, TypeAdapter

UNION: Any = get_args(RealtimeServerEvent)[0]
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(Annotated[UNION, Field(discriminator="type")])
"""The package's own union has a discriminator that pydantic does not see; this one gives one clear error."""

RESPONSE_KEYS = {
    "object", "id", "status", "status_details", "output", "conversation_id", "output_modalities",
    "max_output_tokens", "audio", "usage", "metadata",
}  # fmt: skip
SESSION_KEYS = {
    "type", "object", "id", "model", "expires_at", "output_modalities", "instructions", "tools", "tool_choice",
    "parallel_tool_calls", "max_output_tokens", "tracing", "truncation", "prompt", "reasoning", "include", "audio",
}  # fmt: skip
INPUT_KEYS = {"format", "transcription", "noise_reduction", "turn_detection"}
OUTPUT_KEYS = {"format", "voice", "speed"}
DETECTION_KEYS = {
    "semantic_vad": {"type", "eagerness", "create_response", "interrupt_response"},
    "server_vad": {
        "type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "create_response",
        "interrupt_response",
    },
}  # fmt: skip
OUR_EVENTS = {
    "voxtral_voice.floor": {"type", "event_id", "state"},
    "voxtral_voice.speculation": {"type", "event_id", "outcome", "text"},
}
OUR_SESSION_KEYS = {"voxtral_voice"}
OUR_DETECTION_KEYS = {"patience"}
ERROR_KEYS = {"type", "code", "message", "param", "event_id"}
CONTENT_KEYS = {
    "input_audio": {"type", "audio", "transcript"},
    "output_audio": {"type", "audio", "transcript"},
    "input_text": {"type", "text"},
    "output_text": {"type", "text"},
}
PART_KEYS = {"audio": {"type", "transcript"}, "text": {"type", "text"}}


def read(
    frames: list[bytes] | tuple[bytes, ...], *, ours: bool = False, patience: bool = False
) -> list[dict[str, Any]]:
    events = [orjson.loads(frame) for frame in frames]
    for event in events:
        if ours and event["type"] in OUR_EVENTS:
            assert event.keys() == OUR_EVENTS[event["type"]]
            continue
        SERVER_EVENT.validate_python(event)
        _judge(event, ours, patience or ours)
    return events


def _judge(event: dict[str, Any], ours: bool, patience: bool) -> None:
    """Keys that must be there though their value is null, and keys that must not be there."""
    if "response" in event:
        assert event["response"].keys() == RESPONSE_KEYS
    if "session" in event:
        _judge_session(event["session"], ours, patience)
    if "error" in event and event["type"] == "error":
        assert event["error"].keys() == ERROR_KEYS
    if event["type"].startswith(("conversation.item.added", "conversation.item.done", "input_audio_buffer.committed")):
        assert "previous_item_id" in event
    for item in [event["item"]] if "item" in event else event.get("response", {}).get("output", []):
        assert item.keys() == {"id", "object", "type", "status", "role", "content"}
        for content in item["content"]:
            assert content.keys() == CONTENT_KEYS[content["type"]]
    if "part" in event:
        assert event["part"].keys() == PART_KEYS[event["part"]["type"]]
        assert None not in event["part"].values()  # agents-js: optional there is not nullable
    if event["type"].endswith("transcription.failed"):
        assert None not in event["error"].values()


def _judge_session(session: dict[str, Any], ours: bool, patience: bool) -> None:
    assert session.keys() - (OUR_SESSION_KEYS if ours else set()) == SESSION_KEYS
    assert session["audio"]["input"].keys() == INPUT_KEYS
    assert session["audio"]["output"].keys() == OUTPUT_KEYS
    detection = session["audio"]["input"]["turn_detection"]
    if detection is not None:
        assert detection.keys() - (OUR_DETECTION_KEYS if patience else set()) == DETECTION_KEYS[detection["type"]]
