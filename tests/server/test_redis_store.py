from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from tests.certificate import certificate
from tests.server.redis_server import RedisServer, redis_server
from voxtral_voice.server import redis_store
from voxtral_voice.server.redis_store import CONNECTIONS, RedisStore, key, place
from voxtral_voice.server.resume_store import NotYours, OtherVersion, Record, Refused, StoreDown, Taken

ONE = Record("sess_1", 1, "alice", b"newest", b"before", b"what was said")
TTL_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(autouse=True)
def processes_may_start(nothing_blocks: BlockBuster) -> Iterator[None]:
    nothing_blocks.deactivate()
    yield
    nothing_blocks.activate()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url, TTL_S)
    await store._redis.flushall()
    yield store
    await store.aclose()


async def test_what_was_put_is_taken_by_either_token(store: RedisStore) -> None:
    assert await store.put(ONE)
    assert await store.take("sess_1", b"newest", "alice") == Taken(2, b"what was said")
    assert await store.take("sess_1", b"before", "alice") == Taken(3, b"what was said")


async def test_nobody_else_gets_it(store: RedisStore) -> None:
    await store.put(ONE)
    assert await store.take("sess_1", b"guessed", "alice") is None
    assert await store.take("sess_1", b"", "alice") is None
    assert await store.take("sess_2", b"newest", "alice") is None
    with pytest.raises(NotYours):
        await store.take("sess_1", b"newest", "bob")
    assert await store.put(ONE), "it is still the first one's"


async def test_no_token_before_is_none(store: RedisStore) -> None:
    await store.put(replace(ONE, before=b""))
    assert await store.take("sess_1", b"", "alice") is None


async def test_who_has_lost_it_can_write_nothing(store: RedisStore) -> None:
    await store.put(ONE)
    taken = await store.take("sess_1", b"newest", "alice")
    assert taken is not None
    assert not await store.put(replace(ONE, data=b"late"))
    assert await store.keep("sess_1", 1) is False
    await store.drop("sess_1", 1)
    assert await store.put(replace(ONE, fence=taken.fence, data=b"more"))
    assert await store.keep("sess_1", taken.fence) is True
    assert await store.take("sess_1", b"newest", "alice") == Taken(3, b"more")


async def test_of_two_that_take_it_at_once_one_stays_the_owner(server: RedisServer, store: RedisStore) -> None:
    other = RedisStore(server.url, TTL_S)
    await store.put(ONE)
    first, second = await asyncio.gather(*(one.take("sess_1", b"newest", "alice") for one in (store, other)))
    assert first is not None
    assert second is not None
    assert {first.fence, second.fence} == {2, 3}
    assert [await store.put(replace(ONE, fence=fence)) for fence in (2, 3)] == [False, True]
    await other.aclose()


async def test_nothing_that_was_said_stays_when_it_is_dropped(store: RedisStore) -> None:
    await store.put(ONE)
    taken = await store.take("sess_1", b"newest", "alice")
    assert taken is not None
    await store.drop("sess_1", taken.fence)
    assert await store._redis.hgetall(key("sess_1")) == {b"fence": b"2"}
    assert await store.take("sess_1", b"newest", "alice") is None
    assert not await store.put(ONE), "who had it before cannot bring it back"


async def test_a_store_that_was_emptied_is_filled_again(store: RedisStore) -> None:
    await store.put(ONE)
    await store._redis.flushall()
    assert await store.keep("sess_1", 1) is None
    assert await store.put(ONE)


async def test_what_another_version_has_written_stays_with_it(store: RedisStore) -> None:
    await store.put(replace(ONE, version=2))
    with pytest.raises(OtherVersion):
        await store.take("sess_1", b"newest", "alice", 1)
    with pytest.raises(OtherVersion):
        await store.take("sess_1", b"newest", "alice", 3)
    assert await store.put(replace(ONE, version=2)), "it is still the first one's"
    assert await store.take("sess_1", b"newest", "alice", 2) == Taken(2, b"what was said")


async def test_more_at_once_than_there_are_connections_wait_for_one(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "WAIT_S", 20.0)
    failed: list[None] = []
    store = RedisStore(server.url, TTL_S, lambda: failed.append(None))
    await store.put(replace(ONE, session_id="sess_many"))
    taken = await asyncio.gather(*(store.take("sess_many", b"newest", "alice") for _ in range(5 * CONNECTIONS)))
    await store.aclose()
    assert None not in taken
    assert failed == []


async def test_it_is_gone_after_its_time(server: RedisServer, store: RedisStore) -> None:
    short = RedisStore(server.url, 0.05)
    await short.put(ONE)
    ttl_ms = await store._redis.pttl(key("sess_1"))
    assert 0 < ttl_ms <= 50
    await short.aclose()
    assert await store.keep("sess_1", 1) in (True, None)
    await store.put(ONE)
    assert await store._redis.pttl(key("sess_1")) > 50_000


async def test_neither_a_token_nor_a_session_is_in_a_key(store: RedisStore) -> None:
    await store.put(ONE)
    [name] = await store._redis.keys("*")
    assert str(name).startswith("b'voxtral_voice:session:")
    assert "sess_1" not in str(name)


# --- a store that is down or slow ------------------------------------------------------------------------------------


class Failures:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_store, "AGAIN_S", (0.0,))
        monkeypatch.setattr(redis_store, "WAIT_S", 0.2)
        self.count = 0

    def failed(self) -> None:
        self.count += 1


async def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = Failures(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = RedisStore(f"redis://:secret-word@127.0.0.1:{free.getsockname()[1]}/0", TTL_S, failures.failed)
    for _ in range(3):
        with pytest.raises(StoreDown):
            await store.put(ONE)
    await store.aclose()
    assert failures.count == 3
    told = [record for record in caplog.records if record.getMessage() == "resume_store_down"]
    assert len(told) == 1
    assert "secret-word" not in str(told[0].__dict__)


async def test_after_a_failure_it_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = Failures(monkeypatch)
    monkeypatch.setattr(redis_store, "AGAIN_S", (60.0,))
    store = RedisStore("redis://127.0.0.1:1/0", TTL_S, failures.failed)
    for _ in range(3):
        with pytest.raises(StoreDown):
            await store.put(ONE)
    await store.aclose()
    assert failures.count == 1


async def test_a_store_that_does_not_take_a_record_is_there_for_the_others(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no room for more."""
    failures = Failures(monkeypatch)
    monkeypatch.setattr(redis_store, "WAIT_S", 20.0)
    monkeypatch.setattr(store, "_failed", failures.failed)
    await store.put(ONE)
    await store._redis.config_set("maxmemory", "1")
    with pytest.raises(Refused, match="OutOfMemoryError"):
        await store.put(replace(ONE, session_id="sess_2"))
    assert not store.is_resting
    assert await store.keep("sess_1", 1)
    await store._redis.config_set("maxmemory", "0")
    assert await store.put(replace(ONE, session_id="sess_2"))
    assert failures.count == 1


async def test_a_store_that_takes_long_for_one_thing_is_there_for_the_others(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "AGAIN_S", (60.0,))
    await store.put(ONE)
    await store._redis.execute_command("CLIENT", "PAUSE", "60000", "WRITE")  # type: ignore[no-untyped-call]
    with pytest.raises(Refused, match="TimeoutError"):
        await store.put(ONE)
    assert not store.is_resting
    await store._redis.execute_command("CLIENT", "UNPAUSE")  # type: ignore[no-untyped-call]
    assert await store.put(ONE)


async def test_a_store_that_hangs_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failures = Failures(monkeypatch)
    with redis_server() as server:
        store = RedisStore(server.url, TTL_S, failures.failed)
        await store.put(ONE)
        server.hangs()
        with pytest.raises(StoreDown):
            await store.put(ONE)
        server.goes_on()
        assert await store.put(ONE)
        await store.aclose()
    assert "resume_store_back" in [record.getMessage() for record in caplog.records]


async def test_a_store_that_asks_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = Failures(monkeypatch)
    with redis_server(password="secret-word") as server:
        store = RedisStore(server.url, TTL_S)
        assert await store.put(ONE)
        await store.aclose()
        stranger = RedisStore(server.url.replace("secret-word", "guess"), TTL_S, failures.failed)
        with pytest.raises(StoreDown):
            await stranger.put(ONE)
        await stranger.aclose()


async def test_a_store_that_speaks_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = Failures(monkeypatch)
    ours, other = certificate(tmp_path), certificate(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_text(ours.cert.read_text() + ours.key.read_text())
    with redis_server("secret-word", str(both)) as server:
        assert server.url.startswith("rediss://:secret-word@")
        store = RedisStore(server.url, TTL_S)
        assert await store.put(ONE)
        await store.aclose()
        for doubtful in (server.url.replace(str(both), str(other.cert)), server.url.replace("rediss://", "redis://")):
            stranger = RedisStore(
                doubtful.partition("?")[0] if "redis://" in doubtful else doubtful, TTL_S, failures.failed
            )
            with pytest.raises(StoreDown):
                await stranger.put(ONE)
            await stranger.aclose()
    assert failures.count == 2


def test_what_is_said_of_a_store_has_no_password() -> None:
    assert place("rediss://user:secret@store.example.com:6380/2") == "rediss://store.example.com:6380/2"
    assert place("redis://localhost") == "redis://localhost"
