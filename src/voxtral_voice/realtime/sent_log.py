"""Frames for the client: those that wait to be sent, and of a session that may be resumed those that were sent last.

Knows: their order, their sizes, how much audio each brings. Does not know: sockets, what the frames say.

    add(sent)             one more, behind all others
    take()                the next one that is to be sent
    rewind(event_id)      what came behind this event has not arrived: it is to be sent again
    unheard_ms()          how much audio that is
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson

KEEP_FRAMES: Final = 4096
KEEP_BYTES: Final = 3 * 1024 * 1024
"""Of frames that were sent: some 48 s of speech, longer than a dead connection goes unnoticed (a ping every 20 s, 20 s
for its answer). When either is reached the oldest go, and a client that has not got those cannot resume."""
MOST_GREETINGS: Final = 8
"""Of connections that were resumed; the oldest goes."""


@dataclass(frozen=True, slots=True)
class Sent:
    frame: bytes
    reply_id: str | None = None
    """Of the reply whose audio it brings."""
    audio_ms: float = 0.0


class SentLog:
    """Frames have numbers: 0, 1, ... in the order in which they were added."""

    def __init__(self, keep_frames: int = KEEP_FRAMES, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_frames, self._keep_bytes = keep_frames, keep_bytes
        self._keeps = False
        self._frames: deque[Sent] = deque()  # see KEEP_FRAMES; those that wait are counted by who adds them
        self.held_bytes = 0
        """Of all that are there."""
        self._taken_bytes = 0
        """Of those before the next one."""
        self._first = 0
        """Number of the oldest one that is there."""
        self._next = 0
        """Of the one that is to be sent next."""
        self._new_from = 0
        """Those from here on were never sent."""
        self._greetings: dict[str, int] = {}
        """Number of the frame that the greeting of a resumed connection stood before, by the greeting's event id."""
        self.waiting = 0
        """Frames that were never sent and are to be; what is sent again does not count."""
        self.waiting_bytes = 0

    def keep(self, keeps: bool) -> None:
        """Whether what was sent stays, to be sent again."""
        self._keeps = keeps
        self._drop_old()

    def add(self, sent: Sent) -> None:
        self._frames.append(sent)
        self.held_bytes += len(sent.frame)
        self.waiting += 1
        self.waiting_bytes += len(sent.frame)

    def take(self) -> bytes | None:
        """None: all are sent."""
        if self.all_taken:
            return None
        frame = self._frames[self._next - self._first].frame
        if self._next >= self._new_from:
            self.waiting -= 1
            self.waiting_bytes -= len(frame)
        self._next += 1
        self._taken_bytes += len(frame)
        self._drop_old()
        return frame

    @property
    def all_taken(self) -> bool:
        """Nothing is to be sent, nor sent again."""
        return self._next == self._end

    def has(self, event_id: str) -> bool:
        """All that came behind this event is there."""
        return self._behind(event_id) is not None

    def rewind(self, event_id: str) -> None:
        """What came behind this event, which must be there, is to be sent again. What was never sent counts as sent,
        too: it is in nobody's way that has only begun to read."""
        number = self._behind(event_id)
        assert number is not None
        self._next, self._new_from = number, self._end
        self._taken_bytes = sum(len(sent.frame) for sent in islice(self._frames, number - self._first))
        self.waiting = self.waiting_bytes = 0

    def greeted(self, event_id: str) -> None:
        """A connection begins here with an event that is none of the log's: it may be the last one to arrive."""
        self._greetings[event_id] = self._next
        if len(self._greetings) > MOST_GREETINGS:
            del self._greetings[next(iter(self._greetings))]

    def unheard_ms(self) -> tuple[tuple[str, float], ...]:
        """By reply, in their order: how much audio of it is to be sent."""
        found: dict[str, float] = {}
        for sent in islice(self._frames, self._next - self._first, None):
            if sent.reply_id is not None:
                found[sent.reply_id] = found.get(sent.reply_id, 0.0) + sent.audio_ms
        return tuple(found.items())

    def unheard(self, reply_id: str) -> list[bytes]:
        """The frames with this reply's audio that are to be sent."""
        ahead = islice(self._frames, self._next - self._first, None)
        return [sent.frame for sent in ahead if sent.reply_id == reply_id]

    @property
    def _end(self) -> int:
        return self._first + len(self._frames)

    def _behind(self, event_id: str) -> int | None:
        """Number of the frame behind this event; None: it is not there any more, or never was."""
        if (number := self._greetings.get(event_id)) is not None:
            return number if number >= self._first else None
        name = event_id.encode(errors="surrogatepass")
        for back, sent in enumerate(reversed(self._frames)):
            if name in sent.frame and orjson.loads(sent.frame)["event_id"] == event_id:
                return self._end - back
        return None

    def _drop_old(self) -> None:
        while self._first < self._next and not (self._keeps and self._fits):
            size = len(self._frames.popleft().frame)
            self.held_bytes -= size
            self._taken_bytes -= size
            self._first += 1

    @property
    def _fits(self) -> bool:
        return self._next - self._first <= self._keep_frames and self._taken_bytes <= self._keep_bytes
