"""What the core says, counted and logged: one line per turn with its stages. Never what was said.

Knows: the core's notices, the metrics' names. Does not know: the wire, engines.
"""

from __future__ import annotations

from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.observe import log
from voxtral_voice.observe.metrics import Metrics


def observe(notice: ev.Notice, metrics: Metrics, turn: str | None = None) -> None:
    """turn: id of the user's item that a reply answers, for the log."""
    match notice:
        case ev.AudioCommitted():
            metrics.turns.inc()
        case ev.Speculated(outcome):
            metrics.speculations.labels(outcome).inc()
        case ev.Refused(code):
            metrics.refusals.labels(code).inc()
        case ev.ReplyEnded():
            _reply_ended(notice, metrics, turn)
        case _:
            pass


def _reply_ended(reply: ev.ReplyEnded, metrics: Metrics, turn: str | None) -> None:
    metrics.replies.labels(reply.status).inc()
    if reply.reason == "turn_detected":
        metrics.interruptions.inc()
    if reply.usage is not None:
        metrics.tokens.labels("input").inc(reply.usage.input_tokens)
        metrics.tokens.labels("output").inc(reply.usage.output_tokens)
    timeline = reply.timeline or Timeline()
    stages = timeline.stages_ms()
    total_ms, endpoint_ms = timeline.total_ms(), timeline.endpoint_ms()
    if total_ms is not None and endpoint_ms is not None:
        metrics.turn_latency.observe(total_ms / 1000)
        metrics.endpoint_latency.observe(endpoint_ms / 1000)
        for stage, ms in stages.items():
            metrics.stage_latency.labels(stage).observe(ms / 1000)
    fields: dict[str, log.Value] = {
        "reply": reply.reply_id,
        "status": reply.status,
        "reason": reply.reason,
        "error": reply.error,
        "audio_ms": reply.audio_ms,
        "voice": None if reply.by is None else reply.by.used,
        "voice_asked": None if reply.by is None else reply.by.asked,
        "language": None if reply.by is None else reply.by.language,
        "input_tokens": None if reply.usage is None else reply.usage.input_tokens,
        "output_tokens": None if reply.usage is None else reply.usage.output_tokens,
        "total_ms": total_ms,
        "endpoint_ms": endpoint_ms,
    }
    about: dict[str, log.Value] = {} if turn is None else {"turn": turn}
    log.event("reply_ended", "info", **about, **fields, **{f"{stage}_ms": ms for stage, ms in stages.items()})
