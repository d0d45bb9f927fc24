"""A turn is heard while it is said, and no word of it is lost, whatever the server does."""

from __future__ import annotations

import asyncio
import logging
import socket as sockets_of_the_system
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, get_args

import numpy as np
import pytest

from tests.engines.odd_server import PATIENCE_S
from tests.engines.vllm.recorded import Door, Fault, Kind, RecordedVllm, in_packets, silence, speech, words
from voxtral_voice.engines.base import LISTEN_RATE_HZ, Samples, Transcript
from voxtral_voice.engines.remote import Remote
from voxtral_voice.engines.vllm import admission, realtime, sockets, utterance
from voxtral_voice.engines.vllm.admission import Admission
from voxtral_voice.engines.vllm.realtime import VllmRealtime, VllmStream
from voxtral_voice.errors import BusyError, EngineError


def _faults(*kinds: Kind | None, after: int = 3) -> deque[Fault | None]:
    """Of the first utterances; that of the start is the very first."""
    return deque(None if kind is None else Fault(kind, after) for kind in kinds)


PACKET: Sequence[int] = (2560,)
"""What is pushed at once: 160 ms."""
BOUNDED_S = 6.0
"""The limits of `hasty`, one after the other, twice, and much for a busy machine."""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the real limits."""
    for module, name, limit_s in (
        (utterance, "HANG_S", 0.5),
        (utterance, "FINISH_S", 1.0),
        (sockets, "CONNECT_S", 0.5),
        (sockets, "SEND_S", 0.5),
        (admission, "WAIT_S", 0.05),
    ):
        monkeypatch.setattr(module, name, limit_s)


@asynccontextmanager
async def hearing(server: RecordedVllm, delay_ms: int = 480, places: int = 2) -> AsyncIterator[VllmRealtime]:
    """An engine that has started; the server has forgotten how it was warmed up."""
    engine = VllmRealtime(Remote(server.url, "tiny"), delay_ms, admission=Admission(places))
    try:
        await engine.start()
        server.heard.clear()
        server.connections = 0
        yield engine
    finally:
        await engine.aclose()


@asynccontextmanager
async def both(**options: Any) -> AsyncIterator[tuple[RecordedVllm, VllmRealtime]]:
    server = RecordedVllm(**options)
    async with server.running(), hearing(server) as engine, asyncio.timeout(PATIENCE_S):
        yield server, engine


def turn(engine: VllmRealtime) -> VllmStream:
    return engine.stream(language=None, prompt="")


async def pushed(stream: VllmStream, sound: Samples, sizes: Sequence[int] = PACKET) -> str:
    text = ""
    for packet in in_packets(sound, sizes):
        text = await stream.push(packet)
    return text


async def heard(engine: VllmRealtime, sound: Samples) -> str:
    stream = turn(engine)
    try:
        await pushed(stream, sound)
        return (await stream.flush()).text
    finally:
        await stream.aclose()


# --- the start ----------------------------------------------------------------------------------------------------


async def test_a_start_finds_the_model_and_lets_it_hear_something() -> None:
    server = RecordedVllm()
    async with server.running():
        engine = VllmRealtime(Remote(server.url), 480)
        await engine.start()
        assert engine.name == f"tiny at {server.url}, 480 ms behind"
        assert engine.streams
        assert [(len(heard.sound), heard.done) for heard in server.heard] == [(LISTEN_RATE_HZ, True)]
        await engine.aclose()
        await engine.aclose()
        await server.until(lambda: not server.open_connections)


async def start_failure(server: RecordedVllm, delay_ms: int = 480, model: str = "") -> str:
    async with server.running(), asyncio.timeout(PATIENCE_S):
        engine = VllmRealtime(Remote(server.url, model), delay_ms)
        with pytest.raises(EngineError) as caught:
            await engine.start()
        await server.until(lambda: not server.open_connections)
    assert caught.value.engine == "transcriber"
    assert "://" not in caught.value.told
    return str(caught.value).replace(server.url, "URL").replace(server.url.replace("http", "ws"), "URL")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("door", "sentence"),
    [
        ("mute", "URL/realtime did not answer within 0.5 s."),
        ("broken", "URL/realtime answered with status 500."),
        ("garbage", "URL/realtime does not answer as a WebSocket: is it the right URL?"),
        (
            "not realtime",
            "URL/realtime answered with status 403. It serves no Voxtral Realtime model, which is what listens while "
            "one speaks.",
        ),
    ],
)
async def test_a_server_that_cannot_do_it_is_known_at_the_start(door: Door, sentence: str) -> None:
    assert await start_failure(RecordedVllm(door=door)) == sentence


async def test_another_model_is_known_at_the_start() -> None:
    assert await start_failure(RecordedVllm(), model="mini") == "URL serves tiny, and not mini."


async def test_another_delay_is_known_at_the_start() -> None:
    assert await start_failure(RecordedVllm(lead_tokens=13)) == (
        "URL hears with a delay of 960 ms, and 480 ms were asked for: it is set by transcription_delay_ms in the "
        "model's tekken.json."
    )


async def test_a_server_that_goes_away_at_the_start() -> None:
    sentence = "URL/realtime reported an error (processing_error: 'list' object has no attribute 'get')."
    assert await start_failure(RecordedVllm(faults=_faults("killed"))) == sentence


# --- a turn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(2560,), (1,) * 50 + (20_000,), (512,), (40_000,), (333, 1279, 5000)])
async def test_words_come_while_one_speaks_and_all_of_them_at_the_end(sizes: Sequence[int]) -> None:
    sound = np.concatenate([silence(300), speech(1, 2, 3, 4, 5, 6)])
    async with both() as (server, engine):
        stream = turn(engine)
        said = [await stream.push(packet) for packet in in_packets(sound, sizes)]
        assert await stream.flush() == Transcript(words(1, 2, 3, 4, 5, 6), "")
        await stream.aclose()
        assert all(words(1, 2, 3, 4, 5, 6).startswith(text) for text in said)
        assert [len(text) for text in said] == sorted(len(text) for text in said)
        assert len(server.heard) == 1
        assert np.allclose(server.heard[0].sound, sound, atol=1e-4)


async def test_words_trail_by_the_delay() -> None:
    async with both() as (_, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        text = await pushed(stream, silence(560))
        assert text == words(1, 2)
        await stream.aclose()


async def test_a_turn_goes_on_after_a_flush_as_if_there_had_been_none() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2)[:-1600])  # within its last silence
        assert (await stream.flush()).text == words(1, 2)
        assert await stream.push(speech(3)) == words(1, 2)
        await pushed(stream, speech(4))
        assert (await stream.flush()).text == words(1, 2, 3, 4)
        await stream.aclose()
        assert [len(heard.sound) for heard in server.heard] == [2 * 6400 - 1600, 4 * 6400 - 1600]
        assert all(heard.done for heard in server.heard)
        assert server.connections == 0  # that of the start served both


async def test_what_is_known_is_not_asked_again() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        assert await stream.flush() == Transcript("", "")
        await pushed(stream, speech(1))
        first = await stream.flush()
        assert await stream.flush() == first
        assert await stream.push(silence(0)) == words(1)
        await stream.aclose()
        assert len(server.heard) == 1


async def test_turns_share_connections() -> None:
    async with both() as (server, engine):
        for _ in range(3):
            assert await heard(engine, speech(1, 2)) == words(1, 2)
        assert server.connections == 0
        one, other = turn(engine), turn(engine)
        await one.push(speech(1))
        await other.push(speech(2))
        assert (await one.flush()).text == words(1)
        assert (await other.flush()).text == words(2)
        assert server.connections == 1


async def test_a_whole_turn_at_once() -> None:
    numbers = [n % 40 for n in range(60)]
    async with both() as (_, engine):
        whole = await engine.transcribe(speech(*numbers), language="hi", prompt="", final=True)
        assert whole == Transcript(words(*numbers), "hi")


async def test_a_turn_that_is_dropped_is_ended_upstream() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        await stream.aclose()
        await stream.aclose()
        await server.until(lambda: server.open_connections == 0)
        assert not server.heard[0].done
        assert await heard(engine, speech(3)) == words(3)


async def test_a_flush_that_is_cancelled_leaves_the_turn_as_it_was() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        server.faults.append(None)
        async with asyncio.TaskGroup() as group:
            flush = group.create_task(stream.flush())
            await asyncio.sleep(0)
            flush.cancel()
        await pushed(stream, speech(3))
        assert (await stream.flush()).text == words(1, 2, 3)
        await stream.aclose()


# --- long turns ---------------------------------------------------------------------------------------------------


async def test_a_long_turn_that_goes_on_after_a_pause_is_not_sent_again() -> None:
    numbers = list(range(21))
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, np.concatenate([speech(*numbers), silence(300)]))
        assert (await stream.flush()).text == words(*numbers)
        await pushed(stream, speech(30, 31))
        assert (await stream.flush()).text == words(*numbers, 30, 31)
        await stream.aclose()
        assert len(server.heard[-1].sound) == 2 * 6400


async def test_a_long_turn_that_was_flushed_within_a_word_is_sent_again() -> None:
    numbers = list(range(21))
    async with both() as (server, engine):
        stream = turn(engine)
        sound = speech(*numbers, 30, 31)
        cut = 21 * 6400 + 2000
        await pushed(stream, sound[:cut])
        await stream.flush()
        await pushed(stream, sound[cut:])
        assert (await stream.flush()).text == words(*numbers, 30, 31)
        await stream.aclose()
        assert len(server.heard[-1].sound) == len(sound)


LONG = tuple(n % 40 for n in range(70))
"""28 s."""
LONG_TOKENS = 5 * len(LONG)


async def cancelled_flush(stream: VllmStream, steps: int = 1) -> None:
    async with asyncio.TaskGroup() as group:
        flush = group.create_task(stream.flush())
        for _ in range(steps):
            await asyncio.sleep(0)
        flush.cancel()
    assert flush.cancelled()


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_long_turn_that_goes_on_although_its_flush_was_cancelled_is_not_sent_again(steps: int) -> None:
    said = np.concatenate([speech(*LONG), silence(300)])
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, said, [16_000])
        await cancelled_flush(stream, steps)
        assert await stream.push(speech(1)) == words(*LONG)
        assert (await stream.flush()).text == words(*LONG, 1)
        await stream.aclose()
        assert [len(heard.sound) for heard in server.heard] == [len(said), 6400]
        assert server.connections == 0


async def test_a_flush_that_nobody_waited_for_is_not_asked_again() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(*LONG), [16_000])
        await cancelled_flush(stream)
        assert (await stream.flush()).text == words(*LONG)
        await stream.aclose()
        assert len(server.heard) == 1


async def test_a_flush_that_fails_when_nobody_waits_for_it_loses_no_word() -> None:
    async with both(faults=_faults(None, "reset", after=LONG_TOKENS)) as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(*LONG), [16_000])
        await cancelled_flush(stream)
        assert await stream.push(speech(1)[1280:]) == words(*LONG)
        assert (await stream.flush()).text == words(*LONG, 1)
        await stream.aclose()
        assert [heard.done for heard in server.heard[:2]] == [False, True]


async def test_after_a_cancelled_flush_there_may_be_nothing_to_push() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(*LONG), [16_000])
        await cancelled_flush(stream)
        assert await stream.push(silence(0)) == words(*LONG)
        await stream.aclose()
        assert [heard.done for heard in server.heard] == [True]


async def test_a_turn_whose_flush_was_cancelled_is_ended_upstream_when_it_is_closed() -> None:
    async with both(faults=_faults(None, "hang", after=LONG_TOKENS)) as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(*LONG), [16_000])
        await cancelled_flush(stream)
        await server.until(lambda: server.heard[0].final)
        assert server.open_connections == 1
        await stream.aclose()
        await server.until(lambda: server.open_connections == 0)
        assert await heard(engine, speech(3)) == words(3)


@pytest.mark.parametrize("pause_ms", [0, 400])
async def test_a_turn_that_is_too_long_for_the_model_is_heard_in_segments(pause_ms: int) -> None:
    """Segments end in a pause, or where they have to."""
    numbers = [n % 40 for n in range(100)]
    sound = np.concatenate([np.concatenate([speech(n), silence(pause_ms if n % 5 == 4 else 0)]) for n in numbers])
    async with both(model_len=200) as (server, engine):  # 16 s
        assert await heard(engine, sound) == words(*numbers)
        longest = max(heard.tokens for heard in server.heard)
        assert len(server.heard) > 2
        assert longest + 39 < 200
        assert all(heard.done for heard in server.heard)


# --- what is no fault ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
async def test_silence_is_no_hang() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        for _ in range(2):
            await pushed(stream, silence(2000))
            await asyncio.sleep(utterance.HANG_S * 1.2)
        await pushed(stream, speech(1))
        assert (await stream.flush()).text == words(1)
        await stream.aclose()
        assert len(server.heard) == 1


@pytest.mark.usefixtures("hasty")
async def test_a_slow_server_is_no_hang() -> None:
    async with both(faults=_faults(None, "slow")) as (server, engine):
        assert await heard(engine, speech(*range(10))) == words(*range(10))
        assert len(server.heard) == 1


async def test_noise_without_words_costs_one_more_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "RUT_MS", 1000)
    async with both(faults=_faults(None, "blank", "blank")) as (server, engine):
        stream = turn(engine)
        assert await pushed(stream, speech(*range(20))) == ""
        await stream.aclose()
        assert len(server.heard) == 2


# --- faults -------------------------------------------------------------------------------------------------------


BREAKING = [kind for kind in get_args(Kind) if kind not in ("slow", "blank")]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("after", [0, 3, 15])
@pytest.mark.parametrize("kind", BREAKING)
async def test_no_word_is_lost_when_it_goes_wrong_once(kind: Kind, after: int) -> None:
    async with both(faults=_faults(None, kind, after=after)) as (server, engine):
        stream = turn(engine)
        for packet in in_packets(speech(1, 2, 3, 4, 5), PACKET):
            await stream.push(packet)
            await asyncio.sleep(0.01)
        assert (await stream.flush()).text == words(1, 2, 3, 4, 5)
        await stream.aclose()
        assert len(server.heard) == 2
        assert await heard(engine, speech(6)) == words(6)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("kind", BREAKING)
async def test_when_it_goes_wrong_for_good_it_fails_in_time_and_the_next_turn_works(kind: Kind, after: int) -> None:
    async with both(faults=_faults(None, *[kind] * 50, after=after)) as (server, engine):
        async with asyncio.timeout(BOUNDED_S):
            with pytest.raises(EngineError) as caught:
                await heard(engine, speech(*range(10)))
        assert caught.value.engine == "transcriber"
        assert caught.value.told.startswith("The transcriber's server ")
        server.faults.clear()
        assert await heard(engine, speech(6)) == words(6)
        assert server.client_sockets <= 2  # one that is idle, and the one that asked for the models


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_is_killed_and_comes_back() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        await server.kill()
        with pytest.raises(EngineError, match="No server answers at ws://"):
            await pushed(stream, speech(3))
        await stream.aclose()
        with pytest.raises(EngineError, match="No server answers at ws://"):
            await heard(engine, speech(1))
        await server.revive()
        assert await heard(engine, speech(1, 2, 3)) == words(1, 2, 3)


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_is_back_before_the_next_words_is_not_missed() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        await server.kill()
        await server.revive()
        await pushed(stream, speech(3))
        assert (await stream.flush()).text == words(1, 2, 3)
        await stream.aclose()


@pytest.mark.usefixtures("hasty")
async def test_a_rut_is_left_and_its_sound_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "RUT_MS", 1000)
    async with both(faults=_faults(None, "blank", after=8)) as (server, engine):
        assert await heard(engine, speech(*range(15))) == words(*range(15))
        assert len(server.heard) == 2
        assert len(server.heard[1].sound) < len(speech(*range(15)))  # words that were there are not heard again


# --- too many -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
async def test_more_streams_than_places_wait_and_are_told() -> None:
    async with both() as (server, engine):
        streams = [turn(engine) for _ in range(3)]
        for stream in streams[:2]:
            await stream.push(speech(1))
        with pytest.raises(BusyError) as caught:
            await streams[2].push(speech(1))
        assert str(caught.value) == (f"{server.url} is busy: 2 requests are under way, and none ended in 0.05 s.")
        assert caught.value.told == "The transcriber's server is busy."
        await streams[0].aclose()
        assert await heard(engine, speech(2)) == words(2)
        await streams[1].flush()  # a turn that is heard holds no place
        await turn(engine).push(speech(1))
        await turn(engine).push(speech(1))


async def test_a_place_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "WAIT_S", PATIENCE_S)
    async with both() as (_, engine):
        streams = [turn(engine) for _ in range(3)]
        for stream in streams[:2]:
            await stream.push(speech(1))
        async with asyncio.TaskGroup() as group:
            third = group.create_task(streams[2].push(speech(3)))
            await asyncio.sleep(0.01)
            assert not third.done()
            await streams[0].aclose()
        assert (await streams[2].flush()).text == words(3)


# --- nothing is told ----------------------------------------------------------------------------------------------


async def test_nothing_that_was_said_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with both() as (_, engine):
        assert await heard(engine, speech(7, 8)) == words(7, 8)
    ours = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
    assert [record.getMessage() for record in ours] == []


async def test_nothing_stays_behind() -> None:
    before = asyncio.all_tasks()
    async with both() as (server, engine):
        streams = [turn(engine) for _ in range(2)]
        for stream in streams:
            await pushed(stream, speech(1))
        await streams[0].flush()
        for stream in streams:
            await stream.aclose()
        await engine.aclose()
        await server.until(lambda: server.open_connections == 0)
    assert asyncio.all_tasks() == before


async def test_a_turn_that_outlives_its_engine_leaves_no_connection() -> None:
    async with both() as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1))
        await engine.aclose()
        assert (await stream.flush()).text == words(1)
        await server.until(lambda: server.open_connections == 0)
        await stream.aclose()
        await engine.start()
        assert await heard(engine, speech(2)) == words(2)


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_hangs_is_reported() -> None:
    told: list[str] = []
    server = RecordedVllm(faults=_faults(None, "hang", "hang", "hang"))
    async with server.running():
        engine = VllmRealtime(Remote(server.url), 480, suspect=lambda: told.append("suspect"))
        await engine.start()
        assert told == []
        with pytest.raises(EngineError, match="was sent sound and said nothing for"):
            await heard(engine, speech(1, 2))
        assert set(told) == {"suspect"}
        await engine.aclose()


async def test_a_turn_can_be_closed_while_it_is_flushed() -> None:
    async with both(faults=_faults(None, "hang")) as (server, engine):
        stream = turn(engine)
        await pushed(stream, speech(1, 2))
        async with asyncio.TaskGroup() as group:
            flush = group.create_task(_failure(stream))
            await server.until(lambda: server.heard[0].final)
            await stream.aclose()
        assert "closed the connection" in str(flush.result())
        await server.until(lambda: server.open_connections == 0)
        assert len(server.heard) == 1  # nobody asks again for a turn that is over


async def _failure(stream: VllmStream) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await stream.flush()
    return caught.value


async def test_a_server_that_is_not_there() -> None:
    with sockets_of_the_system.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        engine = VllmRealtime(Remote(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1", "tiny"), 480)
        with pytest.raises(EngineError, match="No server answers at"):
            await engine.start()
