"""What a client may do, what an engine may, and what happens when they do more."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.server.caller import Caller, appended, calling, silence, tone
from tests.server.conftest import Serving, quick, quick_config
from tests.server.test_connection import RETRIEVED, stop_reading
from tests.server.test_door import limited
from tests.server.test_runner import bench, respond, speak
from voxtral_voice.audio.pcm import float_to_pcm16
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import SPEAK_RATE_HZ, SpeechChunk
from voxtral_voice.engines.fakes import FakeResponder, FakeSpeaker
from voxtral_voice.observe.metrics import Metrics
from voxtral_voice.realtime.sent_log import Sent
from voxtral_voice.server import allowance, link, listener, runner
from voxtral_voice.server.outbox import Outbox

SECOND = {"audio/pcm": bytes(48_000), "audio/pcmu": b"\xff" * 8_000, "audio/pcma": b"\xd5" * 8_000}
"""Of silence."""


async def hears(caller: Caller, kind: str) -> None:
    fields = {"type": kind, "rate": 24_000} if kind == "audio/pcm" else {"type": kind}
    await caller.update(audio={"input": {"format": fields, "turn_detection": None}})


# --- the client's audio ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECOND)
async def test_audio_that_comes_too_fast_waits_and_is_all_heard(serving: Serving, kind: str) -> None:
    async with serving(config=limited(audio_burst_s=1)) as server, calling(server.url) as caller:
        await hears(caller, kind)
        assert await server.metric("client_held_seconds_total") == 0
        for _ in range(2):
            await caller.send_raw(appended(SECOND[kind]))
        await caller.send("input_audio_buffer.commit")
        await caller.until("input_audio_buffer.committed")
        assert await server.metric("client_held_seconds_total") > 0
        assert await server.metric("ingest_audio_seconds_total") == pytest.approx(2)


async def test_audio_at_a_microphones_pace_never_waits(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await server.metric("client_held_seconds_total") == 0


@pytest.mark.parametrize("kind", SECOND)
async def test_far_too_much_audio_at_once_ends_the_session(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(listener, "LONGEST_WAIT_S", 1.0)
    async with (
        serving(config=limited(audio_burst_s=1, audio_speed=1)) as server,
        calling(server.url, finished=False) as caller,
    ):
        await hears(caller, kind)
        await caller.send_raw(appended(3 * SECOND[kind]))
        assert await caller.until_hung_up() == (
            1008,
            "More audio came at once than the server takes: send it as it is spoken.",
        )
        assert caller.errors() == ["rate_limit_exceeded"]
        await server.all_ended()
        assert await server.metric("sessions_ended_total", reason="too_fast") == 1


async def test_the_largest_append_of_the_protocol_holds_up_nothing(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await hears(caller, "audio/pcm")
        await caller.send_raw(appended(bytes(15 * 2**20)))
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        assert await server.metric("client_held_seconds_total") == 0


# --- the client's events --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "answer"),
    [('{"type": "input_audio_buffer.clear"}', "input_audio_buffer.cleared"), ("nonsense", "error")],
)
async def test_other_events_have_a_pace_too(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, event: str, answer: str
) -> None:
    monkeypatch.setattr(allowance, "EVENTS_BURST_S", 0.25)
    async with serving(config=limited(events_per_s=4)) as server, calling(server.url) as caller:
        for _ in range(4):
            await caller.send_raw(event)
        await caller.until(answer, 4)
        assert await server.metric("client_held_seconds_total") > 0


@pytest.mark.parametrize("says", [None, "nonsense"])
async def test_who_never_says_anything_keeps_no_place(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, says: str | None
) -> None:
    monkeypatch.setattr(listener, "FIRST_EVENT_S", 0.2)
    async with serving() as server, calling(server.url, finished=False) as caller:
        if says is not None:
            await caller.send_raw(says)
        assert await caller.until_hung_up() == (1008, "No event came that could be understood.")
        assert caller.errors()[-1] == "session_silent"
        await server.all_ended()
        assert server.runtime.admission.sessions == 0


async def test_who_has_said_anything_may_be_silent(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FIRST_EVENT_S", 0.2)
    async with serving() as server, calling(server.url) as caller:
        await caller.send("input_audio_buffer.clear")
        await asyncio.sleep(0.4)
        assert (await caller.turn())["response"]["status"] == "completed"


# --- what it brings into the conversation ---------------------------------------------------------------------------

LONG = "x" * 100_001
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": LONG}]}
SHORT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": LONG}
TOOL = {"type": "function", "name": "t"}


@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    [
        ("conversation.item.create", {"item": MESSAGE}, "item.content[0].text"),
        ("conversation.item.create", {"item": OUTPUT}, "item.output"),
        ("session.update", {"session": {"type": "realtime", "instructions": LONG}}, "session.instructions"),
        ("session.update", {"session": {"type": "realtime", "tools": [TOOL] * 129}}, "session.tools"),
        (
            "session.update",
            {"session": {"type": "realtime", "max_output_tokens": 4097}},
            "session.max_output_tokens",
        ),
        ("response.create", {"response": {"instructions": LONG}}, "response.instructions"),
        ("response.create", {"response": {"input": [SHORT] * 1025}}, "response.input"),
    ],
)
async def test_what_is_too_large_is_refused_and_the_session_goes_on(
    serving: Serving, kind: str, fields: dict[str, Any], param: str
) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.send(kind, **fields)
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["param"]) == ("invalid_value", param)
        assert (await caller.turn())["response"]["status"] == "completed"


async def test_an_append_of_more_than_15_mib_is_refused(serving: Serving) -> None:
    audio = base64.b64encode(bytes(15 * 2**20 + 3)).decode()
    async with serving() as server, calling(server.url) as caller:
        await caller.send_raw(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "audio")


# --- a client that reads slowly -------------------------------------------------------------------------------------


async def test_how_long_frames_waited_is_counted(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await stop_reading(server, caller)
        await asyncio.sleep(0.1)
        caller.socket.transport.resume_reading()
        await caller.until("conversation.item.retrieved", RETRIEVED)
        assert await server.metric("send_blocked_seconds_sum") > 0.02


class Reluctant:
    """A socket of a client that says nothing. It takes the first frame at once, the second after a while, and then
    nothing more."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send_text(self, text: str) -> None:
        if self.taken:
            await asyncio.sleep(0.2 if len(self.taken) == 1 else 60)
        self.taken.append(len(text))


async def test_behind_a_large_frame_a_client_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SEND_S", 0.05)
    frames, socket = Outbox(), Reluctant()
    for size in (10 * link.LEAST_BYTES_PER_S, 10, 10):
        frames.put(Sent(b"x" * size))
    end = await link.Link(socket, Metrics()).until_lost(lambda _: asyncio.sleep(0), frames)  # type: ignore[arg-type]
    assert end == link.SLOW
    assert socket.taken == [10 * link.LEAST_BYTES_PER_S, 10]


# --- a reply that is made faster than it is heard -------------------------------------------------------------------


class Quick(FakeSpeaker):
    """A second for each phrase, at once."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.asked = 0

    async def speak(self, *_: Any, **__: Any) -> AsyncGenerator[SpeechChunk, None]:
        self.asked += 1
        yield SpeechChunk(tone(1_000))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_phrase_is_begun_while_enough_of_the_reply_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AHEAD_S", 3.0)
    speaker = Quick()
    async with bench(speaker=speaker) as b:
        b.run(respond())
        for phrase in range(10):
            b.run(speak(phrase))
        await b.until(ev.PhraseEnded, 3)
        await settled()
        assert speaker.asked == 3
        b.runner.sent("R", SPEAK_RATE_HZ - 1)
        await settled()
        assert speaker.asked == 4
        b.runner.sent("R", 100 * SPEAK_RATE_HZ)
        await b.until(ev.PhraseEnded, 10)
        b.runner.sent("another", 1)


async def test_a_reply_that_waits_to_be_heard_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AHEAD_S", 1.0)
    speaker = Quick()
    async with bench(speaker=speaker) as b:
        b.run(respond())
        for phrase in range(3):
            b.run(speak(phrase))
        await b.until(ev.PhraseEnded)
        await settled()
        b.run(ev.StopReply("R"))
        b.runner.sent("R", SPEAK_RATE_HZ)
        b.run(respond("S"))
        b.run(speak(0, reply_id="S"))
        await b.until(ev.PhraseEnded, 2)
        assert speaker.asked == 2


async def test_a_long_answer_is_made_as_it_is_heard_and_can_be_interrupted(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "AHEAD_S", 2.0)
    speaker = Quick()
    long = FakeResponder(lambda _: "This is one of the many sentences that I have to say. " * 50, 0, 0)
    engines = quick(speaker=speaker, responder=long)
    async with serving(engines, quick_config(lead_ms=200)) as server, calling(server.url) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta", 10)
        assert speaker.asked <= 4
        await caller.speak(1_500)
        done = await caller.until("response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        await caller.until("response.output_audio.delta", caller.count("response.output_audio.delta") + 5)
        await caller.send("response.cancel")
        await caller.until("response.done", 2)


async def test_an_answer_that_is_prepared_is_made_no_further_than_that(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on when it is released."""
    monkeypatch.setattr(runner, "AHEAD_S", 0.1)
    async with serving() as server, calling(server.url) as caller:
        await caller.push_to_talk()
        await caller.say(silence(200))
        await caller.send_raw(appended(float_to_pcm16(tone(400))))
        await caller.send("input_audio_buffer.commit")
        await caller.send("response.create")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        await caller.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
        assert (await caller.turn())["response"]["status"] == "completed"
