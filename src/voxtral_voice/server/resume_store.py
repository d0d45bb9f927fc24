"""Where sessions are kept so that another server, or this one after a restart, can go on with them.

Knows: who owns a session. Does not know: what is kept (`snapshot`), when (`keeping`), Redis (`redis_store`).

A session has one record: its owner's number (`fence`), who may take it (its API key, and the digests of the resume
tokens that count), and the snapshot. Whoever takes it gets the next number; a server whose number is not the record's
own any more can write nothing, and learns that from the answer.

    put     mine -> the snapshot, and its time to live anew      False: somebody else's
    keep    mine -> its time to live anew                        False: somebody else's
    take    with a token that counts -> mine from now on
    drop    mine -> gone

A store that is down costs a session nothing but being kept: every verb ends soon, with StoreDown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StoreDown(Exception):  # noqa: N818 - said of the store
    """It did not answer, or not in time, or is not asked since it did not a moment ago."""


class NotYours(Exception):  # noqa: N818 - said of a session
    """The token counts, but came with another API key than the session's."""


@dataclass(frozen=True, slots=True)
class Record:
    session_id: str
    fence: int
    """The owner's number: 1 for the server that the session began on."""
    owner: str
    """Name of the API key; "" without any."""
    newest: bytes
    """Digest of the resume token that counts."""
    before: bytes
    """Of the one before it while that counts too, else b""."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    fence: int
    """Of whoever took it."""
    data: bytes


class ResumeStore(Protocol):
    """All verbs raise StoreDown."""

    @property
    def is_resting(self) -> bool:
        """It failed a moment ago, and is not asked now."""

    async def put(self, record: Record) -> bool: ...

    async def keep(self, session_id: str, fence: int) -> bool | None:
        """None: there is no such record."""

    async def take(self, session_id: str, digest: bytes, owner: str) -> Taken | None:
        """None: there is none that this token counts for. Raises NotYours."""

    async def drop(self, session_id: str, fence: int) -> None: ...

    async def aclose(self) -> None: ...
