"""What is kept of a session so that another server can go on with it, and its form in a store.

Knows: which parts of a session that are, JSON, a bound. Does not know: stores, sockets, when it is written (`keeping`).

It holds what was said, as text, of a long conversation the end; no audio. Speech whose words are not known yet is not
in it: `received` counts the client's frames up to there, and what came behind them is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from voxtral_voice.conversation.events import Entry, Restored
from voxtral_voice.conversation.history import size_of
from voxtral_voice.conversation.kept import Saying, heard_to, without_pictures
from voxtral_voice.realtime.event_ids import Run, heard_ms, number_of
from voxtral_voice.realtime.fields import JsonObject
from voxtral_voice.replay.codec import CodecError, read_untagged, untagged

VERSION: Final = 1
MOST_BYTES: Final = 1024 * 1024
"""Of a snapshot; beyond it the pictures stay behind, and then the oldest of what was said. It is written each time that
something is said."""


class SnapshotError(ValueError):
    """It cannot be read: another version's, or damaged."""


class TooLarge(Exception):  # noqa: N818 - said of a session
    """Its settings alone (tools, instructions) are larger than a snapshot may be."""


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


class Writer:
    """Of one session. What is in the history is turned into JSON once, however often it is written."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[Entry, bytes]] = {}
        """What the last snapshot had of the history, by its id."""

    def write(self, snapshot: Snapshot) -> bytes:
        """At most MOST_BYTES. Raises TooLarge."""
        history = snapshot.conversation.history
        rest: Any = untagged(replace(snapshot, conversation=replace(snapshot.conversation, history=())))
        whole = {"version": VERSION, "snapshot": rest}
        room = MOST_BYTES - len(orjson.dumps(whole))
        if room < 0:
            raise TooLarge
        entries = self._newest(history, room)
        if len(entries) < len(history):
            entries = self._newest(without_pictures(history), room)
        rest["conversation"]["history"] = [orjson.Fragment(entry) for entry in entries]
        return orjson.dumps(whole)

    def _newest(self, history: tuple[Entry, ...], room: int) -> list[bytes]:
        """As many as fit, the oldest first."""
        written: dict[str, tuple[Entry, bytes]] = {}
        for entry in reversed(history):
            if size_of(entry) > room:  # no character takes less than a byte
                break
            data = self._entry(entry)
            room -= len(data) + 1
            if room < 0:
                break
            written[entry.id] = entry, data
        self._written = written
        return [data for _, data in reversed(written.values())]

    def _entry(self, entry: Entry) -> bytes:
        known, data = self._written.get(entry.id, (None, b""))
        if known is entry:
            return data
        alone: Any = untagged(Restored((entry,)))
        return orjson.dumps(alone["history"][0])


def read(data: bytes) -> Snapshot:
    """Raises SnapshotError."""
    try:
        whole = orjson.loads(data)
        if whole["version"] != VERSION:
            raise SnapshotError(f"its version is {whole['version']!r}, and {VERSION} is known")
        snapshot = read_untagged(whole["snapshot"], Snapshot)
        if not isinstance(orjson.loads(snapshot.session), dict):
            raise SnapshotError("it is damaged: the session is no object")
        return snapshot
    except (orjson.JSONDecodeError, CodecError, KeyError, TypeError) as error:
        raise SnapshotError(f"it is damaged: {type(error).__name__}") from error
