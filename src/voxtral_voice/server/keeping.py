"""Keeps the sessions that may be resumed in the store, and takes those over that other servers have kept there.

Knows: what has changed and when it is written, who owns a session. Does not know: what a snapshot holds, Redis.

It looks ten times a second, and writes what has changed, of several changes the last; of each session one thing at a
time, and the one first that was written longest ago. A session is never waited for, and never waits. What cannot be
kept of one session, for whatever reason, is tried again later and costs the others nothing. A store that is down is
tried again by itself, and then all is written.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from voxtral_voice.observe import log
from voxtral_voice.realtime.resume import Asked, digest
from voxtral_voice.server.link import TAKEN, Why
from voxtral_voice.server.resume_store import AGAIN_S, OtherVersion, Record, Refused, ResumeStore, StoreDown
from voxtral_voice.server.sessions import Sessions
from voxtral_voice.server.snapshot import VERSION, Snapshot, SnapshotError, TooLarge, Writer, read

if TYPE_CHECKING:
    from voxtral_voice.server.live import LiveSession

TICK_S: Final = 0.1
TALKING_S: Final = 0.5
"""While something is said a session is written this often though nothing changes but what was heard: some two words."""
REST_S: Final = 5.0
"""While nothing is said, this often: how far the client was heard is in it, too, and what comes behind that is sent
again when it comes back."""
HELD_S: Final = 1.0
"""One whose client is gone is looked after this often, to find out if another server has it."""
FINISH_S: Final = 2.0
"""At the end of the server a store that is down is tried again for so long."""
BYTES_PER_S: Final = 512 * 1024
"""Of one session: a long conversation is written more seldom, the longest (`snapshot.MOST_BYTES`) every 2 s."""
AT_ONCE: Final = 6
"""Sessions that are written. Fewer than the store has connections, for clients that come back need some, too."""
KEPT_AFTER: Final[frozenset[Why]] = frozenset({"drained", "server_stopped"})
"""What a session ends with that another server may go on with."""


@dataclass(slots=True)
class _Mark:
    """Of a session: as it was written last."""

    changes: int = -1
    """See `LiveSession.changes`; -1: it is to be written."""
    tokens: tuple[bytes, bytes] | None = None
    """Those that the store may know; None: it has nothing of the session."""
    at: float = 0.0
    least_s: float = 0.0
    """Until it is written again."""
    not_before: float = 0.0
    failures: int = 0
    """In a row, of this session alone."""
    writer: Writer = field(default_factory=Writer)


@dataclass(frozen=True, slots=True)
class _Last:
    """Of a session that is over. record: None = there is nothing more to go on with."""

    session_id: str
    fence: int
    record: Record | None
    until: float
    """Then the store has forgotten it by itself."""


class Keeping:
    """store: None = sessions are kept in this process alone. ttl_s: how long the store keeps one that nobody keeps."""

    def __init__(self, sessions: Sessions | None = None, store: ResumeStore | None = None, ttl_s: float = 0) -> None:
        self._sessions = Sessions() if sessions is None else sessions  # an empty one is false
        self._store = store
        self._ttl_s, self._rest_s = ttl_s, min(ttl_s / 3, REST_S)
        self._marks: dict[LiveSession, _Mark] = {}
        self._last: list[_Last] = []  # one for each session that has ended since the last look
        self._busy: dict[str, asyncio.Task[None]] = {}
        """What is being written, by the session's id."""
        self._free = asyncio.Semaphore(AT_ONCE)

    @property
    def outlives_us(self) -> bool:
        """A session can go on when this process is gone."""
        return self._store is not None

    async def run(self) -> None:
        """For ever. Cancel it to stop."""
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(TICK_S)
                self._begin(group, asyncio.get_running_loop().time())

    async def write(self) -> None:
        """All that there is is in the store behind this, unless it could not be written."""
        await self._idle()  # what is being written may be older
        async with asyncio.TaskGroup() as group:
            self._begin(group, math.inf)
        await self._idle()

    async def finish(self) -> None:
        """The server ends: what its sessions have left is written, also when the store is away for a moment."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + FINISH_S
        await self.write()
        while self._last and loop.time() < ends_at:
            await asyncio.sleep(TICK_S)
            await self.write()

    def ended(self, session: LiveSession, why: Why) -> None:
        """Never waits."""
        mark, tokens = self._marks.pop(session, _Mark()), session.token()
        if self._store is None or why == TAKEN.why or (mark.tokens is None and tokens is None):
            return
        record = None
        if tokens is not None and why in KEPT_AFTER:
            try:
                record = _record(session, tokens, mark.writer)
            except TooLarge:
                log.event("session_not_kept", "warning", reason=TooLarge.__name__)
        self._over(session, record)

    def _over(self, session: LiveSession, record: Record | None = None) -> None:
        until = asyncio.get_running_loop().time() + self._ttl_s
        self._last.append(_Last(session.id, session.fence, record, until))

    # --- from another server ------------------------------------------------------------------------------------

    async def find(self, asked: Asked) -> LiveSession | None:
        """Of this process; not one that another server has taken meanwhile."""
        session = self._sessions.find(asked)
        if session is None or self._store is None:
            return session
        try:
            ours = await self._store.keep(session.id, session.fence) is not False
        except StoreDown:
            return session
        if not ours:
            session.hang_up(TAKEN)
        return session if ours else None

    async def take(self, asked: Asked, owner: str) -> tuple[Snapshot, int] | None:
        """From the store: it is this server's from now on; and its fence. None: it is not there. Raises NotYours,
        StoreDown."""
        if self._store is None or await self._is_spent(self._store, asked):
            return None
        try:
            taken = await self._store.take(asked.session_id, digest(asked.token), owner, VERSION)
            if taken is None:
                return None
            snapshot = read(taken.data)
        except OtherVersion:
            log.event("snapshot_unreadable", "warning", reason="another version's")
            raise
        except SnapshotError as error:
            log.event("snapshot_unreadable", "warning", reason=str(error))
            return None
        for old in self._here(asked):
            old.hang_up(TAKEN)
        return snapshot, taken.fence

    async def _is_spent(self, store: ResumeStore, asked: Asked) -> bool:
        """The session is here and ours, and its token another one: what the store has of it is older."""
        for session in self._here(asked):
            if not session.knows(asked.token) and await store.keep(session.id, session.fence) is not False:
                return True
        return False

    def _here(self, asked: Asked) -> list[LiveSession]:
        return [session for session in self._sessions if session.id == asked.session_id]

    # --- what is to be written ----------------------------------------------------------------------------------

    def _begin(self, group: asyncio.TaskGroup, now: float) -> None:
        if (store := self._store) is None or store.is_resting:
            return
        for session in [session for session in self._marks if session.over.is_set()]:
            self._over(session)  # broken, so that it could not say that it ends
            del self._marks[session]
        last, self._last = self._last, []
        for one in last:
            if one.session_id in self._busy:
                self._last.append(one)
            else:
                self._start(group, one.session_id, self._finish(store, one))
        for session, mark in self._due(now):
            self._start(group, session.id, self._write(store, session, mark))

    def _start(self, group: asyncio.TaskGroup, session_id: str, work: Coroutine[None, None, None]) -> None:
        task = self._busy[session_id] = group.create_task(work)
        task.add_done_callback(lambda _: self._busy.pop(session_id))

    async def _idle(self) -> None:
        if self._busy:
            await asyncio.wait([*self._busy.values()])

    def _due(self, now: float) -> list[tuple[LiveSession, _Mark]]:
        """The one first that was written longest ago."""
        for session in self._sessions:
            if session.token() is not None:
                self._marks.setdefault(session, _Mark())
        due = [(session, mark) for session, mark in self._marks.items() if self._is_due(session, mark, now)]
        return sorted(due, key=lambda one: one[1].at)

    def _is_due(self, session: LiveSession, mark: _Mark, now: float) -> bool:
        if session.id in self._busy or now < mark.not_before:
            return False
        if mark.tokens != session.token():
            return True
        if mark.changes != session.changes:
            wait_s = 0.0
        else:
            wait_s = HELD_S if session.is_held else self._rest_s if session.at_rest else TALKING_S
        return mark.tokens is not None and now >= mark.at + max(wait_s, mark.least_s)

    # --- writing ------------------------------------------------------------------------------------------------

    async def _write(self, store: ResumeStore, session: LiveSession, mark: _Mark) -> None:
        async with self._free:
            if store.is_resting or session.over.is_set():
                return
            with log.about(session=session.id):
                try:
                    if not await self._is_up_to_date(store, session, mark):
                        session.hang_up(TAKEN)
                    mark.failures = 0
                except (Refused, TooLarge) as error:
                    if self._put_off(mark):
                        log.event("session_not_kept", "warning", reason=str(error) or type(error).__name__)
                except StoreDown:
                    mark.changes, mark.least_s = -1, 0.0
                except Exception:
                    if self._put_off(mark):
                        logging.getLogger(log.ROOT).exception("session_not_kept")

    def _put_off(self, mark: _Mark) -> bool:
        """True: it is the first time since it was written."""
        mark.changes = -1
        mark.not_before = asyncio.get_running_loop().time() + AGAIN_S[min(mark.failures, len(AGAIN_S) - 1)]
        mark.failures += 1
        return mark.failures == 1

    async def _is_up_to_date(self, store: ResumeStore, session: LiveSession, mark: _Mark) -> bool:
        """From now on. False: another server has it."""
        if await self._is_kept(store, session, mark) or session.over.is_set():
            return True
        if (tokens := session.token()) is not None:
            return await self._put(store, session, mark, tokens)
        await store.drop(session.id, session.fence)
        mark.tokens = None
        return True

    async def _is_kept(self, store: ResumeStore, session: LiveSession, mark: _Mark) -> bool:
        """Nothing changes in one that is held."""
        if not session.is_held or mark.changes != session.changes or mark.tokens != session.token():
            return False
        mark.at = asyncio.get_running_loop().time()
        return await store.keep(session.id, session.fence) is True

    async def _put(self, store: ResumeStore, session: LiveSession, mark: _Mark, tokens: tuple[bytes, bytes]) -> bool:
        mark.at = asyncio.get_running_loop().time()
        record = _record(session, tokens, mark.writer)
        mark.changes, mark.tokens, mark.least_s = session.changes, tokens, len(record.data) / BYTES_PER_S
        return await store.put(record)

    async def _finish(self, store: ResumeStore, last: _Last) -> None:
        async with self._free:
            try:
                if last.record is None:
                    await store.drop(last.session_id, last.fence)
                else:
                    await store.put(last.record)
            except StoreDown:
                if asyncio.get_running_loop().time() < last.until:
                    self._last.append(last)


def _record(session: LiveSession, tokens: tuple[bytes, bytes], writer: Writer) -> Record:
    data = writer.write(session.kept())
    return Record(session.id, session.fence, owner(session.who.digest), *tokens, data, VERSION)


def owner(key_digest: bytes) -> str:
    """Of a session, as the store knows them."""
    return key_digest.hex()
