"""A session goes on at another server, or at the same one after a restart. Nothing is lost, nothing is said twice, and
a store that is down harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket as sockets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast
from unittest.mock import AsyncMock

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
from voxtral_voice.conversation.events import Item, Restored
from voxtral_voice.engines.fakes import FakeResponder, FakeTranscriber
from voxtral_voice.engines.registry import Engines
from voxtral_voice.errors import VoiceError
from voxtral_voice.realtime.resume import digest
from voxtral_voice.realtime.voices import Voices
from voxtral_voice.server import keeping, snapshot
from voxtral_voice.server.auth import Who
from voxtral_voice.server.keeping import Keeping, owner
from voxtral_voice.server.link import End, Link, Why
from voxtral_voice.server.live import LiveSession
from voxtral_voice.server.redis_store import RedisStore
from voxtral_voice.server.resume_store import Record, Refused, StoreDown, Taken
from voxtral_voice.server.runtime import Runtime
from voxtral_voice.server.sessions import Sessions
from voxtral_voice.server.snapshot import Snapshot

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


def no_voice(name: str) -> str:
    raise VoiceError(f"there is no voice {name!r}")


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


async def test_what_the_other_server_does_not_have_costs_the_other_settings_nothing(
    serving: Serving, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = {"output": {"voice": "af_bella"}}
    async with two_servers(serving, redis, instructions="Be brief.", audio=audio) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        monkeypatch.setattr(Runtime, "voices", lambda *_: Voices(("af_heart",), "af_heart", no_voice))
        greeting = await goes_to(wanderer, two.url)
        assert greeting["session"]["instructions"] == "Be brief."
        assert greeting["session"]["audio"]["output"]["voice"] == "af_heart"
        await wanderer.until("error")
        assert wanderer.all("error")[0]["error"]["param"] == "session.audio.output.voice"
        await wanderer.turn()


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


async def test_who_names_an_event_that_is_not_there_any_more_goes_on_from_the_store(
    serving: Serving, redis: RedisServer
) -> None:
    async with serving(config=config(redis)) as one, wandering(one.url) as wanderer:
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        await wanderer.cut()
        greeting = await wanderer.come_back(after="event_of_long_ago")
        assert greeting["session"]["voxtral_voice"]["resume"]["restored"] is True
        await wanderer.turn()
        assert len(texts(one)) == 4


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


async def test_a_token_that_was_taken_back_is_worth_nothing(serving: Serving, redis: RedisServer) -> None:
    """The session goes on over the connection that it has."""
    store = RedisStore(redis.url, 60)
    await store._redis.flushall()
    async with serving(config=config(redis)) as one, wandering(one.url) as wanderer:
        await wanderer.turn()
        await is_kept(one)
        token = wanderer.token
        await wanderer.update(voxtral_voice={"resume": False, "events": True})
        assert await refused(wanderer, one.url, token=token) == 404
        await is_kept(one)
        [name] = await store._redis.keys("*")
        assert await store._redis.hkeys(name) == [b"fence"]
        assert await refused(wanderer, one.url, token=token) == 404
        assert wanderer.hung_up is None
        await wanderer.turn()
        await wanderer.opt_in()
        await is_kept(one)
        await wanderer.cut()
        await wanderer.come_back()
    await store.aclose()


async def test_the_token_that_a_session_was_taken_with_counts_once(serving: Serving, redis: RedisServer) -> None:
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        spent = wanderer.token
        await goes_to(wanderer, two.url)
        await wanderer.update(voxtral_voice={"resume": False, "events": True})
        await wanderer.opt_in()
        [session] = two.runtime.sessions
        assert session.knows(wanderer.token)
        assert not session.knows(spent)


async def test_nothing_stays_of_a_handshake_that_breaks(
    serving: Serving, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_servers(serving, redis) as (one, two, wanderer):
        await wanderer.turn()
        await wanderer.played()
        await is_kept(one)
        with monkeypatch.context() as broken:
            broken.setattr(Link, "accept", AsyncMock(side_effect=RuntimeError("it is gone")))
            assert await refused(wanderer, two.url) == 500
        await is_kept(two)
        assert two.runtime.keeping._marks == {}
        assert two.runtime.admission.sessions == 0
        await goes_to(wanderer, two.url)


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


# --- what costs one session costs the others nothing ----------------------------------------------------------------


class Talk:
    """A session, as far as it is kept."""

    def __init__(self, name: str, text: str = "") -> None:
        self.id, self.fence, self.changes = name, 1, 0
        self.text = text
        self.who = Who()
        self.over = asyncio.Event()
        self.is_held, self.at_rest = False, True
        self.counting: tuple[bytes, bytes] | None = (b"newest", b"")
        self.told: list[End] = []

    def token(self) -> tuple[bytes, bytes] | None:
        return self.counting

    def kept(self) -> Snapshot:
        assert not self.over.is_set(), "it is taken apart"
        said = Item("item_1", "user", "text", self.text)
        return Snapshot(self.id, "{}", 0, 0, Restored((said,)))

    def hang_up(self, end: End) -> None:
        self.told.append(end)


class Store:
    """One whose answers come when they are let go. refuses: names of sessions whose records it does not take."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.refuses: set[str] = set()
        self.is_resting = False
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def put(self, record: Record) -> bool:
        await self._answer("put", record.session_id)
        self.records[record.session_id] = record
        return True

    async def keep(self, session_id: str, fence: int) -> bool | None:
        await self._answer("keep", session_id)
        kept = self.records.get(session_id)
        return None if kept is None else kept.fence == fence

    async def take(self, session_id: str, digest: bytes, owner: str, version: int = 1) -> Taken | None:
        raise NotImplementedError

    async def drop(self, session_id: str, fence: int) -> None:
        await self._answer("drop", session_id)
        if session_id in self.records and self.records[session_id].fence == fence:
            del self.records[session_id]

    async def aclose(self) -> None: ...

    async def _answer(self, verb: str, session_id: str) -> None:
        self.asked.append(f"{verb} {session_id}")
        await self.answers.wait()
        if session_id in self.refuses:
            raise Refused("OutOfMemoryError")
        if self.is_resting:
            raise StoreDown


class Talks(list[Talk]):
    def __iter__(self) -> Iterator[Talk]:
        return iter([talk for talk in super().__iter__() if not talk.over.is_set()])


def keeps(store: Store, *talks: Talk) -> Keeping:
    return Keeping(cast(Sessions, Talks(talks)), store, 120)


def over(keeper: Keeping, talk: Talk, why: Why = "drained") -> None:
    keeper.ended(cast(LiveSession, talk), why)
    talk.over.set()


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield task
        task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - it looks now and then
            await asyncio.sleep(0.01)


async def test_who_waits_for_what_is_left_waits_for_what_is_being_written() -> None:
    store, talks = Store(), [Talk(f"sess_{number}") for number in range(20)]
    keeper = keeps(store, *talks)
    for talk in talks:
        over(keeper, talk)
    store.answers.clear()
    async with beside(keeper.run()), beside(keeper.finish()) as finish:
        await until(lambda: len(store.asked) == keeping.AT_ONCE)
        store.answers.set()
        await finish
        assert len(store.records) == 20


async def test_at_the_end_a_store_that_is_away_for_a_moment_is_waited_for() -> None:
    store, talk = Store(), Talk("sess_1")
    keeper = keeps(store, talk)
    over(keeper, talk)
    store.is_resting = True
    async with beside(keeper.finish()) as finish:
        await asyncio.sleep(0)
        assert not finish.done()
        store.is_resting = False
        await finish
        assert [*store.records] == ["sess_1"]


async def test_at_the_end_a_store_that_stays_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FINISH_S", 0.0)
    store, talk = Store(), Talk("sess_1")
    keeper = keeps(store, talk)
    over(keeper, talk)
    store.is_resting = True
    await keeper.finish()
    assert store.asked == []


@pytest.mark.parametrize("change", ["over", "revoked"])
async def test_a_session_that_changes_while_the_store_is_asked(change: str) -> None:
    """It has no record any more, so that it would be written anew."""
    store, talk, other = Store(), Talk("sess_1"), Talk("sess_2")
    keeper = keeps(store, talk, other)
    await keeper.write()
    store.records.clear()
    talk.is_held = True
    keeper._marks[cast(LiveSession, talk)].at = -1000
    store.answers.clear()
    async with beside(keeper.write()) as writing:
        await until(lambda: "keep sess_1" in store.asked)
        if change == "over":
            over(keeper, talk, "resume_expired")
        else:
            talk.counting = None
        other.changes += 1
        store.answers.set()
        await writing
    await keeper.write()
    assert [*store.records] == ["sess_2"]
    assert len(keeper._marks) == 2 - (change == "over")


async def test_one_that_cannot_be_written_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, talks = Store(), [Talk("sess_1"), Talk("sess_2")]
    keeper = keeps(store, *talks)
    store.refuses = {"sess_1"}
    await keeper.write()
    assert [*store.records] == ["sess_2"]
    for talk in talks:
        talk.changes += 1
    store.asked.clear()
    async with beside(keeper.run()):
        await until(lambda: store.asked == ["put sess_2"])
    store.refuses.clear()
    await keeper.write()
    assert {*store.records} == {"sess_1", "sess_2"}
    assert [record.getMessage() for record in caplog.records] == ["session_not_kept"]


async def test_a_fault_in_one_session_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Talk):
        def kept(self) -> Snapshot:
            raise AttributeError("no such thing")

    store = Store()
    keeper = keeps(store, Broken("sess_1"), Talk("sess_2"))
    for _ in range(3):
        await keeper.write()
    assert [*store.records] == ["sess_2"]
    assert [(record.getMessage(), record.exc_info is not None) for record in caplog.records] == [
        ("session_not_kept", True)
    ]


async def test_one_whose_settings_are_too_large_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshot, "MOST_BYTES", 100)
    store, talk = Store(), Talk("sess_1")
    keeper = keeps(store, talk)
    await keeper.write()
    assert store.records == {}
    over(keeper, talk)
    await keeper.finish()
    assert store.asked == ["drop sess_1"]
    assert {record.getMessage() for record in caplog.records} == {"session_not_kept"}


async def test_several_are_written_at_once_and_no_more_than_the_bound() -> None:
    store, talks = Store(), [Talk(f"sess_{number}") for number in range(20)]
    keeper = keeps(store, *talks)
    store.answers.clear()
    async with beside(keeper.write()) as writing:
        await until(lambda: len(store.asked) == keeping.AT_ONCE)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(store.asked) == keeping.AT_ONCE
        store.answers.set()
        await writing
    assert len(store.records) == 20


async def test_a_slow_one_does_not_hold_up_the_next_look() -> None:
    store, slow, other = Store(), Talk("sess_1"), Talk("sess_2")
    keeper = keeps(store, slow, other)
    await keeper.write()
    async with beside(keeper.run()):
        slow.changes += 1
        store.answers.clear()
        await until(lambda: store.asked.count("put sess_1") == 2)
        other.changes += 1
        await until(lambda: store.asked.count("put sess_2") == 2)
        assert store.asked.count("put sess_1") == 2
        store.answers.set()


async def test_a_long_conversation_is_written_more_seldom() -> None:
    store, short, long = Store(), Talk("sess_1"), Talk("sess_2", "x" * 900_000)
    keeper = keeps(store, short, long)
    await keeper.write()
    for talk in (short, long):
        talk.changes += 1
    async with beside(keeper.run()):
        await until(lambda: len(store.asked) == 3)
        assert store.asked == ["put sess_1", "put sess_2", "put sess_1"]
        assert keeper._marks[cast(LiveSession, long)].least_s > 1.5
        long.counting = (b"another", b"newest")  # its client could not come back else
        await until(lambda: len(store.asked) == 4)
        assert store.asked[-1] == "put sess_2"


async def test_who_takes_back_that_it_may_resume_is_forgotten_however_long_that_takes() -> None:
    store, talk = Store(), Talk("sess_1")
    keeper = keeps(store, talk)
    await keeper.write()
    talk.counting = None
    store.is_resting = True
    await keeper.write()
    assert [*store.records] == ["sess_1"]
    store.is_resting = False
    await keeper.write()
    assert store.records == {}
    store.asked.clear()
    await keeper.write()
    over(keeper, talk, "client_left")
    await keeper.finish()
    assert store.asked == [], "there is nothing to be dropped"


async def test_one_that_broke_without_a_word_leaves_nothing() -> None:
    store, talk = Store(), Talk("sess_1")
    keeper = keeps(store, talk)
    await keeper.write()
    talk.over.set()
    await keeper.write()
    assert (store.records, keeper._marks) == ({}, {})


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
