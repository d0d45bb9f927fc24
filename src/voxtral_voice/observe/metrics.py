"""What a running server counts, in Prometheus' terms.

Knows: names, units and buckets. Does not know: who counts. Each server has its own registry, so that two of them in one
process (tests, `talk`) do not add up.

Labels have few values, each known here or to the code that counts: never an id, an address, a key's name, a voice that
somebody made, or anything that was said.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from voxtral_voice import __version__

PREFIX: Final = "voxtral_voice_"
LATENCY_BUCKETS_S: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
STAGE_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)
BARGE_IN_BUCKETS_S: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)
"""The rules decide between 0.24 s and 1.12 s of voiced sound (`conversation/contest.py`)."""
BLOCKED_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""A client that takes nothing for 5 s is cut off."""
LAG_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""50 ms is the alarm."""

KNOWN_CLOSES: Final = frozenset({1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013})
"""Close codes with a series of their own; a client may send any."""

Gauges = Callable[[], Iterable[tuple[str, float]]]
"""Values by the one label's value, asked for at each scrape."""


class Metrics:
    """Attributes are the instruments; `text()` is what `/metrics` answers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_sessions()
        self._of_turns()
        self._of_engines()
        self._of_audio()
        self._of_the_process()

    def _of_sessions(self) -> None:
        self.sessions = self._gauge("sessions", "Sessions connected now.")
        self.sessions_ended = self._counter("sessions_ended", "Sessions that ended, by why.", "reason")
        self.places = self._gauge("places", "Sessions that there may be at once.")
        self.queue_depth = self._gauge(
            "queue_depth",
            "What waits in the session where it is most: frames for the client, events of the engines, 32 ms frames "
            "of audio for voice activity.",
            "queue",
        )
        self.refusals = self._counter("refusals", "Client requests refused, by code.", "code")
        self.sessions_refused = self._counter(
            "sessions_refused", "Sessions and requests that got no place, by which limit said so.", "reason"
        )
        self.overloaded = self._gauge(
            "overloaded", "1 while there is too much to do for new sessions: slow turns, or a late event loop."
        )
        self.closes = self._counter(
            "ws_closes", "WebSockets closed, by close code; 1005 and 1006: the client gave none.", "code"
        )

        self.sessions_held = self._gauge("sessions_held", "Of them, those that wait for their client to come back.")
        self.resumes = self._counter("resumes", "Sessions that went on when their client came back.")
        self.sessions_restored = self._counter(
            "sessions_restored", "Sessions of another server, or of this one before its restart, that went on here."
        )
        self.resume_store_failures = self._counter(
            "resume_store_failures", "Times that the resume store did not answer, or not in time."
        )

    def _of_turns(self) -> None:
        self.turns = self._counter("turns", "User turns committed.")
        self.replies = self._counter("replies", "Replies ended, by status.", "status")
        self.interruptions = self._counter("interruptions", "Replies that the user interrupted.")
        self.speculations = self._counter(
            "speculations",
            "Answers prepared while the turn might still go on: begun, and then kept or dropped.",
            "outcome",
        )
        self.tokens = self._counter("tokens", "Tokens of the responder, where it tells: input, output.", "direction")
        self.turn_latency = self._histogram(
            "turn_latency_seconds", "Last voiced sample in to first audio out, at the server.", LATENCY_BUCKETS_S
        )
        self.endpoint_latency = self._histogram(
            "endpoint_latency_seconds",
            "Last voiced sample in to the decision that the turn is over.",
            LATENCY_BUCKETS_S,
        )
        self.stage_latency = self._histogram(
            "stage_latency_seconds", "The stages of a turn; they sum to it.", STAGE_BUCKETS_S, "stage"
        )
        self.barge_in = self._histogram(
            "barge_in_seconds",
            "First voiced sample of an interruption to the moment that the client is told to stop, at the server.",
            BARGE_IN_BUCKETS_S,
        )

    def _of_engines(self) -> None:
        self.engine_failures = self._counter("engine_failures", "Failures of engines, by engine.", "engine")
        self.retries = self._counter(
            "retries", "Second tries of engines that failed before they gave anything, by engine.", "engine"
        )
        self.fallbacks = self._counter(
            "fallbacks", "Answers of another than the first responder: fallback, or intents.", "to"
        )
        self.apologies = self._counter(
            "apologies",
            "Replies that failed unheard and were apologised for, by engine and how: spoken, or recorded beforehand.",
            "engine",
            "how",
        )
        self.engine_requests = self._gauge("engine_requests", "Pieces of work that an engine is at now.", "engine")
        self.work = self._counter(
            "work_seconds",
            "Time that engines were at work, by engine, and whether the result was used or dropped.",
            "engine",
            "outcome",
        )

    def _of_audio(self) -> None:
        self.ingest_cpu = self._counter("ingest_cpu_seconds", "CPU time on decoding and resampling user audio.")
        self.ingest_audio = self._counter("ingest_audio_seconds", "User audio received.")
        self.held_up = self._counter(
            "client_held_seconds", "How long clients that sent more than they may were not read."
        )
        self.reply_audio = self._counter("reply_audio_seconds", "Audio of replies sent.")
        self.underruns = self._counter(
            "underruns", "Times that a client which plays at once ran out of a reply's audio: an estimate."
        )
        self.underrun_time = self._counter(
            "underrun_seconds", "How long such clients had nothing to play: an estimate."
        )
        self.send_blocked = self._histogram(
            "send_blocked_seconds",
            "How long a frame waited for its client to take it, where it waited.",
            BLOCKED_BUCKETS_S,
        )

    def _of_the_process(self) -> None:
        self.loop_lag = self._gauge(
            "event_loop_lag_seconds", "How late the event loop was, at worst, in the last 10 s."
        )
        self.loop_delay = self._histogram(
            "event_loop_delay_seconds", "How late the event loop was, measured ten times a second.", LAG_BUCKETS_S
        )
        self.traces = self._counter("traces", "Turns for the collector of traces: sent, or lost.", "outcome")
        self.draining = self._gauge("draining", "1 when the server was told to stop and lets sessions end, else 0.")
        self.ready = self._gauge(
            "ready", "1 when a turn has gone through all engines since one of them last failed, else 0."
        )
        self.tasks = self._gauge("tasks", "Tasks of the event loop.")
        build = self._gauge("build_info", "1, with what runs.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def at_scrape(self, name: str, text: str, label: str, read: Gauges) -> None:
        """A gauge whose values are asked for when they are scraped; `read` may be called on another thread."""
        self.registry.register(_AtScrape(PREFIX + name, text, label, read))

    def text(self) -> bytes:
        """Reads files of /proc: not for the event loop."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=self.registry)


class _AtScrape(Collector):
    def __init__(self, name: str, text: str, label: str, read: Gauges) -> None:
        self._name, self._text, self._label, self._read = name, text, label, read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = self._family()
        for value, number in self._read():
            family.add_metric([value], number)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._text, labels=[self._label])


def close_label(code: int) -> str:
    """Of a close code, of which there are few."""
    if code in KNOWN_CLOSES:
        return str(code)
    return "application" if 3000 <= code <= 4999 else "other"
