"""Sends turns to a collector of OpenTelemetry traces, over OTLP/HTTP, from a thread of its own.

Knows: OpenTelemetry's SDK, which is imported when it is asked for. Does not know: what a turn is made of (`spans`).

Nothing here can hold up or harm a session: a turn is put into a queue and forgotten, and one that finds it full is lost
and counted. Keys for the collector come from OpenTelemetry's own variable, OTEL_EXPORTER_OTLP_HEADERS; names of this
server from OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from voxtral_voice import __version__
from voxtral_voice.observe import genai, log
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.observe.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

PATH: Final = "/v1/traces"
QUEUE: Final = 1024
"""Turns that wait for the collector; when full, the newest is lost."""
BATCH: Final = 64
"""Turns that are sent at once."""
EVERY_S: Final = 1.0
"""So long others are waited for, to be sent with the first."""
SEND_S: Final = 5.0
"""For one batch, tries again included."""
CLOSE_S: Final = 2.0
"""For what is left when the server stops."""


class Exporter:
    """endpoint: base URL of the collector. Call it with each turn; close it once, not in the event loop."""

    def __init__(self, endpoint: str, metrics: Metrics, *, every_s: float = EVERY_S) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # each try of each batch; `_send` says it once
        self._exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH, timeout=SEND_S)
        self._resource = Resource.create(
            {"service.name": "voxtral-voice", "service.version": __version__, "service.instance.id": str(uuid.uuid4())}
        )
        self._metrics, self._every_s = metrics, every_s
        self._turns: queue.Queue[tuple[Span, float]] = queue.Queue(QUEUE)  # full: the newest turn is lost
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def __call__(self, span: Span, now: float) -> None:
        """now: on the span's clock, and now."""
        try:
            self._turns.put_nowait((span, time.time() - now))
        except queue.Full:
            self._metrics.traces.labels("lost").inc()

    def close(self) -> None:
        """Sends what waits, if that can be done in CLOSE_S."""
        self._closing.set()
        self._thread.join(CLOSE_S)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # ends a try that is under way

    def _work(self) -> None:
        while not (self._closing.is_set() and self._turns.empty()):
            turns = self._next_turns()
            if turns:
                self._send(turns)

    def _next_turns(self) -> list[tuple[Span, float]]:
        self._closing.wait(self._every_s)
        turns: list[tuple[Span, float]] = []
        while len(turns) < BATCH and not self._turns.empty():
            turns.append(self._turns.get_nowait())
        return turns

    def _send(self, turns: Sequence[tuple[Span, float]]) -> None:
        sent = self._export([span for tree, offset_s in turns for span in self._readable(tree, offset_s)])
        self._metrics.traces.labels("sent" if sent else "lost").inc(len(turns))
        if sent == self._failing:  # once, and once when it is over
            self._failing = not sent
            log.event("traces_sent_again" if sent else "traces_lost", "info" if sent else "warning")

    def _export(self, spans: Sequence[ReadableSpan]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except (OSError, ValueError):  # what the library under it does not catch: the next batch is tried all the same
            return False

    def _readable(self, span: Span, offset_s: float, parent: SpanContext | None = None) -> Iterator[ReadableSpan]:
        """The span and those below it. offset_s: from its clock to the time of day."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Status, StatusCode

        context = _context(parent)
        yield ReadableSpan(
            span.name,
            context,
            parent,
            self._resource,
            span.attributes,
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=round((span.start + offset_s) * 1e9),
            end_time=round((span.end + offset_s) * 1e9),
            instrumentation_scope=InstrumentationScope(genai.OURS, __version__),
        )
        for child in span.children:
            yield from self._readable(child, offset_s, context)


def _context(parent: SpanContext | None) -> SpanContext:
    """In the parent's trace, or in one of its own."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.trace import SpanContext, TraceFlags

    ids = RandomIdGenerator()
    trace_id = ids.generate_trace_id() if parent is None else parent.trace_id
    return SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
