"""The judges of what we send: the types of the `openai` package, and what other clients want beyond them.

read(frames)                 bytes -> events, each of them judged: nothing that a stock client does not know
read(frames, patience=True)  of a session whose patience was set: it is there too
read(frames, ours=True)      of a client that asked for our events, and perhaps for a patience

An event has to pass three times: strictly, as the package's type for it; the same again when the package writes it
down, so that nothing was dropped or changed on the way, nulls included; and with exactly the keys that are listed here.
agents-js' own schemas are asked by `zod`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, get_args

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
TRANSCRIBING_KEYS = {"type", "object", "id", "expires_at", "include", "audio"}
"""Of a session that only transcribes."""
INPUT_KEYS = {"format", "transcription", "noise_reduction", "turn_detection"}
OUTPUT_KEYS = {"format", "voice", "speed"}
DETECTION_KEYS = {
    "semantic_vad": {"type", "eagerness"},
    "server_vad": {"type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"},
}
ANSWERS_KEYS = {"create_response", "interrupt_response"}
"""Of a turn detection too, in a session that answers."""
FORMAT_KEYS = {"audio/pcm": {"type", "rate"}, "audio/pcmu": {"type"}, "audio/pcma": {"type"}}
OUR_EVENTS = {
    "voxtral_voice.floor": {"type", "event_id", "state"},
    "voxtral_voice.speculation": {"type", "event_id", "outcome", "text"},
}
OUR_SESSION_KEYS = {"voxtral_voice"}
OUR_DETECTION_KEYS = {"patience"}
OUR_FIELDS = {"response.done": {"voxtral_voice"}, "response.output_audio_transcript.delta": {"voxtral_voice"}}
ERROR_KEYS = {"type", "code", "message", "param", "event_id"}
ITEM_KEYS = {
    "message": {"id", "object", "type", "status", "role", "content"},
    "function_call": {"id", "object", "type", "status", "call_id", "name", "arguments"},
    "function_call_output": {"id", "object", "type", "status", "call_id", "output"},
}
CONTENT_KEYS = {
    "input_audio": {"type", "audio", "transcript"},
    "output_audio": {"type", "audio", "transcript"},
    "input_text": {"type", "text"},
    "output_text": {"type", "text"},
    "input_image": {"type", "image_url", "detail"},
}
PART_KEYS = {"audio": {"type", "transcript"}, "text": {"type", "text"}}
PLACE: Final = {"type", "event_id", "response_id", "item_id", "output_index", "content_index"}
CALL: Final = {"type", "event_id", "response_id", "item_id", "output_index", "call_id"}
HEARD: Final = {"type", "event_id", "item_id"}
WORDS: Final = HEARD | {"content_index"}
ITEM: Final = {"type", "event_id", "item"}
EVENT_KEYS: Final[dict[str, set[str]]] = {
    "session.created": {"type", "event_id", "session"},
    "session.updated": {"type", "event_id", "session"},
    "error": {"type", "event_id", "error"},
    "input_audio_buffer.speech_started": HEARD | {"audio_start_ms"},
    "input_audio_buffer.speech_stopped": HEARD | {"audio_end_ms"},
    "input_audio_buffer.committed": HEARD | {"previous_item_id"},
    "input_audio_buffer.cleared": {"type", "event_id"},
    "input_audio_buffer.timeout_triggered": HEARD | {"audio_start_ms", "audio_end_ms"},
    "conversation.item.added": ITEM | {"previous_item_id"},
    "conversation.item.done": ITEM | {"previous_item_id"},
    "conversation.item.deleted": HEARD,
    "conversation.item.retrieved": ITEM,
    "conversation.item.truncated": WORDS | {"audio_end_ms"},
    "conversation.item.input_audio_transcription.delta": WORDS | {"delta", "logprobs"},
    "conversation.item.input_audio_transcription.completed": WORDS | {"transcript", "usage", "logprobs"},
    "conversation.item.input_audio_transcription.failed": WORDS | {"error"},
    "response.created": {"type", "event_id", "response"},
    "response.done": {"type", "event_id", "response"},
    "response.output_item.added": ITEM | {"response_id", "output_index"},
    "response.output_item.done": ITEM | {"response_id", "output_index"},
    "response.content_part.added": PLACE | {"part"},
    "response.content_part.done": PLACE | {"part"},
    "response.output_text.delta": PLACE | {"delta"},
    "response.output_text.done": PLACE | {"text"},
    "response.output_audio.delta": PLACE | {"delta"},
    "response.output_audio.done": PLACE,
    "response.output_audio_transcript.delta": PLACE | {"delta"},
    "response.output_audio_transcript.done": PLACE | {"transcript"},
    "response.function_call_arguments.delta": CALL | {"delta"},
    "response.function_call_arguments.done": CALL | {"name", "arguments"},
    "rate_limits.updated": {"type", "event_id", "rate_limits"},
}
"""Every event that this server may send, but for our own."""


def read(frames: Sequence[bytes], *, ours: bool = False, patience: bool = False) -> list[dict[str, Any]]:
    events = [orjson.loads(frame) for frame in frames]
    for event in events:
        judge(event, ours=ours, patience=patience)
    return events


def judge(event: dict[str, Any], *, ours: bool = False, patience: bool = False) -> None:
    """Raises AssertionError, or pydantic's ValidationError."""
    if ours and event["type"] in OUR_EVENTS:
        assert event.keys() == OUR_EVENTS[event["type"]]
        return
    known = SERVER_EVENT.validate_python(event, strict=True)
    written = known.to_dict(mode="python")
    assert written == event, f"the package makes {written} of {event}"
    _judge_keys(event, ours, patience or ours)


def _judge_keys(event: dict[str, Any], ours: bool, patience: bool) -> None:
    """Keys that must be there though their value is null, and keys that must not be there."""
    kind = event["type"]
    assert event.keys() - OUR_FIELDS.get(kind, set()) == EVENT_KEYS[kind], f"{kind} has {sorted(event)}"
    if "response" in event:
        assert event["response"].keys() == RESPONSE_KEYS
        _judge_format(event["response"]["audio"]["output"]["format"])
    if "session" in event:
        _judge_session(event["session"], ours, patience)
    if kind == "error":
        assert event["error"].keys() == ERROR_KEYS
    for item in [event["item"]] if "item" in event else event.get("response", {}).get("output", []):
        _judge_item(item)
    if "part" in event:
        assert event["part"].keys() == PART_KEYS[event["part"]["type"]]
        assert None not in event["part"].values()  # agents-js: optional there is not nullable
    if kind.endswith("transcription.failed"):
        assert None not in event["error"].values()


def _judge_item(item: dict[str, Any]) -> None:
    assert item.keys() == ITEM_KEYS[item["type"]], f"an item has {sorted(item)}"
    for content in item.get("content", []):
        assert content.keys() == CONTENT_KEYS[content["type"]], f"content has {sorted(content)}"


def _judge_session(session: dict[str, Any], ours: bool, patience: bool) -> None:
    transcribes = session["type"] == "transcription"
    keys = session.keys() - (OUR_SESSION_KEYS if ours else set())
    assert keys == (TRANSCRIBING_KEYS if transcribes else SESSION_KEYS), f"a session has {sorted(session)}"
    inputs = session["audio"]["input"]
    assert inputs.keys() == INPUT_KEYS
    _judge_format(inputs["format"])
    detection = inputs["turn_detection"]
    if detection is not None:
        told = detection.keys() - (OUR_DETECTION_KEYS if patience else set())
        assert told == DETECTION_KEYS[detection["type"]] | (set() if transcribes else ANSWERS_KEYS)
    if transcribes:
        assert session["audio"].keys() == {"input"}
    else:
        assert session["audio"]["output"].keys() == OUTPUT_KEYS
        _judge_format(session["audio"]["output"]["format"])


def _judge_format(audio_format: dict[str, Any]) -> None:
    assert audio_format.keys() == FORMAT_KEYS[audio_format["type"]], f"a format has {sorted(audio_format)}"
