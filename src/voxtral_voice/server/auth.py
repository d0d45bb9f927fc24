"""Who may use this server: API keys, client secrets, and the sites whose pages may connect.

Knows: keys as sha256 hashes, the file they are in, what a request shows of who asks. Does not know: sockets, HTTP
answers (`door`), what a session's configuration means (`client_secrets`). No plain key is kept, logged or told.

    Auth.check(headers, subprotocols)   who asks, or why the answer is no
    Auth.secrets.mint(...)              a client secret: opens sessions, and nothing else, until it expires

A key is shown as `Authorization: Bearer KEY`, or, where a browser can send no headers, as the WebSocket subprotocol
`openai-insecure-api-key.KEY`. Never in the address: addresses end up in logs.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from voxtral_voice.config import ServerConfig, is_loopback
from voxtral_voice.errors import ConfigError, ServerError
from voxtral_voice.observe import log
from voxtral_voice.realtime.fields import JsonObject

KEY_PREFIX: Final = "vv_"
SECRET_PREFIX: Final = "ek_"
"""Clients for browsers look for it."""
RANDOM_BYTES: Final = 32
SHORT_KEY: Final = 16
"""In characters. A shorter key can be guessed, some day."""
KEY_PROTOCOL: Final = "openai-insecure-api-key."
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
LARGEST_KEYS_FILE: Final = 2**20
"""In bytes: some ten thousand keys. It is read at every request."""
MOST_SECRETS: Final = 10_000
MOST_SECRET_BYTES: Final = 16 * 2**20
"""Of the sessions that they stand for, as JSON. When either is full, the expired ones go; if none are, no new one is
given."""

Clock = Callable[[], float]
"""Unix seconds."""
Code = Literal["invalid_api_key", "foreign_origin", "foreign_host", "rate_limit_exceeded"]


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who may use the server."""

    name: str = ""
    """Of the key; "" where none is asked for."""
    digest: bytes = b""
    """Of the key; of a client secret: of the key that it was given to."""
    session: JsonObject | None = None
    """Of a client secret: what `session.update` would send first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    code: Code
    message: str


MISSING: Final = Refusal(
    401,
    "invalid_api_key",
    "An API key is needed: send 'Authorization: Bearer KEY', or on a WebSocket the subprotocols 'realtime' and "
    f"'{KEY_PROTOCOL}KEY'.",
)
WRONG: Final = Refusal(401, "invalid_api_key", "Incorrect API key provided.")
EXPIRED: Final = Refusal(401, "invalid_api_key", "This client secret has expired: ask for a new one.")
SESSIONS_ONLY: Final = Refusal(
    401, "invalid_api_key", "A client secret opens Realtime sessions and nothing else: send an API key."
)
FOREIGN: Final = Refusal(
    403, "foreign_origin", "Pages of another site may not connect; --server-allowed-origins names those that may."
)
MISNAMED: Final = Refusal(
    403, "foreign_host", "The server does not go by this name; --server-allowed-hosts tells it the names that it has."
)
FULL: Final = Refusal(429, "rate_limit_exceeded", "Too many client secrets are valid now: wait until some expire.")


def hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def new_key(name: str) -> tuple[str, str]:
    """A key, and the line of a keys file that lets it in. Raises ConfigError for a name that no line can hold."""
    if not NAME.fullmatch(name):
        raise ConfigError("A key's name is 1 to 64 letters, digits, dots, dashes and underscores.")
    key = KEY_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return key, f"{name}:{hashed(key).hex()}"


def shown_key(headers: Mapping[str, str], subprotocols: Sequence[str]) -> str | None:
    """The key that a request shows; with both ways, that of the header.

    headers: by lower-case name. Another kind of Authorization (a proxy's password) is none of ours.
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    named = (name.removeprefix(KEY_PROTOCOL) for name in subprotocols if name.startswith(KEY_PROTOCOL))
    return next(named, "") or None


def matching(keys: Iterable[Key], digest: bytes) -> Key | None:
    """Takes as long for a wrong key as for a right one."""
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


# --- keys of a file ---------------------------------------------------------------------------------------------


class KeysFile:
    """Read again for every request, so that a key that is added or taken out counts at once.

    While it cannot be read or understood, the keys stay as they were, and the log says so once. An empty file lets
    nobody in. Blocks: to be asked on a thread.
    """

    def __init__(self, path: Path) -> None:
        """Raises ServerError."""
        self._path = path
        text = self._read()
        self._known = text, self._parsed(text)
        """The last text that could be used, and its keys."""
        self._trouble = ""
        if not self._known[1]:
            raise ServerError(f"There is no key in {path}: make one with 'voxtral-voice keys new NAME >> {path}'.")

    def keys(self) -> tuple[Key, ...]:
        before, keys = self._known
        try:
            if (text := self._read()) != before:
                keys = self._parsed(text)
                self._known = text, keys
                log.event("keys_read_again", keys=len(keys))
            self._trouble = ""
        except ServerError as error:
            if str(error) != self._trouble:
                log.event("keys_file_unusable", "error", reason=str(error))
            self._trouble = str(error)
        return keys

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                text = file.read(LARGEST_KEYS_FILE + 1)
        except OSError as error:
            raise ServerError(f"The keys file {self._path} cannot be read: {error.strerror or error}.") from error
        if len(text) > LARGEST_KEYS_FILE:
            raise ServerError(f"The keys file {self._path} is larger than {LARGEST_KEYS_FILE // 2**20} MiB.")
        return text

    def _parsed(self, text: bytes) -> tuple[Key, ...]:
        lines = enumerate(text.decode(errors="replace").splitlines(), 1)
        words = ((number, line.strip()) for number, line in lines)
        return tuple(self._key(number, line) for number, line in words if line and not line.startswith("#"))

    def _key(self, number: int, line: str) -> Key:
        """The line itself is never told: it may be a plain key."""
        name, _, digest = line.partition(":")
        if not NAME.fullmatch(name) or not SHA256.fullmatch(digest.lower()):
            raise ServerError(
                f"Line {number} of {self._path} is no key: write NAME:SHA256, as 'voxtral-voice keys new NAME' does."
            )
        return Key(name, bytes.fromhex(digest))


# --- client secrets ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientSecret:
    expires_at: int
    session: JsonObject
    key: Key
    """That it was given to; the secret is worth nothing without it."""
    size: int


class ClientSecrets:
    """Those that were given; only their hashes are kept. They do not outlive the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._given: dict[bytes, ClientSecret] = {}
        self._bytes = 0

    def mint(self, session: JsonObject, seconds: int, who: Who, size: int) -> tuple[str, int] | Refusal:
        """A secret and when it expires, in Unix seconds. size: of the session as JSON, in bytes."""
        if not self._has_room(size):
            self._drop_expired()
        if not self._has_room(size):
            return FULL
        value = SECRET_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        expires_at = int(self._clock()) + seconds
        self._given[hashed(value)] = ClientSecret(expires_at, session, Key(who.name, who.digest), size)
        self._bytes += size
        return value, expires_at

    def find(self, digest: bytes) -> ClientSecret | None:
        return self._given.get(digest)

    def has_expired(self, secret: ClientSecret) -> bool:
        return self._clock() >= secret.expires_at

    def _has_room(self, size: int) -> bool:
        return len(self._given) < MOST_SECRETS and self._bytes + size <= MOST_SECRET_BYTES

    def _drop_expired(self) -> None:
        self._given = {digest: secret for digest, secret in self._given.items() if not self.has_expired(secret)}
        self._bytes = sum(secret.size for secret in self._given.values())


# --- decisions --------------------------------------------------------------------------------------------------


class Auth:
    """Of one server."""

    def __init__(self, server: ServerConfig | None = None, clock: Clock = time.time) -> None:
        """Raises ServerError. Blocks when there is a keys file."""
        server = server or ServerConfig()
        self.secrets = ClientSecrets(clock)
        if any(len(key) < SHORT_KEY for key in server.plain_keys):
            log.event("short_api_key", "warning", advice="make longer ones with: voxtral-voice keys new NAME")
        self._named = tuple(Key(f"key_{number}", hashed(key)) for number, key in enumerate(server.plain_keys, 1))
        self._file = KeysFile(Path(server.api_keys_file)) if server.api_keys_file else None
        self._allowed = frozenset(server.allowed_origins)
        self._hosts = frozenset(server.allowed_hosts)
        self._names = self._hosts | {_name(_netloc(origin)) for origin in self._allowed}
        """Of which nobody else decides where they lead."""
        self._asks = server.asks_for_a_key
        self._here_only = is_loopback(server.host) and not (self._asks or server.insecure_no_auth)

    def misnamed(self, headers: Mapping[str, str]) -> Refusal | None:
        """For whoever asks for the server by a name that is not its own. For all paths but the page, before anything
        else.

        A site may let its own name point to this machine (DNS rebinding). Its pages are then of the same origin as the
        server, and a browser sends no Origin with what they read. Who sends no Host is no browser.
        """
        if not (self._here_only or self._hosts):
            return None
        return None if self.is_ours(headers) else MISNAMED

    def is_ours(self, headers: Mapping[str, str]) -> bool:
        """The name that the server is asked for by leads nowhere else."""
        host = headers.get("host", "")
        return not host or _is_no_name(host) or _name(host) in self._names

    async def check(
        self,
        headers: Mapping[str, str],
        subprotocols: Sequence[str] = (),
        *,
        opens_session: bool = False,
        resumes: bool = False,
    ) -> Who | Refusal:
        """headers: by lower-case name. opens_session: a client secret is enough. resumes: a session that is there,
        with its token: a client secret may have expired since it was opened."""
        if self._is_foreign(headers):
            return FOREIGN
        shown = shown_key(headers, subprotocols)
        if shown is None:
            return MISSING if self._asks else Who()
        digest = hashed(shown)
        keys = await self._keys()
        secret = self.secrets.find(digest)
        if secret is not None and (opens_session or self._asks):
            return self._with_secret(secret, keys, opens_session, resumes)
        if not self._asks:
            return Who()  # what a client sends because it has to send something
        found = matching(keys, digest)
        return Who(found.name, found.digest) if found else WRONG

    def _with_secret(
        self, secret: ClientSecret, keys: tuple[Key, ...], opens_session: bool, resumes: bool
    ) -> Who | Refusal:
        if self._asks and matching(keys, secret.key.digest) is None:
            return WRONG
        if self.secrets.has_expired(secret) and not resumes:
            return EXPIRED
        if not opens_session:
            return SESSIONS_ONLY
        return Who(secret.key.name, secret.key.digest, secret.session)

    async def _keys(self) -> tuple[Key, ...]:
        if self._file is None:
            return self._named
        return (*self._named, *await asyncio.to_thread(self._file.keys))

    def _is_foreign(self, headers: Mapping[str, str]) -> bool:
        """A browser says which site's page asks; any site could otherwise use a visitor's own server.

        Clients that are no browsers send no Origin. Without keys, on loopback, the page's address has to be this
        machine's own, too: a site may say that its name is 127.0.0.1 (DNS rebinding).
        """
        origin = headers.get("origin", "").lower()
        if not origin or origin in self._allowed:
            return False
        site, host = _netloc(origin), headers.get("host", "").lower()
        return not site or site != host or (self._here_only and not (_is_no_name(site) or _name(site) in self._names))


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(site: str) -> str:
    """Of a Host header or an origin, without the port. "" for what is none."""
    try:
        return urlsplit(f"//{site}").hostname or ""
    except ValueError:
        return ""


def _is_no_name(site: str) -> bool:
    """An address, or a name that is always this machine's: nobody else decides where it leads."""
    host = _name(site)
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return True
