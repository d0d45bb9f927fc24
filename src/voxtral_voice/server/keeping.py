"""Keeps the sessions that may be resumed in the store, and takes those over that other servers have kept there.

Knows: what has changed and when it is written, who owns a session. Does not know: what a snapshot holds, Redis.

One writer for all sessions: it looks ten times a second, and writes what has changed; of several changes the last. A
session is never waited for, and never waits. A store that is down is tried again by itself, and then all is written.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from voxtral_voice.observe import log
from voxtral_voice.realtime.resume import Asked, digest
from voxtral_voice.server.link import RESUMED_ELSEWHERE, End, Why
from voxtral_voice.server.resume_store import Record, ResumeStore, StoreDown
from voxtral_voice.server.sessions import Sessions
from voxtral_voice.server.snapshot import Snapshot, SnapshotError, read

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
KEPT_AFTER: Final[frozenset[Why]] = frozenset({"drained", "server_stopped"})
"""What a session ends with that another server may go on with."""
FIRST_FENCE: Final = 1
ELSEWHERE: Final = End("resumed", RESUMED_ELSEWHERE, "The session goes on at another server.")


@dataclass(slots=True)
class _Mark:
    """Of a session: as it was written last."""

    fence: int = FIRST_FENCE
    changes: int = -1
    """See `LiveSession.changes`; -1: it is to be written."""
    tokens: tuple[bytes, bytes] | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Last:
    """Of a session that is over. record: None = there is nothing more to go on with."""

    session_id: str
    fence: int
    record: Record | None


class Keeping:
    """store: None = sessions are kept in this process alone. ttl_s: how long the store keeps one that nobody keeps."""

    def __init__(self, sessions: Sessions | None = None, store: ResumeStore | None = None, ttl_s: float = 0) -> None:
        self._sessions = Sessions() if sessions is None else sessions  # an empty one is false
        self._store = store
        self._rest_s = min(ttl_s / 3, REST_S)
        self._marks: dict[LiveSession, _Mark] = {}
        self._last: list[_Last] = []  # one for each session that has ended since the last look

    @property
    def outlives_us(self) -> bool:
        """A session can go on when this process is gone."""
        return self._store is not None

    async def run(self) -> None:
        """For ever. Cancel it to stop."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.write()

    async def write(self) -> None:
        """All that has changed, one after the other."""
        if self._store is None:
            return
        last, self._last = self._last, []
        for one in last:
            await self._finish(self._store, one)
        for session in self._sessions:
            if self._store.is_resting:
                return
            if not session.over.is_set() and self._due(session):
                await self._write(self._store, session)

    def ended(self, session: LiveSession, why: Why) -> None:
        """Never waits."""
        mark, tokens = self._marks.pop(session, None), session.token()
        if self._store is None or why == ELSEWHERE.why or (mark is None and tokens is None):
            return
        fence = FIRST_FENCE if mark is None else mark.fence
        goes_on = tokens is not None and why in KEPT_AFTER
        record = _record(session, fence, tokens) if goes_on and tokens is not None else None
        self._last.append(_Last(session.id, fence, record))

    # --- from another server ------------------------------------------------------------------------------------

    async def find(self, asked: Asked) -> LiveSession | None:
        """Of this process; not one that another server has taken meanwhile."""
        session = self._sessions.find(asked)
        mark = None if session is None else self._marks.get(session)
        if session is None or mark is None or self._store is None:
            return session
        try:
            ours = await self._store.keep(session.id, mark.fence) is not False
        except StoreDown:
            return session
        if not ours:
            session.hang_up(ELSEWHERE)
        return session if ours else None

    async def take(self, asked: Asked, owner: str) -> tuple[Snapshot, int] | None:
        """From the store: it is this server's from now on; and its fence, for `goes_on`. None: it is not there. Raises
        NotYours, StoreDown."""
        if self._store is None:
            return None
        taken = await self._store.take(asked.session_id, digest(asked.token), owner)
        if taken is None:
            return None
        try:
            snapshot = read(taken.data)
        except SnapshotError as error:
            log.event("snapshot_unreadable", "warning", reason=str(error))
            return None
        for old in self._sessions:
            if old.id == asked.session_id:
                old.hang_up(ELSEWHERE)
        return snapshot, taken.fence

    def goes_on(self, session: LiveSession, fence: int) -> None:
        """What was taken."""
        self._marks[session] = _Mark(fence)

    # --- writing ------------------------------------------------------------------------------------------------

    def _due(self, session: LiveSession) -> bool:
        tokens, now = session.token(), asyncio.get_running_loop().time()
        if tokens is None:
            return False
        mark = self._marks.setdefault(session, _Mark())
        wait_s = HELD_S if session.is_held else self._rest_s if session.at_rest else TALKING_S
        return _has_changed(session, mark) or now >= mark.at + wait_s

    async def _write(self, store: ResumeStore, session: LiveSession) -> None:
        mark = self._marks[session]
        try:
            if not await self._is_kept(store, session, mark) and not await self._put(store, session, mark):
                session.hang_up(ELSEWHERE)
        except StoreDown:
            mark.changes = -1

    async def _is_kept(self, store: ResumeStore, session: LiveSession, mark: _Mark) -> bool:
        """Nothing changes in one that is held."""
        if not session.is_held or _has_changed(session, mark):
            return False
        mark.at = asyncio.get_running_loop().time()
        return await store.keep(session.id, mark.fence) is True

    async def _put(self, store: ResumeStore, session: LiveSession, mark: _Mark) -> bool:
        tokens = session.token()
        assert tokens is not None
        record = _record(session, mark.fence, tokens)
        mark.changes, mark.tokens, mark.at = session.changes, tokens, asyncio.get_running_loop().time()
        return await store.put(record)

    async def _finish(self, store: ResumeStore, last: _Last) -> None:
        try:
            if last.record is None:
                await store.drop(last.session_id, last.fence)
            else:
                await store.put(last.record)
        except StoreDown:
            pass  # its time to live ends it


def _has_changed(session: LiveSession, mark: _Mark) -> bool:
    return mark.changes != session.changes or mark.tokens != session.token()


def _record(session: LiveSession, fence: int, tokens: tuple[bytes, bytes]) -> Record:
    return Record(session.id, fence, owner(session.who.digest), *tokens, session.kept().to_bytes())


def owner(key_digest: bytes) -> str:
    """Of a session, as the store knows them."""
    return key_digest.hex()
