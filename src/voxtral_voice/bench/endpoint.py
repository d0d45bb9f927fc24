"""When a turn is over, as a bench is told: `default`, `server_vad:500`, `semantic_vad:high`,
`semantic_vad:0.25`.

Knows: OpenAI's two ways of turn detection and their one number each, and our own extension, `patience` (0 fast to 1
careful). Does not know: servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from voxtral_voice.errors import BenchError

DEFAULT: Final = "default"
EAGERNESS: Final = ("low", "medium", "high", "auto")
PATIENCE: Final = re.compile(r"0(\.\d+)?|1(\.0+)?")


def turn_detection(spec: str) -> Mapping[str, Any] | None:
    """What `session.update` asks for; None: whatever the server does by itself. Raises BenchError."""
    kind, _, value = spec.partition(":")
    if spec == DEFAULT:
        return None
    if kind == "server_vad" and (not value or value.isdecimal()):
        silence = {"silence_duration_ms": int(value)} if value else {}
        return {"type": kind, **silence}
    if kind == "semantic_vad" and (not value or value in EAGERNESS):
        return {"type": kind, **({"eagerness": value} if value else {})}
    if kind == "semantic_vad" and PATIENCE.fullmatch(value):
        return {"type": kind, "patience": float(value)}
    raise BenchError(
        f"{spec!r} is no endpoint setting: write default, server_vad:500 (silence in ms), semantic_vad:high "
        f"(eagerness: {', '.join(EAGERNESS)}) or semantic_vad:0.25 (patience, 0 to 1)."
    )
