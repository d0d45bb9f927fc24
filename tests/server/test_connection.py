from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.server.caller import Caller, appended, calling, silence, subprotocols, tone
from tests.server.conftest import Server, Serving, quick, quick_config
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.audio.resample import resample
from voxtral_voice.config import TurnsConfig
from voxtral_voice.engines.base import Message, Transcript, VoiceActivitySession
from voxtral_voice.engines.fakes import Broken, FakeResponder, FakeTranscriber, FakeVoiceActivity
from voxtral_voice.observe import log
from voxtral_voice.realtime.wire import Wire
from voxtral_voice.server import ear, link, listener, live, outbox
from voxtral_voice.server.link import End

STORY = " ".join(f"Sentence number {i} of it." for i in range(12))


def story(_: Sequence[Message]) -> str:
    """A reply of about 14 s."""
    return STORY


def pitch(audio: Samples) -> float:
    """Hz of the strongest tone in 16 kHz audio."""
    return float(np.argmax(np.abs(np.fft.rfft(audio, 16_000))))


async def text_of(caller: Caller, item_id: str) -> str:
    """As the server's history has it."""
    await caller.send("conversation.item.retrieve", item_id=item_id)
    content = (await caller.until("conversation.item.retrieved"))["item"]["content"][0]
    text: str = content["transcript"]
    return text


# --- a conversation ---------------------------------------------------------------------------------------------


async def test_a_spoken_turn_is_answered(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        done = await caller.turn()
        assert done["response"]["status"] == "completed"
        assert caller.said() == "You said: Hello there."
        heard = await caller.until("conversation.item.input_audio_transcription.completed")
        assert heard["transcript"] == "Hello there."
        kinds = [event["type"] for event in caller.events]
        steps = ["speech_started", "speech_stopped", "committed"]
        places = [kinds.index(f"input_audio_buffer.{step}") for step in steps] + [kinds.index("response.created")]
        assert places == sorted(places)


async def test_a_patience_that_the_operator_chose_is_told_and_no_other(serving: Serving) -> None:
    plain = quick_config().model_copy(update={"turns": TurnsConfig()})
    for config, patience in ((quick_config(), 0), (plain, None)):
        async with serving(config=config) as server, calling(server.url) as caller:
            [created] = caller.all("session.created")
            assert created["session"]["audio"]["input"]["turn_detection"].get("patience") == patience


async def test_the_stages_of_a_turn_sum_to_its_latency(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        trace = (await caller.turn())["voxtral_voice"]["trace"]
        assert sum(trace["stages_ms"].values()) == pytest.approx(trace["total_ms"], abs=0.5)
        assert trace["total_ms"] >= trace["endpoint_ms"] >= 50
        assert await server.metric("turns_total") == 1
        assert await server.metric("replies_total", status="completed") == 1
        assert await server.metric("turn_latency_seconds_count") == 1
        assert await server.metric("ingest_audio_seconds_total") == pytest.approx(0.8)


async def test_turns_follow_each_other(serving: Serving) -> None:
    engines = quick(transcriber=FakeTranscriber(["One.", "Two.", "Three."], 0))
    async with serving(engines) as server, calling(server.url) as caller:
        for _ in range(3):
            await caller.turn()
        assert caller.said() == "You said: One.You said: Two.You said: Three."


async def test_text_in_audio_out(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        content = [{"type": "input_text", "text": "good morning"}]
        await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await caller.send("response.create")
        await caller.until("response.done")
        assert caller.said() == "You said: good morning."
        audio = b"".join(event["delta"].encode() for event in caller.all("response.output_audio.delta"))
        assert len(audio) > 24_000


async def test_push_to_talk(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.push_to_talk()
        await caller.speak()
        await caller.send("input_audio_buffer.commit")
        await caller.send("response.create")
        await caller.until("response.done")
        assert caller.said() == "You said: Hello there."
        assert caller.count("input_audio_buffer.speech_started") == 0


async def test_the_client_cancels_a_reply(serving: Serving) -> None:
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, quick_config(lead_ms=400)) as server, calling(server.url) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta")
        await caller.send("response.cancel")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await caller.send("response.cancel", event_id="mine")
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "mine")
        assert await server.metric("refusals_total", code="response_cancel_not_active") == 1


async def test_the_client_truncates_a_reply(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        done = await caller.turn()
        item_id = done["response"]["output"][0]["id"]
        await caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=500)
        assert (await caller.until("conversation.item.truncated"))["audio_end_ms"] == 500
        assert await text_of(caller, item_id) == "You said:"


async def test_a_barge_in_stops_the_reply(serving: Serving) -> None:
    """That nothing of the old reply comes after its end is judged for all frames of every test."""
    engines = quick(responder=FakeResponder(story, 0, 0))
    async with serving(engines, quick_config(lead_ms=400)) as server, calling(server.url, finished=False) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta", 3)
        await caller.say(tone(480))
        done = await caller.until("response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        await caller.say(silence(320))
        second = await caller.until("response.created", 2)
        assert second["response"]["id"] != done["response"]["id"]
        assert await server.metric("interruptions_total") == 1
        heard = await text_of(caller, done["response"]["output"][0]["id"])
        assert STORY.startswith(heard)
        assert len(heard) < len(STORY) / 3


async def test_a_short_sound_is_no_barge_in(serving: Serving) -> None:
    engines = quick(transcriber=FakeTranscriber(["Hello there.", "Mhm."], 0))
    async with serving(engines, config=quick_config(lead_ms=400)) as server, calling(server.url) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta")
        await caller.say(np.concatenate((tone(130), silence(200))))
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert caller.count("input_audio_buffer.speech_started") == 1


async def test_two_sessions_never_see_each_other_s_words(serving: Serving) -> None:
    def words(audio: Samples) -> str:
        return "ALPHA" if pitch(audio) < 600 else "BETA"

    engines = quick(transcriber=FakeTranscriber(words, 0))

    async def talk(caller: Caller, hz: float) -> str:
        for _ in range(5):
            await caller.turn(hz=hz)
        return b"".join(caller.frames).decode()

    async with serving(engines) as server, calling(server.url) as one, calling(server.url) as other:
        alpha, beta = await asyncio.gather(talk(one, 440), talk(other, 880))
        assert one.said() == "You said: ALPHA." * 5
        assert other.said() == "You said: BETA." * 5
        assert "BETA" not in alpha
        assert "ALPHA" not in beta


async def test_what_was_heard_before_a_clear_is_forgotten(serving: Serving) -> None:
    """Also what was still on its way to voice activity."""
    activity = FakeVoiceActivity(5.0)
    async with serving(quick(voice_activity=activity)) as server, calling(server.url) as caller:
        await caller.say(tone(1_000), chunk_ms=100)
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        cleared = len(caller.events)
        await caller.say(silence(1_000), chunk_ms=1_000)
        await caller.send("conversation.item.retrieve", item_id="last")
        await caller.until("error")
        await caller.turn()
        starts = [event for event in caller.events[cleared:] if event["type"].endswith("speech_started")]
        assert [event["audio_start_ms"] >= 1_500 for event in starts] == [True]


async def test_a_turn_after_push_to_talk(serving: Serving) -> None:
    """Voice activity is deaf while the client ends turns by itself, and hears again afterwards."""
    async with serving() as server, calling(server.url) as caller:
        await caller.push_to_talk()
        await caller.say(tone(500))
        await caller.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
        await caller.say(silence(300))
        assert (await caller.turn())["response"]["status"] == "completed"


# --- how it ends ------------------------------------------------------------------------------------------------


SUBPROTOCOLS = (
    (("realtime",), "realtime"),
    (("realtime", "openai-insecure-api-key.x", "openai-beta.realtime-v1"), "realtime"),
    (("something",), None),
    (("Realtime", "realtime-2"), None),
    ((), None),
)
"""Offered by the client, chosen by the server."""


async def test_the_subprotocol(serving: Serving) -> None:
    async with serving() as server:
        for offered, chosen in SUBPROTOCOLS:
            options: dict[str, Any] = {"subprotocols": subprotocols(*offered)} if offered else {}
            async with calling(server.url, **options) as caller:
                assert (offered, caller.socket.subprotocol) == (offered, chosen)


async def test_a_session_expires(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(config=quick_config(minutes=1 / 60)) as server, calling(server.url) as caller:
        code, reason = await caller.until_hung_up()
        assert (code, reason) == (1001, "Your session hit the maximum duration of 0.0166667 minutes.")
        error = caller.events[-1]["error"]
        assert (error["code"], error["type"]) == ("session_expired", "server_error")


async def test_a_reply_that_is_active_when_the_session_expires_is_left_open(serving: Serving) -> None:
    engines = quick(responder=FakeResponder(story, 0, 0))
    config = quick_config(minutes=1 / 60, lead_ms=400)
    async with serving(engines, config) as server, calling(server.url, finished=False) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta")
        assert (await caller.until_hung_up())[0] == 1001


async def test_a_reason_that_is_long_and_not_ascii_still_closes(serving: Serving) -> None:
    """A close frame holds 123 bytes."""
    async with serving() as server, calling(server.url) as caller:
        [session] = server.runtime.sessions
        session.hang_up(End("fault", 1011, "मॉडल " * 40, "internal_error"))
        code, reason = await caller.until_hung_up()
        assert code == 1011
        assert reason.startswith("मॉडल")
        assert len(reason.encode()) <= 123


async def test_a_bug_ends_its_session_only(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    understand = Wire.read

    def buggy(wire: Wire, frame: str | bytes) -> Any:
        if "response.cancel" in str(frame):
            raise KeyError("a bug")
        return understand(wire, frame)

    monkeypatch.setattr(Wire, "read", buggy)
    async with serving() as server, calling(server.url) as other:
        async with calling(server.url) as caller:
            await caller.send("response.cancel")
            assert await caller.until_hung_up() == (1011, "The server has a fault; it was logged.")
            assert caller.errors() == ["internal_error"]
            assert "a bug" not in str(caller.events)
        assert (await other.turn())["response"]["status"] == "completed"
    [logged] = [record for record in caplog.records if record.getMessage() == "session_broken"]
    assert "KeyError: 'a bug'" in logging.Formatter().formatException(logged.exc_info)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["opening", "notice"])
async def test_a_bug_in_what_the_server_says(serving: Serving, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def buggy(*_: Any) -> Any:
        raise TypeError("a bug")

    async with serving() as server:
        with monkeypatch.context() as patched:
            patched.setattr(Wire, where, buggy)
            async with calling(server.url, greeted=where != "opening") as caller:
                if where == "notice":
                    await caller.send("input_audio_buffer.clear")
                assert (await caller.until_hung_up())[0] == 1011
                assert caller.errors() == ["internal_error"]
        async with calling(server.url) as caller:
            await caller.turn()


RETRIEVED = 300
"""Of 100 kB each: more than the buffers between us hold."""


async def stop_reading(server: Server, caller: Caller) -> None:
    """Ask for much, and read nothing of it."""
    content = [{"type": "input_text", "text": "x" * 100_000}]
    item = {"type": "message", "role": "user", "id": "big", "content": content}
    await caller.send("conversation.item.create", item=item)
    await caller.until("conversation.item.done")
    caller.socket.transport.pause_reading()
    for _ in range(RETRIEVED):
        await caller.send("conversation.item.retrieve", item_id="big")


async def closed_with(caplog: pytest.LogCaptureFixture, server: Server) -> dict[str, Any]:
    """The fields of the log's `session_closed`, once all sessions are."""
    await server.all_ended()
    [closed] = [record for record in caplog.records if record.getMessage() == "session_closed"]
    fields: dict[str, Any] = closed.__dict__["fields"]
    return fields


async def test_a_client_that_stops_reading_is_cut_off(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    monkeypatch.setattr(link, "SEND_S", 0.2)
    async with serving() as server, calling(server.url) as caller:
        await stop_reading(server, caller)
        closed = await closed_with(caplog, server)
        assert closed == {"code": 1013, "reason": "The client does not read what is sent to it."}
        caller.socket.transport.resume_reading()
        await caller.until_hung_up()


async def test_a_client_that_reads_again_in_time_is_not_cut_off(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await stop_reading(server, caller)
        caller.socket.transport.resume_reading()
        await caller.until("conversation.item.retrieved", RETRIEVED)
        await caller.turn()


async def test_a_client_behind_is_answered_as_it_reads_however_little_may_wait(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_BYTES", 300_000)
    async with serving() as server, calling(server.url) as caller:
        await stop_reading(server, caller)
        caller.socket.transport.resume_reading()
        await caller.until("conversation.item.retrieved", RETRIEVED)


async def test_a_responder_that_says_all_at_once_does_not_overtake_a_client_that_reads(serving: Serving) -> None:
    words = 4 * outbox.OUTBOX
    engines = quick(responder=FakeResponder(lambda _: "word " * words, 0, 0))
    async with serving(engines) as server, calling(server.url) as caller:
        await caller.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
        await caller.send("response.create")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert len(done["response"]["output"][0]["content"][0]["text"].split()) == words


@pytest.mark.parametrize(("name", "most"), [("OUTBOX", 1), ("OUTBOX_BYTES", 50_000)])
async def test_more_at_once_than_may_wait_ends_the_session(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, most: int
) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    monkeypatch.setattr(outbox, name, most)
    async with serving() as server, calling(server.url, finished=False) as caller:
        content = [{"type": "input_text", "text": "x" * 100_000}]
        await caller.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        assert await caller.until_hung_up() == (1013, "The client does not read what is sent to it.")
        assert (await closed_with(caplog, server))["code"] == 1013


async def test_a_client_that_vanishes_in_the_middle_of_a_reply(serving: Serving) -> None:
    """What was at work for it is stopped: `serving` looks for what is left."""
    engines = quick(responder=FakeResponder(story, 0, 20))
    async with serving(engines, quick_config(lead_ms=400)) as server, calling(server.url, finished=False) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta")
        caller.socket.transport.abort()
        await server.all_ended()


async def test_a_client_that_leaves(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    async with serving() as server:
        async with calling(server.url) as caller:
            await caller.socket.close(1000, "bye")
        assert await closed_with(caplog, server) == {"code": 1000, "reason": "the client left"}


async def test_sessions_are_counted(serving: Serving) -> None:
    async with serving() as server:
        async with calling(server.url), calling(server.url):
            assert await server.metric("sessions") == 2
        await server.is_quiet()
        assert await server.metric("sessions") == 0


# --- much at once -----------------------------------------------------------------------------------------------


async def test_audio_that_comes_faster_than_it_is_judged(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's frames never keep the judgements from the core."""
    monkeypatch.setattr(live, "INBOX", 16)
    monkeypatch.setattr(ear, "BACKLOG", 64 * 1024)
    async with serving(quick(voice_activity=FakeVoiceActivity(1.0))) as server, calling(server.url) as caller:
        await caller.say(silence(10_000), chunk_ms=20)
        assert (await caller.turn())["response"]["status"] == "completed"


class Held:
    """Voice activity that waits until it may."""

    def __init__(self, session: VoiceActivitySession) -> None:
        self.may = asyncio.Event()
        self._session = session

    async def probabilities(self, frames: Samples) -> Sequence[float]:
        await self.may.wait()
        return await self._session.probabilities(frames)

    def reset(self) -> None:
        self._session.reset()


async def test_frames_that_wait_are_few_however_large(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is read no further while it is ahead by `BACKLOG` bytes of audio, but for what is under way."""
    activity = FakeVoiceActivity()
    held = Held(activity.session())
    monkeypatch.setattr(activity, "session", lambda: held)
    understood: list[int] = []
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    understand = Wire.read

    def count(wire: Wire, frame: str | bytes) -> Any:
        """On a thread."""
        understood.append(len(frame))
        if sum(understood) > ear.BACKLOG / 2:
            loop.call_soon_threadsafe(begun.set)
        return understand(wire, frame)

    monkeypatch.setattr(Wire, "read", count)
    frame = appended(b"\0\0" * 24_000)
    async with serving(quick(voice_activity=activity)) as server, calling(server.url) as caller:
        async with asyncio.TaskGroup() as group:
            group.create_task(caller.say(silence(40_000), chunk_ms=1_000))
            await begun.wait()
            await asyncio.sleep(0.2)  # now it could go on, and must not
            assert sum(understood) * 3 / 4 <= ear.BACKLOG + 2 * len(frame)
            held.may.set()
        assert (await caller.turn())["response"]["status"] == "completed"


# --- tools, items with sound, what is beside the conversation ---------------------------------------------------

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def test_a_tool_is_called_and_its_output_is_answered(serving: Serving) -> None:
    """The output comes while the words before the call are still being said."""
    engines = quick(transcriber=FakeTranscriber(["The weather in Paris."], 0))
    async with serving(engines) as server, calling(server.url) as caller:
        await caller.update(tools=[WEATHER])
        await caller.speak()
        called = await caller.until("response.function_call_arguments.done")
        assert called["arguments"] == '{"city":"Paris"}'
        assert caller.count("response.done") == 0
        output = {"type": "function_call_output", "call_id": called["call_id"], "output": "Sunny."}
        await caller.send("conversation.item.create", item=output)
        await caller.send("response.create")
        second = await caller.until("response.done", 2)
        assert second["response"]["status"] == "completed"
        assert [item["type"] for item in caller.all("response.done")[0]["response"]["output"]] == [
            "message",
            "function_call",
        ]
        assert caller.said() == "Let me check.I found: Sunny."
        assert caller.errors() == []


def pcm_of(item: dict[str, Any]) -> Samples:
    """24 kHz."""
    return pcm16_to_float(base64.b64decode(item["content"][0]["audio"]))


async def retrieved(caller: Caller, item_id: str) -> dict[str, Any]:
    count = caller.count("conversation.item.retrieved") + 1
    await caller.send("conversation.item.retrieve", item_id=item_id)
    item: dict[str, Any] = (await caller.until("conversation.item.retrieved", count))["item"]
    return item


async def test_the_sound_of_both_sides_can_be_had_back(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        done = await caller.turn(ms=640, hz=500)
        user = (await caller.until("input_audio_buffer.committed"))["item_id"]
        heard = pcm_of(await retrieved(caller, user))
        assert 0.64 <= len(heard) / 24_000 <= 1.2
        assert pitch(resample(heard, 24_000, 16_000)) == pytest.approx(500, abs=3)
        [answer] = done["response"]["output"]
        sent = b"".join(base64.b64decode(event["delta"]) for event in caller.all("response.output_audio.delta"))
        assert float_to_pcm16(pcm_of(await retrieved(caller, answer["id"]))) == sent
        await caller.send("conversation.item.truncate", item_id=answer["id"], content_index=0, audio_end_ms=250)
        assert len(pcm_of(await retrieved(caller, answer["id"]))) == 6_000


async def test_an_item_with_sound_is_understood_and_answered(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        pcm = float_to_pcm16(tone(500))
        content = [{"type": "input_audio", "audio": base64.b64encode(pcm).decode()}]
        item = {"id": "mine", "type": "message", "role": "user", "content": content}
        await caller.send("conversation.item.create", item=item)
        await caller.send("conversation.item.create", item=item)  # once more: refused, and nothing of it is kept
        await caller.send("response.create")
        await caller.until("response.done")
        assert caller.said() == "You said: Hello there."
        completed = await caller.until("conversation.item.input_audio_transcription.completed")
        assert (completed["item_id"], completed["transcript"]) == ("mine", "Hello there.")
        assert caller.errors() == ["item_create_duplicate_item_id"]
        assert float_to_pcm16(pcm_of(await retrieved(caller, "mine"))) == pcm


async def test_what_is_beside_the_conversation_is_nobody_s_turn(serving: Serving) -> None:
    async with serving() as server, calling(server.url) as caller:
        await caller.turn()
        content = [{"type": "input_text", "text": "sort this"}]
        wish = {"conversation": "none", "input": [{"type": "message", "role": "user", "content": content}]}
        await caller.send("response.create", response=wish)
        done = await caller.until("response.done", 2)
        assert done["response"]["conversation_id"] is None
        assert caller.said() == "You said: Hello there.You said: sort this."
        assert (await caller.turn())["response"]["status"] == "completed"
        assert await server.metric("replies_total", status="completed") == 3


async def test_fields_that_mean_nothing_here_are_logged_once(
    serving: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, log.ROOT)
    monkeypatch.setattr(listener, "IGNORED", 3)
    async with serving() as server, calling(server.url) as caller:
        for _ in range(2):
            await caller.update(temperature=0.8, modalities=["audio"])
        await caller.update(**{f"odd_{n}": 1 for n in range(5)})
    fields = [record.fields["field"] for record in caplog.records if record.getMessage() == "field_ignored"]  # type: ignore[attr-defined]
    assert len(fields) == 3
    assert sorted(fields)[:1] == ["session.modalities"]


# --- how Voxtral listens ----------------------------------------------------------------------------------------

WORDS = {"input": {"transcription": {"model": "whisper-1"}}}
COMPLETED = "conversation.item.input_audio_transcription.completed"


def streaming(lines: Sequence[str] = ("One.", "Two.")) -> FakeTranscriber:
    return FakeTranscriber(lines, streaming=True, delay_ms=80, push_ms=0, flush_ms=0)


async def test_each_turn_has_a_stream_of_its_own_that_is_closed(serving: Serving) -> None:
    transcriber = streaming()
    async with serving(quick(transcriber=transcriber)) as server, calling(server.url) as caller:
        await caller.update(audio=WORDS)
        for number in (1, 2):
            assert (await caller.turn())["response"]["status"] == "completed"
            await caller.until(COMPLETED, number)
        assert [event["transcript"] for event in caller.all(COMPLETED)] == ["One.", "Two."]
        assert caller.said() == "You said: One.You said: Two."
    assert transcriber.open_streams == 0


@pytest.mark.parametrize("way", ["cleared", "left", "switched"])
async def test_a_stream_does_not_outlive_its_turn(serving: Serving, way: str) -> None:
    transcriber = streaming()
    async with serving(quick(transcriber=transcriber)) as server, calling(server.url) as caller:
        await caller.say(tone(1_000))
        await caller.until("input_audio_buffer.speech_started")
        async with asyncio.timeout(10):
            while not transcriber.open_streams:  # noqa: ASYNC110 - the fake has no event
                await asyncio.sleep(0.005)
        if way == "cleared":
            await caller.send("input_audio_buffer.clear")
            await caller.until("input_audio_buffer.cleared")
        elif way == "switched":
            await caller.push_to_talk()
        else:
            await caller.socket.close()
            await server.all_ended()
        async with asyncio.timeout(10):
            while transcriber.open_streams:  # noqa: ASYNC110 - the fake has no event
                await asyncio.sleep(0.005)


class Slow(FakeTranscriber):
    """Hears everything when it is told to."""

    def __init__(self) -> None:
        super().__init__(["What is the capital of France?", "And of Spain?"], latency_ms=0)
        self.may = asyncio.Event()

    async def transcribe(self, audio: Samples, **how: Any) -> Transcript:
        await self.may.wait()
        return await super().transcribe(audio, **how)


def seconds_and_words(messages: Sequence[Message]) -> str:
    """What is heard, and how often something was said before."""
    heard = messages[-1].audio
    before = sum(message.role == "user" for message in messages[:-1])
    return f"Heard {'nothing' if heard is None else 'you'} after {before}."


async def test_an_answer_to_what_is_heard_is_there_before_the_words(serving: Serving) -> None:
    """The words come to the client, and to the next turn, when they come."""
    transcriber, responder = Slow(), FakeResponder(seconds_and_words, 0, 0, listens=True)
    async with serving(quick(transcriber=transcriber, responder=responder)) as server, calling(server.url) as caller:
        await caller.update(audio=WORDS)
        done = await caller.turn()
        assert caller.said() == "Heard you after 0."
        assert caller.count(COMPLETED) == 0
        trace = done["voxtral_voice"]["trace"]
        assert "transcript" not in trace["stages_ms"]
        assert sum(trace["stages_ms"].values()) == pytest.approx(trace["total_ms"], abs=0.5)
        transcriber.may.set()
        assert (await caller.until(COMPLETED))["transcript"] == "What is the capital of France?"
        await caller.turn()
        assert caller.said() == "Heard you after 0.Heard you after 1."


async def test_words_that_are_lost_are_told_and_the_answer_is_not(serving: Serving) -> None:
    transcriber = FakeTranscriber(latency_ms=0, broken=Broken("no ears"))
    engines = quick(transcriber=transcriber, responder=FakeResponder(seconds_and_words, 0, 0, listens=True))
    async with serving(engines) as server, calling(server.url) as caller:
        await caller.update(audio=WORDS)
        assert (await caller.turn())["response"]["status"] == "completed"
        lost = await caller.until("conversation.item.input_audio_transcription.failed")
        assert lost["error"]["message"] == "transcriber: no ears"
        transcriber.broken = None
        assert (await caller.turn())["response"]["status"] == "completed"
        assert caller.said() == "Heard you after 0.Heard you after 0."


async def test_a_listener_that_fails_is_a_failed_reply_and_the_session_goes_on(serving: Serving) -> None:
    responder = FakeResponder(seconds_and_words, 0, 0, listens=True, broken=Broken("out of memory"))
    async with serving(quick(responder=responder)) as server, calling(server.url) as caller:
        done = await caller.turn()
        assert done["response"]["status_details"]["error"]["message"] == "responder: out of memory"
        responder.broken = None
        assert (await caller.turn())["response"]["status"] == "completed"


async def test_a_listener_is_interrupted_like_any_other(serving: Serving) -> None:
    engines = quick(responder=FakeResponder(story, 0, 0, listens=True))
    async with serving(engines, quick_config(lead_ms=400)) as server, calling(server.url) as caller:
        await caller.speak()
        await caller.until("response.output_audio.delta")
        await caller.say(np.concatenate((tone(2_000), silence(320))))
        done = await caller.until("response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        await caller.until("response.created", 2)
        await caller.send("response.cancel")
        await caller.until("response.done", 2)
