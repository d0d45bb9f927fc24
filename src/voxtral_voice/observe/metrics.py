"""What a running server counts, in Prometheus' terms.

Knows: names, units and buckets. Does not know: who counts. Each server has its own registry, so that two of them in one
process (tests, `talk`) do not add up.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS_S: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
STAGE_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)


class Metrics:
    """Attributes are the instruments; `text()` is what `/metrics` answers."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.sessions = Gauge("voxtral_voice_sessions", "Sessions connected now.", registry=r)
        self.turns = Counter("voxtral_voice_turns", "User turns committed.", registry=r)
        self.replies = Counter("voxtral_voice_replies", "Replies ended, by status.", ["status"], registry=r)
        self.interruptions = Counter("voxtral_voice_interruptions", "Replies that the user interrupted.", registry=r)
        self.refusals = Counter("voxtral_voice_refusals", "Client requests refused, by code.", ["code"], registry=r)
        self.engine_failures = Counter(
            "voxtral_voice_engine_failures", "Failures of engines, by engine.", ["engine"], registry=r
        )
        self.turn_latency = Histogram(
            "voxtral_voice_turn_latency_seconds",
            "Last voiced sample in to first audio out, at the server.",
            buckets=LATENCY_BUCKETS_S,
            registry=r,
        )
        self.endpoint_latency = Histogram(
            "voxtral_voice_endpoint_latency_seconds",
            "Last voiced sample in to the decision that the turn is over.",
            buckets=LATENCY_BUCKETS_S,
            registry=r,
        )
        self.stage_latency = Histogram(
            "voxtral_voice_stage_latency_seconds",
            "The stages of a turn; they sum to it.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=r,
        )
        self.loop_lag = Gauge(
            "voxtral_voice_event_loop_lag_seconds",
            "How late the event loop was, at worst, in the last 10 s.",
            registry=r,
        )
        self.work = Counter(
            "voxtral_voice_work_seconds",
            "Time that engines were at work, by engine, and whether the result was used or dropped.",
            ["engine", "outcome"],
            registry=r,
        )
        self.ingest_cpu = Counter(
            "voxtral_voice_ingest_cpu_seconds", "CPU time on decoding and resampling user audio.", registry=r
        )
        self.ingest_audio = Counter("voxtral_voice_ingest_audio_seconds", "User audio received.", registry=r)

    def text(self) -> bytes:
        return generate_latest(self.registry)
