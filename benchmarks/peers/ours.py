"""How our own server is started on the same three URLs.

Knows: `voxtral-voice serve`'s flags. Does not know: processes (`targets`).

Settings: "shipped" is the remote profile as it is. "matched" has no turn judge and no partial transcripts, and its
callers ask for turns that end after the given silence.
"""

from __future__ import annotations

import sys
from typing import Literal

from voxtral_voice.bench.endpoint import DEFAULT
from voxtral_voice.bench.stub.serve import Urls

Settings = Literal["shipped", "matched"]


def argv(port: int, urls: Urls, settings: Settings) -> list[str]:
    remote = [
        *("--profile", "remote"),
        *("--transcriber-url", urls.transcription),
        *("--responder-url", urls.chat),
        *("--speaker-url", urls.speech),
    ]
    matched = ["--turns-judge", "none", "--turns-partial-every-ms", "0"]
    command = [sys.executable, "-m", "voxtral_voice", "serve", "--log-level", "warning", "--port", str(port)]
    return [*command, *remote, *(matched if settings == "matched" else ())]


def endpoint(settings: Settings, silence_ms: int) -> str:
    """What callers ask for."""
    return f"server_vad:{silence_ms}" if settings == "matched" else DEFAULT
