"""How a client says at the handshake that it wants its session back.

Knows: where the token and the last event's id stand, what a token looks like, that only its hash is kept. Does not
know: which sessions there are, sockets.

    X-Voxtral-Voice-Resume: TOKEN          voxtral-voice-resume.TOKEN      headers, or where a browser can send none,
    X-Voxtral-Voice-After: EVENT_ID        voxtral-voice-after.EVENT_ID    subprotocols beside "realtime"

Never in the address: addresses end up in logs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

TOKEN_HEADER: Final = "x-voxtral-voice-resume"
AFTER_HEADER: Final = "x-voxtral-voice-after"
TOKEN_PROTOCOL: Final = "voxtral-voice-resume."
AFTER_PROTOCOL: Final = "voxtral-voice-after."


@dataclass(frozen=True, slots=True)
class Asked:
    token: str
    after: str
    """Id of the last event that the client has received; "" when it does not say."""

    @property
    def session_id(self) -> str:
        """Of whatever is claimed to be a token."""
        return self.token.partition(".")[0]


def asked(headers: Mapping[str, str], subprotocols: Iterable[str]) -> Asked | None:
    """None: a new session is wanted. headers: by lower-case name."""
    names = [*subprotocols]
    token = headers.get(TOKEN_HEADER, "").strip() or _named(names, TOKEN_PROTOCOL)
    if not token:
        return None
    return Asked(token, headers.get(AFTER_HEADER, "").strip() or _named(names, AFTER_PROTOCOL))


def _named(names: list[str], prefix: str) -> str:
    return next((name.removeprefix(prefix) for name in names if name.startswith(prefix)), "")


def make_token(session_id: str, secret: str) -> str:
    """secret: letters, digits, "-" and "_", not to be guessed."""
    return f"{session_id}.{secret}"


def digest(token: str) -> bytes:
    """All that is kept of it."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


class Tokens:
    """Of one session: the one that counts, and the one before it, until it is known that the client has the new one."""

    def __init__(self) -> None:
        self.newest: bytes | None = None
        """Digest; None: the session cannot be resumed."""
        self._before: bytes | None = None

    @property
    def counting(self) -> tuple[bytes, bytes] | None:
        """The newest, and the one before while that counts too, else b""; None: none does."""
        return None if self.newest is None else (self.newest, self._before or b"")

    def renew(self, token: str, shown: str | None = None) -> None:
        """shown: the one that the client came with, which may still be all that it has."""
        self._before, self.newest = None if shown is None else digest(shown), digest(token)

    def arrived(self) -> None:
        """The client goes on over the connection that told it the newest one: the one before is spent."""
        self._before = None

    def revoke(self) -> None:
        self.newest = self._before = None

    def accept(self, token: str) -> bool:
        """Takes as long for a wrong one as for a right one."""
        shown = digest(token)
        kept = [digest for digest in (self.newest, self._before) if digest is not None]
        return True in [hmac.compare_digest(digest, shown) for digest in kept]
