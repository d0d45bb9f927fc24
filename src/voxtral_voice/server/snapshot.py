"""What is kept of a session so that another server can go on with it, and its form in a store.

Knows: which parts of a session that are, JSON, a bound. Does not know: stores, sockets, when it is written (`keeping`).

It holds what was said, as text; no audio. Speech whose words are not known yet is not in it: `received` counts the
client's frames up to there, and what came behind them is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import orjson

from voxtral_voice.conversation.events import Restored
from voxtral_voice.conversation.kept import Saying, heard_to, without_pictures
from voxtral_voice.realtime.event_ids import Run, heard_ms, number_of
from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.replay.codec import CodecError, read_untagged, untagged

VERSION: Final = 1
MOST_BYTES: Final = 1024 * 1024
"""Of a snapshot; beyond it the pictures stay behind. It is written each time that something is said."""


class SnapshotError(ValueError):
    """It cannot be read: another version's, or damaged."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    session_id: str
    session: str
    """JSON: what a `session.update` would say to make it what it is."""
    expires_at: int
    """Unix seconds."""
    received: int
    """So many frames of the client are in it."""
    conversation: Restored
    saying: Saying | None = None
    events: str = ""
    """What the ids of its events begin with (`event_ids`)."""
    runs: tuple[Run, ...] = ()
    """Of the audio of what is being said."""

    @property
    def patch(self) -> JsonObject:
        """`session`."""
        patch: JsonObject = orjson.loads(self.session)
        return patch

    def heard_to(self, event_id: str) -> Restored:
        """The conversation as it is when this event was the last to arrive."""
        number = number_of(event_id, self.events)
        ms = None if number is None else heard_ms(self.runs, number)
        if self.saying is None or ms is None:
            return self.conversation
        return heard_to(self.conversation, self.saying, ms)

    def to_bytes(self) -> bytes:
        data = self._encoded()
        return data if len(data) <= MOST_BYTES else self._without_pictures()._encoded()

    def _encoded(self) -> bytes:
        return orjson.dumps({"version": VERSION, "snapshot": untagged(self)})

    def _without_pictures(self) -> Snapshot:
        history = without_pictures(self.conversation.history)
        return replace(self, conversation=replace(self.conversation, history=history))


def read(data: bytes) -> Snapshot:
    """Raises SnapshotError."""
    try:
        whole = orjson.loads(data)
        if whole["version"] != VERSION:
            raise SnapshotError(f"its version is {whole['version']!r}, and {VERSION} is known")
        return read_untagged(whole["snapshot"], Snapshot)
    except (orjson.JSONDecodeError, CodecError, KeyError, TypeError) as error:
        raise SnapshotError(f"it is damaged: {type(error).__name__}") from error
