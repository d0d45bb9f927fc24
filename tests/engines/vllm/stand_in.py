"""Stands in for `vllm serve`: answers /health on --port, and misbehaves as it is told. Runs as a script.

It writes its pid, and those of its children, to --pids, a line per start. One child is in a session of its own. They
know nothing of their parent's environment: those of vLLM write over theirs.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ill = self.server.ill  # type: ignore[attr-defined]
        self.send_response(503 if ill and Path(ill).exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class Server(HTTPServer):
    ill = ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pids", type=Path)
    parser.add_argument("--fail", help="print this to stderr and exit with status 1")
    parser.add_argument("--fail-once-up", action="store_true", help="fail from the second start on")
    parser.add_argument("--say", action="append", default=[])
    parser.add_argument("--print-without-end", action="store_true")
    parser.add_argument("--never-healthy", action="store_true")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--ill", default="", help="/health is 503 while this file is there")
    parser.add_argument("--environment", type=Path, help="write the names of the variables here")
    options = parser.parse_args()
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.environment:
        options.environment.write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))
    starts = 0
    if options.pids:
        words = [sys.executable, "-I", "-S", "-c", CHILD]
        children = [subprocess.Popen(words, start_new_session=alone, env={}) for alone in (True, False)]
        with options.pids.open("a") as file:
            print(os.getpid(), *(child.pid for child in children), file=file)
        starts = len(options.pids.read_text().splitlines())
    for line in options.say:
        print(line, flush=True)
    if options.fail and (starts > 1 or not options.fail_once_up):
        print(options.fail, file=sys.stderr)
        sys.exit(1)
    while options.never_healthy:
        time.sleep(600)
    server = Server((options.host, options.port), Health)
    server.ill = options.ill
    if options.print_without_end:
        server.timeout = 0
        while True:
            os.write(1, b"x" * 50_000)
            server.handle_request()
    server.serve_forever()


if __name__ == "__main__":
    main()
