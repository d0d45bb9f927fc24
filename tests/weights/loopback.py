"""A model hub on the loopback interface, for tests: ranges, cuts, wrong bytes, refusals."""

from __future__ import annotations

import json
import re
import threading
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from voxtral_voice.weights.catalogue import HubSource, ModelFile, Source


class Hub:
    """files: path below the repository -> bytes. Everything asked for is in `asked`, as (path, Range header).

    Lists of repositories are given too, all of `files`: those in `large` with their sha256."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[tuple[str, str | None]] = []
        self.tokens: list[str | None] = []
        self.cuts: list[int] = []
        """Each transfer takes one: so many bytes are sent, then the connection breaks."""
        self.statuses: list[int] = []
        """Each request takes one, and gets no bytes."""
        self.ranges = True
        self.large: set[str] = set()
        self.listings: list[str] = []
        """Paths of the lists that were asked for."""
        self.listing: bytes | None = None
        """Given instead of the list."""
        self.hold: threading.Event | None = None
        """Transfers wait for it after the first half."""
        self.half_sent = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/api/"):
            self._list(request)
            return
        path = request.path.split("/resolve/")[-1].partition("/")[2]
        asked = request.headers.get("Range")
        self.asked.append((path, asked))
        self.tokens.append(request.headers.get("Authorization"))
        if self.statuses or path not in self.files:
            request.send_error(self.statuses.pop(0) if self.statuses else 404)
            return
        content = self.files[path]
        begin = int(found[1]) if asked and self.ranges and (found := re.match(r"bytes=(\d+)-", asked)) else 0
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        self._send(request, content[begin:])

    def _list(self, request: BaseHTTPRequestHandler) -> None:
        self.listings.append(request.path)
        self.tokens.append(request.headers.get("Authorization"))
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        files = [self._entry(path, content) for path, content in self.files.items()]
        answer = self.listing or json.dumps({"sha": REVISION, "siblings": files}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _entry(self, path: str, content: bytes) -> dict[str, object]:
        large = {"lfs": {"sha256": sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}}
        in_git = sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return {"rfilename": path, "size": len(content), "blobId": in_git, **(large if path in self.large else {})}

    def _send(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        if self.cuts:
            request.wfile.write(content[: self.cuts.pop(0)])
            request.close_connection = True
            return
        half = len(content) // 2
        request.wfile.write(content[:half])
        request.wfile.flush()
        self.half_sent.set()
        if self.hold:
            assert self.hold.wait(20)
        request.wfile.write(content[half:])


REVISION = "0" * 40


def from_hub(path: str) -> HubSource:
    return HubSource(kind="hub", repo="someone/some-model", revision=REVISION, path=path)


def model_file(name: str, content: bytes, *sources: Source) -> ModelFile:
    """A catalogue entry for `content`; from the hub under the same name unless other sources are given."""
    entry = {
        "name": name,
        "part": "speaker",
        "title": name,
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
        "licence": "MIT",
        "profiles": ["embedded"],
        "source": sources or [from_hub(name)],
    }
    return ModelFile.model_validate(entry)
