"""Connections are cut in every state of a conversation. Nothing is lost, nothing is said twice, nobody else gets in."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.caller import PATIENCE_S, calling, silence, subprotocols, tone
from tests.server.conftest import Server, Serving, quick, quick_config
from tests.server.test_connection import STORY, WEATHER, stop_reading, story
from tests.server.traveller import Traveller, travelling
from voxtral_voice.audio.echo import EchoGuard
from voxtral_voice.audio.playout import PlayoutLedger
from voxtral_voice.config import Config, TurnsConfig
from voxtral_voice.config_limits import LimitsConfig
from voxtral_voice.engines.base import Message
from voxtral_voice.engines.fakes import FakeResponder, FakeTranscriber
from voxtral_voice.observe import log
from voxtral_voice.realtime.sent_log import Sent, SentLog
from voxtral_voice.server import link
from voxtral_voice.server.auth import Who, hashed
from voxtral_voice.server.live import LiveSession


@pytest.fixture(autouse=True)
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every frame that the server had for its clients, in order."""
    frames: list[bytes] = []
    add = SentLog.add

    def keep(self: SentLog, sent: Sent) -> None:
        frames.append(sent.frame)
        add(self, sent)

    monkeypatch.setattr(SentLog, "add", keep)
    return frames


def config(*, resume_s: int = 120, lead_ms: int = 400, patience: float = 0) -> Config:
    quick = quick_config(lead_ms=lead_ms)
    server = quick.server.model_copy(update={"resume_s": resume_s})
    return quick.model_copy(update={"server": server, "turns": TurnsConfig(patience=patience)})


def the_session(server: Server) -> LiveSession:
    [session] = server.runtime.sessions
    return session


async def is_held(server: Server) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not the_session(server).is_held:  # noqa: ASYNC110 - the server has no event for tests
            await asyncio.sleep(0.005)


async def cut_and_back(server: Server, traveller: Traveller, lost: int = 0) -> None:
    await traveller.cut(lost)
    await is_held(server)
    await traveller.come_back()


def received_ms(server: Server) -> float:
    """Of the client's audio, as the server has it."""
    return the_session(server)._ear.audio.end_sample / 16


def audio_ms(traveller: Traveller) -> float:
    """Of all replies, as the client has it."""
    return sum(len(base64.b64decode(e["delta"])) / 48 for e in traveller.all("response.output_audio.delta"))


# --- in each state ----------------------------------------------------------------------------------------------


class Gated(FakeResponder):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__(lambda _: "It is Paris.", 0, 0)
        self.may = asyncio.Event()

    async def respond(self, messages: Sequence[Message], **how: Any) -> Any:
        await self.may.wait()
        async for piece in super().respond(messages, **how):
            yield piece


async def test_nobody_speaks(serving: Serving, emitted: list[bytes]) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await cut_and_back(server, traveller)
        assert (await traveller.turn())["response"]["status"] == "completed"
        assert traveller.greetings[0]["session"]["id"] == traveller.events[0]["session"]["id"]
        assert traveller.said() == "You said: Hello there."
        assert traveller.frames == emitted


async def test_while_the_user_speaks(serving: Serving, emitted: list[bytes]) -> None:
    """What is said without a connection is heard afterwards: no sample is missing, none comes twice."""
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.say(tone(480))
        await traveller.until_floor("hearing")
        await traveller.cut()
        await is_held(server)
        await traveller.say(np.concatenate((tone(480), silence(320))))  # into the void
        await traveller.come_back()
        await traveller.until("response.done")
        assert received_ms(server) == pytest.approx(480 + 480 + 320, abs=2)
        [started] = traveller.all("input_audio_buffer.speech_started")
        [stopped] = traveller.all("input_audio_buffer.speech_stopped")
        assert stopped["audio_end_ms"] - started["audio_start_ms"] >= 900
        assert traveller.frames == emitted


async def test_while_the_turn_may_be_over(serving: Serving, emitted: list[bytes]) -> None:
    """The wait for its end does not go on meanwhile: the user may be speaking, and is not heard."""
    async with serving(config=config(patience=1)) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until_floor("settling")
        await traveller.cut()
        await is_held(server)
        session = the_session(server)
        before = session._now()
        await traveller.say(tone(480))
        await asyncio.sleep(0.1)
        assert session._now() == before
        await traveller.come_back()
        await traveller.until_floor("hearing")
        await traveller.say(silence(320))
        await traveller.until("response.done")
        assert traveller.count("input_audio_buffer.committed") == 1
        assert traveller.frames == emitted


async def test_while_the_answer_is_being_found(serving: Serving, emitted: list[bytes]) -> None:
    """The engines go on."""
    responder = Gated()
    async with serving(quick(responder=responder), config()) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until_floor("replying")
        await traveller.cut()
        await is_held(server)
        responder.may.set()
        await traveller.come_back()
        await traveller.until("response.done")
        assert traveller.said() == "It is Paris."
        assert traveller.frames == emitted


@pytest.mark.parametrize("lost", [0, 1, 4])
async def test_while_the_answer_is_being_said(serving: Serving, emitted: list[bytes], lost: int) -> None:
    """It goes on with the word that was not heard."""
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, config()) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 8)
        await cut_and_back(server, traveller, lost)
        await traveller.until("response.output_audio.delta", 12)
        await cut_and_back(server, traveller, lost)
        await traveller.until("response.output_audio.delta", 16)
        await traveller.send("response.cancel")
        await traveller.until("response.done")
        assert STORY.startswith(traveller.said())
        assert traveller.frames == emitted


async def test_all_of_a_reply_is_there_in_the_end(serving: Serving, emitted: list[bytes]) -> None:
    engines = quick(responder=FakeResponder(lambda _: "One two three four five six. Seven eight nine.", 0, 0))
    async with serving(engines, config()) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 3)
        await cut_and_back(server, traveller, 2)
        done = await traveller.until("response.done")
        assert traveller.said() == "One two three four five six. Seven eight nine."
        item_id = done["response"]["output"][0]["id"]
        await traveller.send("conversation.item.retrieve", item_id=item_id)
        [content] = (await traveller.until("conversation.item.retrieved"))["item"]["content"]
        assert len(base64.b64decode(content["audio"])) / 48 == pytest.approx(audio_ms(traveller))
        assert traveller.frames == emitted


async def test_while_it_is_not_clear_who_speaks(serving: Serving, emitted: list[bytes]) -> None:
    engines = quick(responder=FakeResponder(story, 0, 0), transcriber=FakeTranscriber(["Hello there.", "Mhm."], 0))
    patient = config(patience=1)
    async with serving(engines, patient) as server, travelling(server.url, finished=False) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 4)
        await traveller.say(tone(320, hz=700))
        await traveller.until_floor("contested")
        await traveller.cut()
        await is_held(server)
        await traveller.say(silence(640))
        await traveller.come_back()
        await traveller.until_floor("replying")
        count = traveller.count("response.output_audio.delta")
        await traveller.until("response.output_audio.delta", count + 3)
        assert traveller.count("response.done") == 0
        await traveller.send("response.cancel")
        await traveller.until("response.done")
        assert traveller.frames == emitted


async def test_while_a_tool_is_at_work(serving: Serving, emitted: list[bytes]) -> None:
    """Its output comes without a connection."""
    engines = quick(transcriber=FakeTranscriber(["The weather in Paris."], 0))
    async with serving(engines, config()) as server, travelling(server.url, tools=[WEATHER]) as traveller:
        await traveller.speak()
        called = await traveller.until("response.function_call_arguments.done")
        await traveller.cut()
        await is_held(server)
        output = {"type": "function_call_output", "call_id": called["call_id"], "output": "Sunny."}
        await traveller.send("conversation.item.create", item=output)
        await traveller.send("response.create")
        await traveller.come_back()
        await traveller.until("response.done", 2)
        assert traveller.said() == "Let me check.I found: Sunny."
        assert traveller.errors() == []
        assert traveller.frames == emitted


async def test_what_the_user_has_heard_is_what_came(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server had thought that more was played: the history tells the truth, and an echo of it is known as one."""
    played: list[tuple[int, float]] = []
    monkeypatch.setattr(EchoGuard, "played", lambda _, samples, plays_at_s: played.append((samples.size, plays_at_s)))
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(PlayoutLedger, "resumed", lambda *told_it: told.append(told_it[2:]))
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, config(lead_ms=3_000)) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 30)
        await traveller.cut(lost=10)
        await is_held(server)
        before_ms = audio_ms(traveller)
        sent_ms = the_session(server)._core._replies.current.audio_ms  # type: ignore[union-attr]
        await asyncio.sleep(0.2)
        held_at = the_session(server)._now()
        await traveller.come_back()
        await traveller.send("response.cancel")
        await traveller.until("response.done")
        [(away_ms, unheard_ms)] = told
        assert away_ms >= 200
        assert unheard_ms == pytest.approx(sent_ms - before_ms, abs=1)
        assert [at >= held_at for size, at in played if size == round(unheard_ms * 24)] == [True]


# --- how the connection ends ------------------------------------------------------------------------------------


async def test_a_connection_that_is_still_there_is_closed_first(serving: Serving, emitted: list[bytes]) -> None:
    """Half open: the client's network knows that it is gone, the server's does not."""
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, config()) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 4)
        old, old_listening = traveller.socket, traveller._listening
        old.transport.pause_reading()
        await traveller.come_back()
        await traveller.until("response.output_audio.delta", 12)
        assert len(traveller.frames) == len({event["event_id"] for event in traveller.events})
        await traveller.send("response.cancel")
        await traveller.until("response.done")
        assert traveller.frames == emitted
        before = len(traveller.frames)
        old.transport.resume_reading()
        await old_listening
        assert (old.close_code, old.close_reason) == (4001, "The session goes on over another connection.")
        del traveller.frames[before:], traveller.events[before:]  # of the old one
        traveller.hung_up = None


async def test_cut_while_it_resumes(serving: Serving, emitted: list[bytes]) -> None:
    """The new token has not arrived: the old one counts still."""
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, config()) as server, travelling(server.url) as traveller:
        await traveller.speak()
        await traveller.until("response.output_audio.delta", 4)
        await traveller.cut()
        await is_held(server)
        for _ in range(2):
            socket = await traveller.dial()
            socket.transport.abort()
            await is_held(server)
        await traveller.come_back()
        await traveller.until("response.output_audio.delta", 12)
        await traveller.send("response.cancel")
        await traveller.until("response.done")
        assert traveller.frames == emitted


async def test_cut_behind_the_greeting(serving: Serving, emitted: list[bytes]) -> None:
    """It may be the last event that came."""
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.send("input_audio_buffer.clear")
        await traveller.until("input_audio_buffer.cleared")
        await traveller.cut(lost=1)
        await is_held(server)
        greeting = await traveller.come_back()
        await traveller.until("input_audio_buffer.cleared")
        await traveller.cut(lost=1)
        await is_held(server)
        await traveller.come_back(after=greeting["event_id"])
        await traveller.turn()
        assert traveller.frames == emitted


async def test_a_session_is_not_at_rest_while_something_is_sent_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_rest, resume = [], LiveSession.resume

    def resumed(session: LiveSession, link: Any, asked: Any) -> bool:
        at_rest.append(session.at_rest)
        done = resume(session, link, asked)
        at_rest.append(session.at_rest)
        return done

    monkeypatch.setattr(LiveSession, "resume", resumed)
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.send("input_audio_buffer.clear")
        await traveller.until("input_audio_buffer.cleared")
        await cut_and_back(server, traveller, lost=1)
        await traveller.until("input_audio_buffer.cleared")
        assert (at_rest, the_session(server).at_rest) == ([True, False], True)


async def test_a_client_that_leaves_does_not_come_back(serving: Serving) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.socket.close(1000)
        await server.all_ended()
        assert len(server.runtime.sessions) == 0


async def test_a_client_that_closes_without_a_code_does_not_come_back(serving: Serving) -> None:
    """As `close()` of a browser's socket does."""
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        traveller.socket.protocol.send_close()
        traveller.socket.send_data()
        await server.all_ended()
        assert len(server.runtime.sessions) == 0
        assert await server.metric("ws_closes_total", code="1005") == 1


async def test_a_client_that_leaves_does_not_come_back_though_it_leaves_answers_behind(serving: Serving) -> None:
    """The server finds out that nobody takes them before it reads that the client has closed."""
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        for _ in range(3):
            await traveller.send("input_audio_buffer.clear")
        await traveller.socket.close(1000)
        assert await refused(traveller) == (404, "resume_unknown")
        assert await server.metric("ws_closes_total", code="1000") == 1


@pytest.mark.parametrize("code", [1001, 3000])
async def test_a_client_that_is_torn_away_may(serving: Serving, code: int) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.socket.close(code)
        await is_held(server)
        await traveller.come_back()
        await traveller.turn()


async def test_a_client_that_did_not_read_may(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SEND_S", 0.2)
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await stop_reading(server, traveller)
        await is_held(server)
        traveller.socket.transport.resume_reading()
        assert await traveller.until_hung_up() == (1013, "The client does not read what is sent to it.")
        session = the_session(server)
        session.give_up()
        await session.over.wait()


async def test_nobody_comes_back(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    async with serving(config=config(resume_s=1)) as server, travelling(server.url) as traveller:
        await traveller.cut()
        await is_held(server)
        session = the_session(server)
        await session.over.wait()
        with pytest.raises(InvalidStatus) as refused:
            await traveller.dial()
        assert refused.value.response.status_code == 404
        traveller.socket = await connect(server.url.replace("http", "ws") + "/v1/realtime", proxy=None)
    assert [record.getMessage() for record in caplog.records if "held" in record.getMessage()] == ["session_held"]


async def test_sessions_that_wait_are_few(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtral_voice.server.sessions.MOST_HELD", 1)
    async with serving(config=config()) as server, travelling(server.url) as one, travelling(server.url) as other:
        first, second = server.runtime.sessions
        await one.cut()
        async with asyncio.timeout(PATIENCE_S):
            while not first.is_held:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await other.cut()
        await first.over.wait()
        assert second.is_held
        await other.come_back()


# --- who may ----------------------------------------------------------------------------------------------------


async def refused(traveller: Traveller, **how: Any) -> tuple[int, str]:
    """Status and code."""
    with pytest.raises(InvalidStatus) as error:
        await traveller.dial(**how)
    response = error.value.response
    return response.status_code, json.loads(response.body)["error"]["code"]


async def test_a_token_that_is_wrong_or_spent(serving: Serving) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        first = traveller.token
        unknown = (404, "resume_unknown")
        assert await refused(traveller, token="nonsense") == unknown
        assert await refused(traveller, token=f"{first}x") == unknown
        assert await refused(traveller, after="event_unknown") == unknown
        assert await refused(traveller, after="") == unknown
        await cut_and_back(server, traveller)
        assert traveller.token != first
        await traveller.send("input_audio_buffer.clear")
        await traveller.until("input_audio_buffer.cleared")
        assert await refused(traveller, token=first) == unknown
        await cut_and_back(server, traveller)
        await traveller.turn()


KEY = "a-key-of-some-length"


async def test_made_up_tokens_keep_nobody_from_coming_back(serving: Serving) -> None:
    few = config().model_copy(update={"limits": LimitsConfig(sessions=2, new_sessions_per_s=0.1)})
    async with serving(config=few) as server, travelling(server.url) as traveller:
        await traveller.cut()
        await is_held(server)
        no = [await refused(traveller, token=token) for token in ("sess_1.x", f"{the_session(server).id}.x", "x", "y")]
        assert no == [(404, "resume_unknown")] * 2 + [(429, "rate_limit_exceeded")] * 2
        await traveller.come_back()
        await traveller.turn()


async def test_a_token_of_another_key_s_session(serving: Serving) -> None:
    keys = SecretStr(f"{KEY},another-key-of-length")
    settings = config()
    server_with_keys = settings.server.model_copy(update={"api_keys": keys})
    settings = settings.model_copy(update={"server": server_with_keys})
    async with serving(config=settings) as server, travelling(server.url, key=KEY) as traveller:
        traveller.key = ""
        assert await refused(traveller) == (401, "invalid_api_key")
        traveller.key = "another-key-of-length"
        assert await refused(traveller) == (401, "invalid_api_key")
        traveller.key = KEY
        await cut_and_back(server, traveller)
        await traveller.turn()


async def test_a_session_that_ends_while_its_client_comes_back(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        with monkeypatch.context() as patched:
            answers = iter((True, True, False))  # the door, who looks for it, and the session
            patched.setattr(LiveSession, "may_resume", lambda *_: next(answers))
            late = await traveller.dial()
            await late.wait_closed()
        assert (late.close_code, late.close_reason) == (4004, "There is no such session to be resumed.")
        await traveller.turn()  # over the connection that it has


async def test_a_client_secret_that_has_expired_meanwhile(serving: Serving) -> None:
    settings = config()
    keys = settings.server.model_copy(update={"api_keys": SecretStr(KEY)})
    async with serving(config=settings.model_copy(update={"server": keys})) as server:
        secrets = server.runtime.auth.secrets
        given = secrets.mint({"type": "realtime"}, 60, Who("key_1", hashed(KEY)), 10)
        assert isinstance(given, tuple)
        async with travelling(server.url, key=given[0]) as traveller:
            secrets._clock = lambda: given[1] + 1.0
            await cut_and_back(server, traveller)
            await traveller.turn()


async def test_a_page_is_told_why(serving: Serving) -> None:
    """It sees no answer to a handshake, and can send no headers."""
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        address = server.url.replace("http", "ws") + "/v1/realtime"
        names = [f"voxtral-voice-resume.{traveller.token}", f"voxtral-voice-after.{traveller.last()}"]
        page: dict[str, Any] = {"origin": server.url, "proxy": None}
        wrong = subprotocols("realtime", names[0] + "x", names[1])
        async with connect(address, subprotocols=wrong, **page) as socket:
            assert json.loads(await socket.recv())["error"]["code"] == "resume_unknown"
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (4004, "There is no such session to be resumed.")
        async with connect(address, subprotocols=subprotocols("realtime", *names), **page) as socket:
            assert socket.subprotocol == "realtime"
            greeting = json.loads(await socket.recv())
            assert greeting["session"]["voxtral_voice"]["resume"]["resumed"] is True
        await server.all_ended()
        traveller.hung_up = None


async def test_a_session_that_did_not_ask(serving: Serving) -> None:
    async with serving(config=config()) as server, travelling(server.url) as traveller:
        await traveller.update(voxtral_voice={"events": True})
        assert "resume" not in traveller.all("session.updated")[-1]["session"]["voxtral_voice"]
        assert await refused(traveller) == (404, "resume_unknown")
        await traveller.cut()
        await server.all_ended()
        assert len(server.runtime.sessions) == 0
        traveller.socket = await connect(server.url.replace("http", "ws") + "/v1/realtime", proxy=None)


async def test_a_server_that_holds_none(serving: Serving) -> None:
    async with serving(config=config(resume_s=0)) as server, calling(server.url) as caller:
        await caller.send("session.update", session={"type": "realtime", "voxtral_voice": {"resume": True}})
        await caller.until_true(lambda: len(caller.events) == 2, "an answer")
        assert caller.events.pop()["session"]["voxtral_voice"] == {"resume": False}
        del caller.frames[1]
