"""Where sessions are kept so that another server, or this one after a restart, can go on with them.

Knows: who owns a session. Does not know: what is kept (`snapshot`), when (`keeping`), Redis (`redis_store`).

A session has one record: its owner's number (`fence`), who may take it (its API key, and the digests of the resume
tokens that count), and the snapshot. Whoever takes it gets the next number; a server whose number is not the record's
own any more can write nothing, and learns that from the answer.

    put     mine -> the snapshot, and its time to live anew      False: somebody else's
    keep    mine -> its time to live anew                        False: somebody else's
    take    with a token that counts -> mine from now on
    drop    mine -> gone

A store that is down costs a session nothing but being kept: every verb ends soon, with StoreDown. One that is there and
does not take one session's record costs that session no more, and the others nothing: Refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

FIRST_FENCE: Final = 1
"""Of the server that a session began on."""
AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0)
"""After so many failures in a row nothing is tried for so long: of the store, or of the session that it refused."""


class StoreDown(Exception):  # noqa: N818 - said of the store
    """It did not answer, or not in time, or is not asked since it did not a moment ago."""


class Refused(StoreDown):
    """It is there, and has not done this; it may well do the same for other sessions."""


class NotYours(Exception):  # noqa: N818 - said of a session
    """The token counts, but came with another API key than the session's."""


class OtherVersion(StoreDown):
    """Whoever keeps it can read it, and has it still."""


@dataclass(frozen=True, slots=True)
class Record:
    session_id: str
    fence: int
    """The owner's number."""
    owner: str
    """Name of the API key; "" without any."""
    newest: bytes
    """Digest of the resume token that counts."""
    before: bytes
    """Of the one before it while that counts too, else b""."""
    data: bytes
    version: int = 1
    """Of the data."""


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

    async def take(self, session_id: str, digest: bytes, owner: str, version: int = 1) -> Taken | None:
        """None: there is none that this token counts for. Raises NotYours, OtherVersion."""

    async def drop(self, session_id: str, fence: int) -> None: ...

    async def aclose(self) -> None: ...
