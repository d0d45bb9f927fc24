"""A line made of a list: what a server sends, and what it was sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from voxtral_voice.bench.microphone import Message


class ScriptedLine:
    """messages: what comes, in order; None = nothing in the time that was given, and so at the end."""

    def __init__(self, messages: Sequence[dict[str, Any] | str | None]) -> None:
        self._messages = list(messages)
        self.sent: list[Any] = []
        self.timeouts_s: list[float] = []
        """Of every wait."""

    async def send(self, message: Message) -> None:
        self.sent.append(json.loads(message))

    async def receive(self, timeout_s: float) -> Message | None:
        self.timeouts_s.append(timeout_s)
        message = self._messages.pop(0) if self._messages else None
        return json.dumps(message) if isinstance(message, dict) else message
