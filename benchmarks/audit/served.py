"""A server to be audited, with scripted engines: `python -m benchmarks.audit.served [--quick] FLAGS OF serve`.

Libraries log all that they ever do, headers and addresses too. --quick: its deadlines are short.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from voxtral_voice.cli import main
from voxtral_voice.server.protocols import frames, heads
from voxtral_voice.server.rest import edge

LIBRARIES: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "asyncio", "httpx")
QUICK_S: Final = 4.0
ROOMY: Final = ("--limits-loop-lag-ms", "0", "--limits-slow-turn-s", "0", "--limits-new-sessions-per-s", "10000")
"""A busy machine refuses nobody: attacks are to be refused for what they are."""


def serve(words: list[str]) -> int:
    if "--quick" in words:
        words.remove("--quick")
        heads.HEAD_S = edge.RECEIVE_S = QUICK_S  # type: ignore[misc]
        heads.REST_S = 2 * QUICK_S  # type: ignore[misc]
        frames.MOST_PIECES = 2**12  # type: ignore[misc]
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    return main(["serve", "--profile", "fake", "--port", "0", "--log-level", "debug", *ROOMY, *words])


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
