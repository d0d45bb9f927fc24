"""One turn as spans: what it waited for, when. Made when its reply ends, of the stamps that the core has made anyway.

Knows: the stamps, what each stage is called. Does not know: OpenTelemetry, clocks, what was said.

    invoke_agent                     the user begins to speak ... the reply has left
      speech                         the user speaks
      silence                        last voiced sample .. the turn may be over
      speech_to_text MODEL           .. its final words
      chat MODEL                     .. first token .. first phrase
      text_to_speech MODEL           .. first audio
      hold                           .. first audio sent: it waited for the decision that the turn is over
      playout                        .. last audio sent
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.observe import genai

Attribute = str | int | float

OPERATIONS: Final = {
    "transcript": (genai.SPEECH_TO_TEXT, "transcriber"),
    "first_token": (genai.CHAT, "responder"),
    "first_phrase": (genai.CHAT, "responder"),
    "first_audio": (genai.TEXT_TO_SPEECH, "speaker"),
}
"""Stage -> what it is in OpenTelemetry's words, and which engine was waited for."""
END_REASONS: Final = {"completed": "completed", "failed": "failed", "incomplete": "completed"}
"""Of a reply's status; "cancelled" says more by its reason."""


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    start: float
    end: float
    """Seconds on the session's clock."""
    attributes: Mapping[str, Attribute]
    error: str | None = None
    """What failed, in few words; None: nothing did."""
    children: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    session_id: str
    turn_id: str | None
    reply: ev.ReplyEnded
    ended_at: float
    spoken_from: float | None = None
    """When the user began to speak, as it was noticed."""
    models: Mapping[str, str] = field(default_factory=dict)
    """By engine: what runs there."""


def turn_span(turn: Turn) -> Span | None:
    """None: no spoken turn asked for the reply."""
    timeline = turn.reply.timeline
    if timeline is None or timeline.speech_end is None:
        return None
    start = min(timeline.speech_end, timeline.speech_end if turn.spoken_from is None else turn.spoken_from)
    children = (*_speech(start, timeline.speech_end), *_stages(timeline, turn.models), *_playout(timeline, turn))
    failed = turn.reply.status == "failed"
    error = _engine(turn.reply.error) if failed else None
    end = max(turn.ended_at, *(child.end for child in children), start)
    return Span(f"{genai.INVOKE_AGENT} {genai.OURS}", start, end, _of_turn(turn, timeline), error, children)


def _of_turn(turn: Turn, timeline: Timeline) -> dict[str, Attribute]:
    reply = turn.reply
    total_ms, endpoint_ms = timeline.total_ms(), timeline.endpoint_ms()
    found: dict[str, Attribute | None] = {
        genai.OPERATION: genai.INVOKE_AGENT,
        genai.PROVIDER: genai.OURS,
        genai.AGENT: genai.OURS,
        genai.CONVERSATION: turn.session_id,
        genai.RESPONSE: reply.reply_id,
        genai.MODEL: turn.models.get("responder"),
        genai.INPUT_TOKENS: None if reply.usage is None else reply.usage.input_tokens,
        genai.OUTPUT_TOKENS: None if reply.usage is None else reply.usage.output_tokens,
        genai.END_REASON: END_REASONS.get(reply.status, "interrupted"),
        genai.ERROR: _engine(reply.error) if reply.status == "failed" else None,
        genai.TURN: turn.turn_id,
        genai.STATUS: reply.status,
        genai.REASON: reply.reason,
        genai.AUDIO_S: reply.audio_ms / 1000,
        genai.V2V_S: None if total_ms is None else total_ms / 1000,
        genai.ENDPOINT_S: None if endpoint_ms is None else endpoint_ms / 1000,
    }
    return {name: value for name, value in found.items() if value is not None}


def _engine(error: str | None) -> str:
    """ "speaker: it took too long" -> "speaker": the rest may quote others."""
    return (error or "").partition(":")[0] or "unknown"


def _speech(start: float, end: float) -> list[Span]:
    return [Span("speech", start, end, {genai.STAGE: "speech"})] if start < end else []


def _stages(timeline: Timeline, models: Mapping[str, str]) -> list[Span]:
    """One after the other, as `Timeline.stages_ms` has them; a stage of no time is left out."""
    assert timeline.speech_end is not None
    spans, begin = list[Span](), timeline.speech_end
    for stage, ms in timeline.stages_ms().items():
        end = begin + ms / 1000
        if end > begin:
            spans.append(_stage(stage, begin, end, models))
        begin = end
    return spans


def _stage(stage: str, begin: float, end: float, models: Mapping[str, str]) -> Span:
    attributes: dict[str, Attribute] = {genai.STAGE: stage}
    if stage not in OPERATIONS:
        return Span(stage, begin, end, attributes)
    operation, engine = OPERATIONS[stage]
    model = models.get(engine, engine)
    return Span(f"{operation} {model}", begin, end, {**attributes, genai.OPERATION: operation, genai.MODEL: model})


def _playout(timeline: Timeline, turn: Turn) -> list[Span]:
    sent = timeline.first_sent
    if sent is None or sent >= turn.ended_at:
        return []
    return [Span("playout", sent, turn.ended_at, {genai.STAGE: "playout"})]
