"""A session goes on at another server, or at the same one after a restart. Nothing is lost, nothing is said twice, and
a store that is down harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket as sockets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from blockbuster import BlockBuster
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import PATIENCE_S, Event, calling, tone
from tests.server.conftest import Server, Serving, quick, quick_config
from tests.server.processes import served
from tests.server.redis_server import RedisServer, redis_server
from tests.server.traveller import Traveller
from voxtral_voice.config import Config
from voxtral_voice.conversation.events import Item
from voxtral_voice.engines.fakes import FakeResponder, FakeTranscriber
from voxtral_voice.engines.registry import Engines
from voxtral_voice.realtime.resume import digest
from voxtral_voice.server import keeping
from voxtral_voice.server.keeping import owner
from voxtral_voice.server.redis_store import RedisStore
from voxtral_voice.server.resume_store import Record

STORY = "One fine day. Two men went out. Three dogs came by."


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(autouse=True)
def processes_may_start(nothing_blocks: BlockBuster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nothing_blocks.deactivate()
    monkeypatch.setattr(keeping, "HELD_S", 0.05)
    yield
    nothing_blocks.activate()


def config(redis: RedisServer, *, lead_ms: int = 200, **server: Any) -> Config:
    quick = quick_config(lead_ms=lead_ms)
    with_store = quick.server.model_copy(update={"resume_store": SecretStr(redis.url), **server})
    return quick.model_copy(update={"server": with_store})


@asynccontextmanager
async def wandering(url: str, **session: Any) -> AsyncIterator[Traveller]:
    """A client that may go on with its session at another server."""
    address = url.replace("http", "ws", 1) + "/v1/realtime"
    socket = await connect(address, compression=None, max_size=None, proxy=None, close_timeout=2)
    wanderer = Traveller(address, socket, "")
    try:
        await wanderer.until("session.created")
        await wanderer.opt_in(**session)
        yield wanderer
    finally:
        await wanderer.leave()


@asynccontextmanager
async def two_servers(
    serving: Serving, redis: RedisServer, one: Engines | None = None, two: Engines | None = None, **session: Any
) -> AsyncIterator[tuple[Server, Server, Traveller]]:
    """And a client of the first."""
    async with serving(one, config(redis)) as first, serving(two, config(redis)) as second:
        async with wandering(first.url, **session) as wanderer:
            yield first, second, wanderer
        for server in (first, second):
            await lets_go(server)
            await server.all_ended()


async def goes_to(wanderer: Traveller, url: str, *, cut: bool = True) -> Event:
    """The greeting there."""
    if cut:
        await wanderer.cut()
    else:
        await wanderer.until_hung_up()
    wanderer._address = url.replace("http", "ws", 1) + "/v1/realtime"
    greeting = await wanderer.come_back()
    assert greeting["session"]["voxtral_voice"]["resume"]["restored"] is True
    assert greeting["session"]["id"] == wanderer.events[0]["session"]["id"]
    return greeting


async def lets_go(server: Server) -> None:
    """Of the session that another server has now."""
    async with asyncio.timeout(PATIENCE_S):
        while len(server.runtime.sessions):  # noqa: ASYNC110 - it looks now and then
            await asyncio.sleep(0.01)


async def is_kept(server: Server) -> None:
    """All that has changed is in the store."""
    await server.runtime.keeping.write()


def texts(server: Server) -> list[tuple[str, str]]:
    """The conversation, as the only session there has it."""
    [session] = server.runtime.sessions
    return [(item.role, item.text or "") for item in session._core.history if isinstance(item, Item)]


def story() -> Engines:
    return quick(responder=FakeResponder(lambda _: STORY, 0, 0))


# --- from one server to another -------------------------------------------------------------------------------------


async def test_history_and_settings_go_along(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis, instructions="Be brief.") as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.send("conversation.item.create", item={
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": "I am Ada."}],
        })  # fmt: skip
        await wanderer.until("conversation.item.done", 3)
        await wanderer.played()
        await is_kept(one)
        before = texts(one)
        greeting = await goes_to(wanderer, two.url)
        assert greeting["session"]["instructions"] == "Be brief."
        assert texts(two) == before
        assert before[-1] == ("user", "I am Ada.")
        await wanderer.turn()
        assert wanderer.count("response.done") == 2
        assert texts(two)[: len(before)] == before
        assert await two.metric("sessions_restored_total") == 1


async def test_the_rest_of_a_reply_is_heard_there(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis, story()) as (one, two, wanderer):
        await wanderer.speak()
        await wanderer.until("response.output_audio_transcript.delta", 2)
        await is_kept(one)
        sent = len(wanderer.events)
        await goes_to(wanderer, two.url)
        await wanderer.until("response.done")
        replies = [text for role, text in texts(two) if role == "assistant"]
        assert " ".join(replies) == STORY
        assert wanderer.count("response.created") == 2
        again = [e["delta"] for e in wanderer.events[sent:] if e["type"] == "response.output_audio_transcript.delta"]
        assert "".join(again).strip() == replies[1]


async def test_a_turn_without_an_answer_is_answered_there(serving: Serving, redis: RedisServer) -> None:
    class Hangs(FakeResponder):
        async def respond(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()
            yield ""

    async with two_servers(serving, redis, quick(responder=Hangs())) as (one, two, wanderer):
        await wanderer.speak()
        await wanderer.until("response.created")
        await is_kept(one)
        await goes_to(wanderer, two.url)
        await wanderer.until("response.done")
        assert texts(two) == [("user", "Hello there."), ("assistant", "You said: Hello there.")]


async def test_what_is_being_said_is_sent_again_and_heard_once(serving: Serving, redis: RedisServer) -> None:
    heard: list[float] = []

    def line(audio: Any) -> str:
        heard.append(len(audio) / 16)
        return "Hello there."

    ear = FakeTranscriber(line, latency_ms=0)
    async with two_servers(serving, redis, None, quick(transcriber=ear)) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await wanderer.say(tone(800))
        await wanderer.until("input_audio_buffer.speech_started", 2)
        await is_kept(one)
        await goes_to(wanderer, two.url)
        await wanderer.speak(400)
        await wanderer.until("response.done", 2)
        assert [text for role, text in texts(two) if role == "user"] == ["Hello there.", "Hello there."]
        assert 1200 <= max(heard) < 2000


async def test_the_server_that_lost_it_lets_go(serving: Serving, redis: RedisServer) -> None:
    """Also when its client has never left: the one that shows the token has it."""
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await is_kept(one)
        old, heard_old = wanderer.socket, wanderer._listening
        wanderer._address = two.url.replace("http", "ws", 1) + "/v1/realtime"
        wanderer._listening = asyncio.create_task(asyncio.sleep(0))
        await wanderer.come_back()
        await lets_go(one)
        await heard_old
        wanderer.hung_up = None
        assert old.close_code == 4001
        assert len(two.runtime.sessions) == 1
        await wanderer.turn()


async def test_it_goes_to_and_fro(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis) as (one, two, wanderer):
        for number, server in enumerate((two, one, two), 1):
            await wanderer.turn()
            await wanderer.played()
            await is_kept(one if server is two else two)
            await goes_to(wanderer, server.url)
            assert len(texts(server)) == 2 * number
        await lets_go(one)


async def test_a_token_that_never_arrived_does_not_lock_the_client_out(serving: Serving, redis: RedisServer) -> None:
    """The answer of the second server was lost; the first one still has the session, and is not its owner any more."""
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        await wanderer.cut()
        first, token = wanderer._address, wanderer.token
        wanderer._address = two.url.replace("http", "ws", 1) + "/v1/realtime"
        lost = await wanderer.dial()
        lost.transport.abort()
        assert wanderer.token == token
        wanderer._address = first
        await is_kept(two)
        await wanderer.come_back()
        await wanderer.turn()
        assert len(texts(one)) == 4


async def test_on_the_server_that_still_has_it_nothing_is_restored(serving: Serving, redis: RedisServer) -> None:
    async with serving(config=config(redis)) as one, wandering(one.url) as wanderer:
        await wanderer.turn()
        await is_kept(one)
        await wanderer.cut()
        greeting = await wanderer.come_back()
        assert "restored" not in greeting["session"]["voxtral_voice"]["resume"]
        await wanderer.turn()


# --- who may not ----------------------------------------------------------------------------------------------------


async def refused(wanderer: Traveller, url: str, **how: Any) -> int:
    wanderer._address = url.replace("http", "ws", 1) + "/v1/realtime"
    with pytest.raises(InvalidStatus) as no:
        await wanderer.dial(**how)
    return no.value.response.status_code


async def test_a_wrong_token_gets_nothing(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await is_kept(one)
        session_id = wanderer.token.partition(".")[0]
        assert await refused(wanderer, two.url, token=f"{session_id}.guess") == 404
        assert await refused(wanderer, two.url, token="sess_none.guess") == 404


async def test_another_key_gets_nothing(serving: Serving, redis: RedisServer) -> None:
    keys = SecretStr("first-key-of-length,second-key-of-length")
    async with serving(config=config(redis, api_keys=keys)) as two, two_servers(serving, redis) as (one, _, wanderer):
        await wanderer.turn()
        await is_kept(one)
        wanderer._address = two.url.replace("http", "ws", 1) + "/v1/realtime"
        headers = {"Authorization": "Bearer second-key-of-length", "X-Voxtral-Voice-Resume": wanderer.token}
        with pytest.raises(InvalidStatus) as no:
            await connect(wanderer._address, proxy=None, additional_headers=headers)
        assert no.value.response.status_code == 401
        await wanderer.turn()


async def test_who_leaves_is_forgotten(serving: Serving, redis: RedisServer) -> None:
    store = RedisStore(redis.url, 60)
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await is_kept(one)
        token = wanderer.token
        await wanderer.leave()
        await one.all_ended()
        await is_kept(one)
        assert await store.take(token.partition(".")[0], digest(token), owner(b"")) is None
        assert await refused(wanderer, two.url) == 404
    await store.aclose()


async def test_who_does_not_ask_for_it_is_not_kept(serving: Serving, redis: RedisServer) -> None:
    store = RedisStore(redis.url, 60)
    await store._redis.flushall()
    async with serving(config=config(redis)) as one, calling(one.url) as caller:
        await caller.turn()
        await is_kept(one)
        assert await store._redis.keys("*") == []
    await store.aclose()


async def test_what_cannot_be_read_is_not_there(
    serving: Serving, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another version, perhaps."""
    async with two_servers(serving, redis) as (_, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        store = RedisStore(redis.url, 60)
        session_id = wanderer.token.partition(".")[0]
        await store.put(Record(session_id, 1, owner(b""), digest(wanderer.token), b"", b'{"version": 0}'))
        assert await refused(wanderer, two.url) == 404
        await store.aclose()
    assert "snapshot_unreadable" in [record.getMessage() for record in caplog.records]


async def test_a_full_server_says_so_and_takes_nothing(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        two.runtime.admission._most = 0
        assert await refused(wanderer, two.url) == 503
        two.runtime.admission._most = 4
        await goes_to(wanderer, two.url)
        assert two.runtime.admission.sessions == 1


# --- a store that is down -------------------------------------------------------------------------------------------


async def test_a_store_that_is_down_harms_nobody_and_is_filled_when_it_is_back(serving: Serving) -> None:
    with redis_server() as redis:
        async with serving(config=config(redis)) as one, wandering(one.url) as wanderer:
            await wanderer.turn()
            redis.hangs()
            await asyncio.gather(wanderer.turn(), is_kept(one))
            assert await one.metric("resume_store_failures_total") >= 1
            redis.ends()
            await wanderer.turn()
            await wanderer.cut()
            await wanderer.come_back()
            await wanderer.turn()
            redis.starts()
            store = RedisStore(redis.url, 60)
            async with asyncio.timeout(PATIENCE_S):
                while not await store._redis.keys("*"):  # noqa: ASYNC110 - the store has no event for tests
                    await asyncio.sleep(0.05)
            await store.aclose()


async def test_whoever_asks_a_store_that_is_down_is_to_come_again(serving: Serving) -> None:
    with redis_server() as redis:
        async with two_servers(serving, redis) as (one, two, wanderer):
            await wanderer.turn()
            await wanderer.played()
            await is_kept(one)
            redis.hangs()
            assert await refused(wanderer, two.url) == 503
            redis.goes_on()
            with contextlib.suppress(InvalidStatus):
                await wanderer.cut()
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        await wanderer.come_back()
                        break
                    except InvalidStatus:
                        await asyncio.sleep(0.05)
            await wanderer.turn()
            assert two.runtime.admission.sessions == 1


# --- processes ------------------------------------------------------------------------------------------------------


def free_port() -> str:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


async def test_a_server_that_is_killed_and_started_again(redis: RedisServer) -> None:
    port = free_port()
    async with served("--port", port, store=redis.url) as one, wandering(one.url, instructions="Be brief.") as wanderer:
        await wanderer.turn()
        await wanderer.played()
        await wanderer.speak()
        await wanderer.until("response.output_audio.delta", wanderer.count("response.output_audio.delta") + 5)
        await asyncio.sleep(2 * keeping.TICK_S)  # it is written this often
        one.signal(signal.SIGKILL)
        await wanderer.until_hung_up()
        await wanderer._listening
        async with served("--port", port, store=redis.url) as two:
            greeting = await goes_to(wanderer, two.url, cut=False)
            assert greeting["session"]["instructions"] == "Be brief."
            await wanderer.until("response.done", 2)
            await wanderer.played()
            await wanderer.turn()
            said = wanderer.said().replace(" ", "")
            assert said == "Yousaid:Hellothere.Yousaid:Howareyoutoday.Yousaid:Hellothere."
            await wanderer.leave()


async def test_a_server_that_is_drained_and_started_again(redis: RedisServer) -> None:
    """What it was saying when the time was over goes on at the word where it stopped."""
    async with served("--server-drain-s", "0.3", store=redis.url) as one, wandering(one.url) as wanderer:
        await wanderer.speak()
        await wanderer.until("response.output_audio.delta")
        one.signal(signal.SIGTERM)
        assert (await wanderer.until_hung_up())[0] == 1012
        assert await one.ended() == 0
        await wanderer._listening
        async with served(store=redis.url) as two:
            await goes_to(wanderer, two.url, cut=False)
            await wanderer.until("response.done")
            assert wanderer.count("response.created") == 2
            [first, rest] = [
                "".join(
                    e["delta"] for e in wanderer.all("response.output_audio_transcript.delta") if e["response_id"] == i
                )
                for i in dict.fromkeys(e["response"]["id"] for e in wanderer.all("response.created"))
            ]
            assert first.endswith(rest.strip())
            assert rest.strip() not in ("", first.strip())
            await wanderer.leave()
