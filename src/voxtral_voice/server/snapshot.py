"""What is kept of a session so that another server can go on with it, and its form in a store.

Knows: which parts of a session that are, JSON, a bound. Does not know: stores, sockets, when it is written (`keeping`).

It holds what was said, as text; no audio. Speech whose words are not known yet is not in it: `received` counts the
client's frames up to there, and what came behind them is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from voxtral_voice.conversation import events as ev
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
    session: JsonObject
    """What a `session.update` would say to make it what it is."""
    expires_at: int
    """Unix seconds."""
    received: int
    """So many frames of the client are in it."""
    conversation: ev.Restored

    def to_bytes(self) -> bytes:
        data = self._encoded()
        return data if len(data) <= MOST_BYTES else self._without_pictures()._encoded()

    def _encoded(self) -> bytes:
        fields = {"session_id": self.session_id, "session": self.session, "expires_at": self.expires_at}
        conversation = untagged(self.conversation)
        return orjson.dumps({"version": VERSION, **fields, "received": self.received, "conversation": conversation})

    def _without_pictures(self) -> Snapshot:
        history = self.conversation.history
        bare = tuple(replace(entry, pictures=()) if isinstance(entry, ev.Item) else entry for entry in history)
        return replace(self, conversation=replace(self.conversation, history=bare))


def read(data: bytes) -> Snapshot:
    """Raises SnapshotError."""
    try:
        fields: dict[str, Any] = orjson.loads(data)
        if fields["version"] != VERSION:
            raise SnapshotError(f"its version is {fields['version']!r}, and {VERSION} is known")
        conversation = read_untagged(fields["conversation"], ev.Restored)
        session_id, session = str(fields["session_id"]), dict(fields["session"])
        return Snapshot(session_id, session, int(fields["expires_at"]), int(fields["received"]), conversation)
    except (orjson.JSONDecodeError, CodecError, KeyError, TypeError) as error:
        raise SnapshotError(f"it is damaged: {type(error).__name__}") from error
