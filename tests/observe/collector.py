"""A collector of traces in this process, which reads what it gets as a real one would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 20.0


@dataclass
class Collector:
    url: str = ""
    answer: int = 200
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    """Cleared: it takes a request and does not answer."""

    @property
    def spans(self) -> list[Any]:
        return [span for request in self.requests for span in request.resource_spans[0].scope_spans[0].spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    seen = Collector()
    seen.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            seen.requests.append(ExportTraceServiceRequest.FromString(body))
            seen.came.set()
            seen.go_on.wait(PATIENCE_S)
            self.send_response(seen.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield seen
    finally:
        seen.go_on.set()
        server.shutdown()
        serving.join()
        server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
