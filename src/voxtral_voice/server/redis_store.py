"""The resume store in Redis.

Knows: Redis, its scripts, how long is waited for it. Does not know: what is kept (`snapshot`), when (`keeping`).

Each verb is one script, so that nothing comes between the comparison and the change. After a failure the store is asked
whether it is there: when it is not, nothing is tried for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final, NoReturn, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from voxtral_voice.observe import log
from voxtral_voice.server.resume_store import AGAIN_S, NotYours, OtherVersion, Record, Refused, StoreDown, Taken

PREFIX: Final = "voxtral_voice:session:"
WAIT_S: Final = 0.5
"""For one answer. On the same network it takes a millisecond; a client that comes back waits for it."""
CONNECTIONS: Final = 8
"""At once; who finds none free waits for one. All that wait are told together when the store is down."""

_PUT: Final = """
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and fence ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'owner', ARGV[3], 'newest', ARGV[4], 'before', ARGV[5], 'data', ARGV[6],
    'version', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_KEEP: Final = """
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence then return -1 end
if fence ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_TAKE: Final = """
local kept = redis.call('HMGET', KEYS[1], 'newest', 'before', 'owner', 'data', 'version')
if not kept[4] or ARGV[1] == '' or (kept[1] ~= ARGV[1] and kept[2] ~= ARGV[1]) then return 'unknown' end
if kept[3] ~= ARGV[2] then return 'not yours' end
if kept[5] ~= ARGV[4] then return 'other version' end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {redis.call('HINCRBY', KEYS[1], 'fence', 1), kept[4]}
"""
_DROP: Final = """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HDEL', KEYS[1], 'owner', 'newest', 'before', 'data', 'version')
"""
"""Nothing that was said stays. The number does, for a while: who had the session before cannot bring it back."""


class RedisStore:
    """url: redis://, rediss:// (TLS) or unix://, with a user and a password where it asks for one. ttl_s: how long a
    record outlives its last change. All verbs raise StoreDown."""

    def __init__(self, url: str, ttl_s: float, failed: Callable[[], None] = lambda: None) -> None:
        """failed: is told of each failure."""
        self._ttl_ms, self._failed = round(1000 * ttl_s), failed
        self._where = place(url)
        self._redis = Redis.from_url(
            url,
            socket_timeout=WAIT_S,
            socket_connect_timeout=WAIT_S,
            max_connections=CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._free = asyncio.Semaphore(CONNECTIONS)  # the library has no patience: it raises
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._not_before

    async def put(self, record: Record) -> bool:
        who = record.owner, record.newest, record.before
        what = record.data, record.version
        return await self._run(_PUT, record.session_id, record.fence, self._ttl_ms, *who, *what) == 1

    async def keep(self, session_id: str, fence: int) -> bool | None:
        answer = await self._run(_KEEP, session_id, fence, self._ttl_ms)
        return None if answer == -1 else answer == 1

    async def take(self, session_id: str, digest: bytes, owner: str, version: int = 1) -> Taken | None:
        answer = await self._run(_TAKE, session_id, digest, owner, self._ttl_ms, version)
        if answer == b"not yours":
            raise NotYours
        if answer == b"other version":
            raise OtherVersion
        if not isinstance(answer, list):
            return None
        return Taken(cast(int, answer[0]), cast(bytes, answer[1]))

    async def drop(self, session_id: str, fence: int) -> None:
        await self._run(_DROP, session_id, fence, self._ttl_ms)

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _run(self, script: str, session_id: str, *arguments: str | bytes | int) -> object:
        async with self._free:
            if self.is_resting:
                raise StoreDown
            try:
                async with asyncio.timeout(WAIT_S):
                    answer = await self._redis.eval(script, 1, key(session_id), *arguments)
            except (RedisError, OSError, TimeoutError) as error:
                await self._fail(error)
        if self._failures:
            self._failures = 0
            log.event("resume_store_back", store=self._where)
        return cast(object, answer)

    async def _fail(self, error: Exception) -> NoReturn:
        """Whose failure was it?"""
        self._failed()
        if isinstance(error, ResponseError) or await self._is_there():
            raise Refused(type(error).__name__) from error
        self._not_before = asyncio.get_running_loop().time() + AGAIN_S[min(self._failures, len(AGAIN_S) - 1)]
        self._failures += 1
        if (
            self._failures == 1
        ):  # logged once, until it works again; by its kind, for the message may quote what was sent
            log.event("resume_store_down", "error", store=self._where, reason=type(error).__name__)
        raise StoreDown from error

    async def _is_there(self) -> bool:
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return False


def key(session_id: str) -> str:
    return PREFIX + hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()


def place(url: str) -> str:
    """What may be said of it: no user, no password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
