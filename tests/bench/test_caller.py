from __future__ import annotations

import asyncio
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from tests.certificate import certificate
from tests.realtime_stub import Call, Script, answers, silence, stub_server, tone
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import Samples, float_to_pcm16, pcm16_to_float
from voxtral_voice.bench import caller as caller_module
from voxtral_voice.bench.caller import CHUNK_S, Caller, call, prepare
from voxtral_voice.bench.clip import Clip, Kind
from voxtral_voice.bench.drivers import realtime as realtime_module
from voxtral_voice.bench.drivers.raw import raw
from voxtral_voice.bench.drivers.realtime import realtime
from voxtral_voice.bench.microphone import encoded
from voxtral_voice.bench.record import (
    ANSWER_TIMEOUT_S,
    Flushed,
    Heard,
    Lost,
    Refused,
    Remembered,
    ReplyBegan,
    ReplyEnded,
    Silenced,
    TurnCommitted,
)
from voxtral_voice.bench.turn import TurnFigures, turns
from voxtral_voice.errors import TalkError

RATE_HZ = 24_000
CLOSE_MS = 90.0
"""What a busy machine may add to a single measurement; the accuracy itself is tested over several, to 25 ms."""


def clip(samples: Samples, rate_hz: int = RATE_HZ, *, end_s: float | None = None, kind: Kind = "turn") -> Clip:
    end_s = len(samples) / rate_hz if end_s is None else end_s
    return Clip("test/clip", kind, "what is it", "en", samples, rate_hz, onset_s=0.0, end_s=end_s)


QUESTION = clip(tone(200))
TAP = clip(tone(100), kind="tap")


@asynccontextmanager
async def calling(script: Script, answer_timeout_s: float = 15.0) -> AsyncIterator[tuple[Caller, Call]]:
    """Both ends of a conversation."""
    async with (
        stub_server(script) as stub,
        call(realtime(stub.url), answer_timeout_s=answer_timeout_s) as caller,
    ):
        yield caller, stub.calls[0]


async def asked(script: Script, question: Clip = QUESTION, answer_timeout_s: float = 15.0) -> TurnFigures:
    """One question, and what came of it."""
    async with calling(script, answer_timeout_s) as (caller, _):
        await caller.say(question)
        (turn,) = turns(caller.record())
        return turn


async def says_nothing(call: Call) -> None:
    await asyncio.Event().wait()


# --- what is measured


async def test_a_known_delay_is_measured() -> None:
    async with calling(answers(tone(200), delay_ms=300)) as (caller, _):
        for _ in range(3):
            await caller.say(QUESTION)
        measured = turns(caller.record())
    assert sorted(turn.v2v_ms or 0 for turn in measured)[1] == pytest.approx(300, abs=25)
    assert sorted(turn.wire_ms or 0 for turn in measured)[1] == pytest.approx(300, abs=25)
    turn = measured[0]
    assert turn.status == "completed"
    assert turn.leading_silence_ms == 0
    assert turn.played_ms == pytest.approx(200)
    assert (turn.heard, turn.said) == ("what is it", "It is a stub.")
    assert (turn.underruns, turn.cut_ins, turn.stop_ms, turn.error, turn.trace) == (0, 0, None, None, None)
    np.testing.assert_allclose(turn.audio, tone(200), atol=1e-4)


async def test_leading_silence_of_the_reply_is_told_apart() -> None:
    turn = await asked(answers(np.concatenate((silence(200), tone(100))), delay_ms=150))
    assert turn.wire_ms == pytest.approx(150, abs=CLOSE_MS)
    assert turn.leading_silence_ms == pytest.approx(200)
    assert turn.v2v_ms == pytest.approx(350, abs=CLOSE_MS)


async def test_time_runs_from_where_the_clip_says_that_speech_ends() -> None:
    samples = np.concatenate((tone(200), silence(160)))
    async with calling(answers(tone(50), delay_ms=200)) as (caller, _):
        await caller.say(clip(samples, end_s=0.2))
        await caller.say(clip(samples, end_s=0.1))
        right, early = turns(caller.record())
    assert right.v2v_ms == pytest.approx(200, abs=CLOSE_MS)
    assert early.v2v_ms == pytest.approx(300, abs=CLOSE_MS)


async def test_other_rates_are_converted() -> None:
    turn = await asked(answers(tone(50)), clip(tone(200)[::3], 8_000))  # the same tone
    assert turn.v2v_ms == pytest.approx(200, abs=CLOSE_MS)


async def test_a_queue_that_runs_empty_inside_a_reply_is_an_underrun() -> None:
    async def stutters(call: Call) -> None:
        end = await call.ends.get()
        await call.committed()
        await call.begin("r1")
        await call.until(end + 0.2)
        await call.audio("r1", tone(100))
        await call.until(end + 0.4)
        await call.audio("r1", tone(100))
        await call.done("r1")

    turn = await asked(stutters)
    assert turn.underruns == 1
    assert turn.longest_gap_ms == pytest.approx(100, abs=CLOSE_MS)
    assert turn.played_ms == pytest.approx(200)


async def test_sound_that_begins_in_a_later_piece_is_found_at_its_time_of_play() -> None:
    async def begins_with_silence(call: Call) -> None:
        end = await call.ends.get()
        await call.committed()
        await call.begin("r1")
        await call.until(end + 0.15)
        await call.audio("r1", silence(40))
        await call.until(end + 0.25)
        await call.audio("r1", tone(100))
        await call.done("r1")

    turn = await asked(begins_with_silence)
    assert turn.v2v_ms == pytest.approx(250, abs=CLOSE_MS)
    assert turn.leading_silence_ms == pytest.approx(40)


# --- the microphone's schedule


async def test_the_microphone_keeps_its_pace_and_never_stops() -> None:
    async with calling(answers(tone(100))) as (caller, server):
        await caller.say(QUESTION)
        await caller.idle(0.5)
        chunks, record = list(server.chunks), caller.record()
    assert len(chunks) > 40
    arrivals = np.array([at for at, _ in chunks])
    drift_ms = (arrivals - arrivals[0] - CHUNK_S * np.arange(len(arrivals))) * 1000
    assert np.abs(np.median(drift_ms)) < 10
    assert all(rms_dbfs(samples) > -75 for _, samples in chunks)
    assert len(record.lateness_ms) in (len(chunks), len(chunks) + 1)
    assert min(record.lateness_ms) >= 0


async def test_no_chunk_leaves_before_its_last_sample_was_spoken() -> None:
    async with calling(says_nothing) as (caller, server):
        await caller.idle(0.3)
        chunks, record = list(server.chunks), caller.record()
    due = [record.began + (number + 1) * CHUNK_S for number in range(len(chunks))]
    assert all(at >= when for (at, _), when in zip(chunks, due, strict=True))  # both ends use the same clock


@pytest.mark.parametrize("offset_s", [0.0, 0.0125])
async def test_callers_share_a_grid_inside_which_each_has_its_place(offset_s: float) -> None:
    async with stub_server(says_nothing) as stub, call(realtime(stub.url), offset_s=offset_s) as caller:
        began = caller.record().began
    assert (began - offset_s) / CHUNK_S == pytest.approx(round((began - offset_s) / CHUNK_S), abs=1e-4)


def test_clips_are_written_for_the_wire_ahead_of_time() -> None:
    driver, said = realtime("host"), clip(tone(20))
    before = encoded.cache_info().misses
    prepare(driver, [said])
    assert encoded.cache_info().misses == before + 1
    encoded(said, driver.microphone_hz, driver.encode)
    assert encoded.cache_info().misses == before + 1


# --- the record


async def test_what_happened_is_recorded_in_order() -> None:
    trace = {"stages_ms": {"silence": 96.0}, "total_ms": 200.0}
    async with calling(answers(tone(50), extra={"voxtral_voice": {"trace": trace}})) as (caller, _):
        said = await caller.say(QUESTION)
        record = caller.record()
    assert record.said == (said,)
    assert (said.clip, said.purpose, said.text, said.deadline_s) == ("test/clip", "turn", "what is it", 15)
    assert said.end - said.begin == pytest.approx(0.2)
    assert (said.begin - record.began) / CHUNK_S == pytest.approx(round((said.begin - record.began) / CHUNK_S))
    assert isinstance(record.seen[0], TurnCommitted)
    assert isinstance(record.seen[-1], ReplyEnded)
    assert record.seen[-1].trace == trace
    assert all(a.at <= b.at for a, b in itertools.pairwise(record.seen))
    assert record.began < said.begin < said.end < record.seen[-1].at < record.ended
    speech_end = record.seen[0].speech_end
    assert speech_end is not None
    assert said.end <= speech_end <= record.seen[0].at  # the stub counts what it had received by then


async def test_pauses_inside_a_clip_are_on_the_clock_too() -> None:
    held = Clip("t/h", "hold", "so", "en", tone(60), RATE_HZ, 0.01, 0.06, ((0.02, 0.04),), "so", "pause 20 ms")
    async with calling(answers(tone(20))) as (caller, _):
        said = await caller.say(held)
    assert (said.kind, said.answer, said.condition) == ("hold", "so", "pause 20 ms")
    assert np.array([said.onset, *said.pauses[0], said.end]) - said.begin == pytest.approx([0.01, 0.02, 0.04, 0.06])


async def test_an_error_of_the_server_is_recorded_and_the_session_goes_on() -> None:
    async def complains(call: Call) -> None:
        await call.onsets.get()
        await call.send("error", error={"message": "The buffer is too long."})
        await answers(tone(50))(call)

    async with calling(complains) as (caller, _):
        await caller.say(QUESTION)
        assert [seen.message for seen in caller.record().seen if isinstance(seen, Refused)] == [
            "The buffer is too long."
        ]
        assert turns(caller.record())[0].status == "completed"


async def test_what_the_server_says_while_it_greets_is_not_lost() -> None:
    async def greets(call: Call) -> None:
        await call.send("session.created", session={})
        await call.answer(tone(100), reply="greeting")
        await call.send("session.updated", session={})
        await says_nothing(call)

    async with stub_server(greets, greets=False) as stub, call(realtime(stub.url)) as caller:
        await caller.until_sound()
        assert [seen.reply for seen in caller.record().seen if isinstance(seen, ReplyBegan)] == ["greeting"]


async def test_a_transcript_that_comes_after_the_reply_is_waited_for() -> None:
    async def transcribes_late(call: Call) -> None:
        end = await call.ends.get()
        await call.committed(heard=None)
        await call.answer(tone(50))
        await call.until(end + 0.4)
        await call.transcribed("late words")

    assert (await asked(transcribes_late)).heard == "late words"


async def test_a_transcript_that_failed_is_not_waited_for() -> None:
    async def cannot_transcribe(call: Call) -> None:
        await call.ends.get()
        await call.committed(heard=None)
        await call.send("conversation.item.input_audio_transcription.failed", item_id="item_u1", error={})
        await call.answer(tone(50))

    async with calling(cannot_transcribe) as (caller, _):
        said = await caller.say(QUESTION)
        assert caller.record().ended - said.end < caller_module.TRANSCRIPT_TIMEOUT_S
        (turn,) = turns(caller.record())
    assert (turn.status, turn.heard) == ("completed", None)


async def test_a_server_without_transcripts_is_not_waited_for() -> None:
    async def greets(call: Call) -> None:
        await call.send("session.created", session={})
        await call.send("session.updated", session={"audio": {"input": {"transcription": None}}})
        await answers(tone(50), heard=None)(call)

    async with stub_server(greets, greets=False) as stub, call(realtime(stub.url)) as caller:
        said = await caller.say(QUESTION)
        assert caller.record().ended - said.end < caller_module.TRANSCRIPT_TIMEOUT_S


# --- barge-in


async def interruptible(call: Call) -> None:
    """Two seconds of reply to the first speech; the second one cuts it, and is answered too."""
    await call.onsets.get()
    await call.ends.get()
    await call.committed("first")
    await call.begin("r1")
    await call.words("r1", "A long story")
    await call.audio("r1", tone(2_000))
    await call.onsets.get()
    await call.send("input_audio_buffer.speech_started", item_id="item_u2", audio_start_ms=0)
    await call.done("r1", status="cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})
    await call.ends.get()
    await call.committed("second")
    await call.answer(tone(100), reply="r2")


async def test_speaking_while_the_reply_plays_interrupts_it() -> None:
    async with calling(interruptible) as (caller, server):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            await caller.idle(0.3)
            both.create_task(caller.say(QUESTION, "barge_in"))
        truncate = await asyncio.wait_for(server.truncates.get(), 5)
        old, new = turns(caller.record())
    assert (old.status, old.heard, old.said) == ("cancelled", "first", "A long story")
    assert 300 <= old.played_ms < 500
    assert len(old.audio) == len(tone(2_000))
    assert old.v2v_ms is not None
    assert (new.status, new.heard, new.said) == ("completed", "second", "It is a stub.")
    assert new.stop_ms == pytest.approx(20, abs=CLOSE_MS)  # the chunk with the onset, and the way there and back
    assert new.server_stop_ms == pytest.approx(new.stop_ms, abs=30)
    assert new.played_ms == pytest.approx(100)
    assert new.old_audio_after_stop_ms == 0
    assert truncate["item_id"] == "item_r1"
    assert truncate["content_index"] == 0
    assert truncate["audio_end_ms"] == pytest.approx(old.played_ms, abs=1)


async def test_audio_after_the_cut_is_counted_and_not_played() -> None:
    async def goes_on(call: Call) -> None:
        await interruptible(call)
        await call.audio("r1", tone(60))
        await call.send("error", error={"message": "last"})

    async with calling(goes_on) as (caller, _):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            both.create_task(caller.say(QUESTION, "barge_in"))
        while not isinstance(caller.record().seen[-1], Refused):
            await caller.idle(CHUNK_S)
        old, new = turns(caller.record())
    assert new.old_audio_after_stop_ms == pytest.approx(60)
    assert len(old.audio) == len(tone(2_000))


async def test_a_server_that_does_not_end_a_cut_reply() -> None:
    async def forgets(call: Call) -> None:
        await call.ends.get()
        await call.committed("first")
        await call.begin("r1")
        await call.audio("r1", tone(2_000))
        await call.onsets.get()
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u2", audio_start_ms=0)
        await call.ends.get()
        await call.committed("second")
        await call.answer(tone(100), reply="r2")

    async with calling(forgets) as (caller, _), asyncio.timeout(10):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            both.create_task(caller.say(QUESTION, "barge_in"))
        old, new = turns(caller.record())
    assert old.status == "unfinished"
    assert new.status == "completed"


async def test_only_a_reply_that_is_playing_is_cut() -> None:
    async def starts(call: Call) -> None:
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u1", audio_start_ms=0)
        await call.ends.get()
        await call.committed()
        await call.answer(tone(50))
        await call.send("input_audio_buffer.speech_started", item_id="item_u2", audio_start_ms=0)

    async with calling(starts, answer_timeout_s=0.3) as (caller, server):
        await caller.say(QUESTION)
        await asyncio.wait_for(server.truncates.get(), 5)
        assert server.truncates.empty()
        assert sum(isinstance(seen, Flushed) for seen in caller.record().seen) == 2
        (turn,) = turns(caller.record())
    assert turn.stop_ms is None  # nobody spoke over the reply, so nobody waited for it to stop
    assert 0 <= turn.played_ms < 50


async def test_a_reply_in_the_middle_of_the_question_is_a_cut_in_and_not_the_answer() -> None:
    async def impatient(call: Call) -> None:
        await call.onsets.get()
        await call.ends.get()
        await call.committed("what")
        await call.begin("r1")
        await call.audio("r1", tone(1_000))
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u2", audio_start_ms=0)
        await call.done("r1", status="cancelled")
        await call.ends.get()
        await call.committed("is it")
        await call.answer(tone(50), reply="r2")

    turn = await asked(impatient, clip(np.concatenate((tone(100), silence(200), tone(100)))))
    assert (turn.status, turn.said, turn.cut_ins) == ("completed", "It is a stub.", 1)
    assert turn.heard == "what is it"
    assert turn.v2v_ms is not None
    assert turn.v2v_ms > 0


async def test_a_reply_that_starts_a_little_early_has_a_negative_v2v() -> None:
    async def hasty(call: Call) -> None:
        onset = await call.onsets.get()
        await call.until(onset + 0.1)
        await call.committed()
        await call.answer(tone(300))

    turn = await asked(hasty)
    assert turn.status == "completed"
    assert turn.cut_ins == 1
    assert turn.v2v_ms == pytest.approx(-80, abs=CLOSE_MS)  # onset came with the first chunk's end


async def test_a_reply_that_is_over_before_the_question_is_not_its_answer() -> None:
    async def interjects(call: Call) -> None:
        await call.onsets.get()
        await call.committed("wh")
        await call.answer(tone(40), reply="r1")
        await call.ends.get()
        await call.committed("at")
        await call.answer(tone(60), reply="r2")

    turn = await asked(interjects)
    assert turn.played_ms == pytest.approx(60)
    assert turn.cut_ins >= 1


async def test_a_greeting_that_nobody_asked_for_is_played_and_can_be_interrupted() -> None:
    async def greets(call: Call) -> None:
        await call.answer(tone(2_000), reply="greeting")
        await call.send("input_audio_buffer.committed", item_id="item_nobody")
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u1", audio_start_ms=0)
        await call.ends.get()
        await call.committed()
        await call.answer(tone(50), reply="r1")

    async with calling(greets) as (caller, server):
        await caller.until_sound()
        await caller.say(QUESTION, "barge_in")
        truncate = await asyncio.wait_for(server.truncates.get(), 5)
        (turn,) = turns(caller.record())
    assert truncate["item_id"] == "item_greeting"
    assert turn.stop_ms is not None
    assert turn.played_ms == pytest.approx(50)


async def test_a_late_answer_belongs_to_what_was_committed_and_not_to_what_is_said_meanwhile() -> None:
    async def late(call: Call) -> None:
        await call.ends.get()
        await call.committed("first")
        await call.onsets.get()
        await call.onsets.get()
        await call.answer(tone(600), reply="r1")
        await call.ends.get()
        await call.committed("second")
        await call.answer(tone(50), reply="r2")

    async with calling(late) as (caller, _), asyncio.timeout(10):
        async with asyncio.TaskGroup() as both:
            first = both.create_task(caller.say(QUESTION))
            while not any(isinstance(seen, TurnCommitted) for seen in caller.record().seen):
                await caller.idle(CHUNK_S)
            await caller.say(QUESTION)
            assert first.done()
        assert [turn.heard for turn in turns(caller.record())] == ["first", "second"]
        assert [round(turn.played_ms) for turn in turns(caller.record())] == [600, 50]


# --- taps


async def test_a_tap_waits_for_the_reply_that_goes_on_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.1)
    async with calling(answers_once(tone(700))) as (caller, server), asyncio.timeout(10):
        async with asyncio.TaskGroup() as both:
            asking = both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            await caller.say(TAP, "tap")
            returned_at = caller.record().ended
        reply, over = turns(caller.record())
        assert server.truncates.empty()
    assert (reply.status, reply.played_ms) == ("completed", 700)
    assert (over.status, over.stopped, over.missed) == ("no_answer", False, False)
    assert returned_at >= asking.result().end + (reply.v2v_ms or 0) / 1000 + 0.7 - 0.001


async def test_a_tap_that_stops_the_reply_waits_for_what_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.3)
    async with calling(interruptible) as (caller, _), asyncio.timeout(10):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            both.create_task(caller.say(TAP, "tap"))
        (ended,) = (seen for seen in caller.record().seen if isinstance(seen, ReplyEnded) and seen.reply == "r2")
        assert caller.record().ended > ended.at + 0.09
        reply, over = turns(caller.record())
    assert reply.status == "cancelled"
    assert (over.stopped, over.said) == (True, "It is a stub.")


def answers_once(samples: Samples) -> Script:
    async def script(call: Call) -> None:
        await call.ends.get()
        await call.committed()
        await call.answer(samples)

    return script


# --- several at once


async def test_several_callers_in_one_loop_stay_apart() -> None:
    async def counts(call: Call) -> None:
        await call.ends.get()
        await call.committed(f"{sum(rms_dbfs(samples) > -45 for _, samples in call.chunks)} chunks")
        await call.answer(tone(50))

    async def one(url: str, chunks: int) -> str | None:
        async with call(realtime(url)) as caller:
            await caller.say(clip(tone(20 * chunks)))
            return turns(caller.record())[0].heard

    async with stub_server(counts) as stub:
        heard = await asyncio.gather(*(one(stub.url, chunks) for chunks in range(3, 11)))
    assert heard == [f"{chunks} chunks" for chunks in range(3, 11)]


# --- another wire


async def test_a_conversation_on_a_raw_wire() -> None:
    heard: list[Samples] = []

    async def bot(socket: ServerConnection) -> None:
        async for message in socket:
            assert isinstance(message, bytes)
            heard.append(pcm16_to_float(message))
            if len(heard) > 12 and [rms_dbfs(each) > -45 for each in heard[-6:]] == [True] + 5 * [False]:
                await socket.send(json.dumps({"type": "transcript", "text": "so"}))
                await socket.send(json.dumps({"type": "bot_started"}))
                await socket.send(float_to_pcm16(tone(300)))
                await socket.send(json.dumps({"type": "bot_stopped"}))

    async with serve(bot, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with call(raw(f"127.0.0.1:{port}")) as caller, asyncio.timeout(10):
            await caller.idle(0.2)
            await caller.say(QUESTION)
            assert [seen.text for seen in caller.record().seen if isinstance(seen, Heard)] == ["so"]
            (turn,) = turns(caller.record())
    assert all(len(samples) == 320 for samples in heard)
    assert (turn.status, turn.heard, turn.played_ms) == ("completed", "so", 300)
    assert turn.v2v_ms == pytest.approx(100, abs=CLOSE_MS)


# --- what goes wrong in a conversation


async def test_no_answer_in_time_is_reported_as_such() -> None:
    turn = await asked(says_nothing, answer_timeout_s=0.2)
    assert (turn.status, turn.heard, turn.said, turn.v2v_ms, turn.wire_ms) == ("no_answer", None, "", None, None)
    assert (len(turn.audio), turn.missed, turn.deadline_ms) == (0, True, 200)


def test_an_answer_has_15_seconds() -> None:
    assert ANSWER_TIMEOUT_S == 15


async def test_a_reply_that_falls_silent_is_unfinished() -> None:
    async def stalls(call: Call) -> None:
        await call.ends.get()
        await call.begin("r1")
        await call.audio("r1", tone(100))
        await asyncio.Event().wait()

    turn = await asked(stalls, answer_timeout_s=0.3)
    assert turn.status == "unfinished"
    assert turn.played_ms == pytest.approx(100)


@pytest.mark.parametrize(("sound", "reason"), [(tone(200), "too long"), (silence(200), "too silent")])
async def test_a_reply_without_an_end_is_given_up(sound: Samples, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "REPLY_TIMEOUT_S", 0.8 if reason == "too long" else 60.0)

    async def goes_on(call: Call) -> None:
        end = await call.ends.get()
        await call.committed()
        await call.begin("r1")
        for number in itertools.count():
            await call.audio("r1", sound)
            await call.until(end + 0.1 * number)

    async with calling(goes_on, answer_timeout_s=0.4) as (caller, _), asyncio.timeout(10):
        said = await caller.say(QUESTION)
        assert caller.record().ended == pytest.approx(said.end + (0.8 if reason == "too long" else 0.4), abs=0.2)
        await caller.say(QUESTION)
        record = caller.record()
        first, second = turns(caller.record())
    assert sum(isinstance(seen, Silenced) for seen in record.seen) == 1
    assert not any(isinstance(seen, Flushed) for seen in record.seen)
    assert (first.status, first.missed, first.error) == ("unfinished", reason == "too silent", None)
    assert 0 < first.played_ms < 1_000
    assert (second.status, second.missed) == ("no_answer", True)


async def test_what_is_too_long_does_not_delay_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "REPLY_TIMEOUT_S", 0.6)
    async with calling(answers(tone(20_000))) as (caller, _), asyncio.timeout(10):
        await caller.say(QUESTION)
        await caller.say(QUESTION)
        first, second = turns(caller.record())
    assert (first.status, second.status) == ("completed", "completed")
    assert second.v2v_ms == pytest.approx(first.v2v_ms, abs=CLOSE_MS)
    assert first.played_ms < 800


async def test_a_tap_does_not_end_a_long_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.1)
    async with calling(answers_once(tone(1_500)), answer_timeout_s=0.3) as (caller, _), asyncio.timeout(10):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            both.create_task(caller.say(TAP, "tap"))
        assert turns(caller.record())[0].played_ms == pytest.approx(1_500)


async def test_a_reply_that_failed_says_why() -> None:
    async def fails(call: Call) -> None:
        await call.ends.get()
        await call.committed()
        await call.begin("r1")
        error = {"type": "server_error", "message": "The speaker failed."}
        await call.done("r1", status="failed", status_details={"type": "failed", "error": error})

    turn = await asked(fails)
    assert (turn.status, turn.error, turn.v2v_ms) == ("failed", "The speaker failed.", None)


async def test_a_silent_reply_has_no_v2v() -> None:
    turn = await asked(answers(silence(100)))
    assert turn.wire_ms is not None
    assert (turn.v2v_ms, turn.leading_silence_ms) == (None, None)


async def test_waiting_for_a_sound_that_does_not_come() -> None:
    async with calling(says_nothing, answer_timeout_s=0.1) as (caller, _):
        with pytest.raises(TalkError, match=r"gave no audible answer within 0\.1 s"):
            await caller.until_sound()
        async with asyncio.TaskGroup() as both:
            saying = both.create_task(caller.say(clip(tone(400))))
            with pytest.raises(TalkError, match=r"gave no audible answer"):
                await caller.until_sound()
        assert caller.record().ended > saying.result().end + 0.1  # the wait begins with the end of the question


async def test_a_connection_that_the_server_closes_ends_the_wait_and_is_recorded() -> None:
    async def hangs_up(call: Call) -> None:
        await call.onsets.get()
        await call.close(1011, "out of memory")

    async with calling(hangs_up) as (caller, _):
        with pytest.raises(TalkError, match=r"closed the connection: .*1011.*out of memory"):
            await caller.say(QUESTION)
        with pytest.raises(TalkError, match=r"closed the connection"):
            await caller.idle(0.1)
        (lost,) = (seen for seen in caller.record().seen if isinstance(seen, Lost))
        assert "out of memory" in lost.reason
        assert turns(caller.record())[0].missed


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("not json", "not JSON"),
        ('{"type": "response.done"}', "malformed response.done"),
        ('{"type": "response.output_audio.delta", "response_id": "r1", "delta": "AAA"}', "malformed"),
    ],
)
async def test_nonsense_from_the_server_ends_the_wait(message: str, complaint: str) -> None:
    async def babbles(call: Call) -> None:
        await call.send_raw(message)

    async with calling(babbles) as (caller, _):
        with pytest.raises(TalkError, match=complaint):
            await caller.say(QUESTION)
        assert any(isinstance(seen, Lost) for seen in caller.record().seen)


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    async with stub_server(says_nothing) as stub:
        with pytest.raises(ZeroDivisionError):
            async with call(realtime(stub.url)):
                _ = 1 / 0


# --- what goes wrong before it


async def refusal(url: str, api_key: str | None = None) -> str:
    with pytest.raises(TalkError) as caught:
        async with call(realtime(url, api_key=api_key)):
            pass
    return str(caught.value)


async def test_no_server_there() -> None:
    assert "No server can be reached at ws://127.0.0.1:1/v1/realtime" in await refusal("127.0.0.1:1")


@pytest.mark.parametrize(
    ("status", "api_key", "complaint"),
    [
        (HTTPStatus.SERVICE_UNAVAILABLE, None, "refused the connection: HTTP 503."),
        (HTTPStatus.UNAUTHORIZED, "wrong", "refused the key: HTTP 401; give the right one with --api-key."),
        (HTTPStatus.FORBIDDEN, "wrong", "refused the connection: HTTP 403; look at the path and the key."),
        (HTTPStatus.FORBIDDEN, None, "refused the connection: HTTP 403; look at the path."),
        (HTTPStatus.UNAUTHORIZED, None, "asks for a key: HTTP 401; give it with --api-key."),
    ],
)
async def test_a_server_that_refuses(status: HTTPStatus, api_key: str | None, complaint: str) -> None:
    keys = []

    def refuses(connection: ServerConnection, request: Request) -> Response:
        keys.append(request.headers.get("Authorization"))
        return connection.respond(status, "no")

    async with stub_server(says_nothing, process_request=refuses) as stub:
        assert (await refusal(stub.url, api_key)).endswith(complaint)
    assert keys == [api_key and f"Bearer {api_key}"]


@asynccontextmanager
async def plain_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """The address of something that is no WebSocket server."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_server_that_is_no_web_socket() -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()
        await writer.wait_closed()

    async with plain_server(greets) as address:
        assert "is not a WebSocket server" in await refusal(address)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls(answer: bytes) -> None:
    async def speaks_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with plain_server(speaks_plainly) as address:
        assert re.search(
            r"^TLS with wss://.* failed: .+; a server without TLS is at ws://", await refusal(f"wss://{address}")
        )


async def test_a_server_whose_certificate_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    async with stub_server(says_nothing, ssl=context) as stub:
        url = stub.url.replace("ws:", "wss:")
        assert (await refusal(url)).startswith(f"TLS with {url} failed: the certificate is not trusted (self-signed")
        monkeypatch.setenv("SSL_CERT_FILE", str(own.cert))
        async with call(realtime(url)):
            pass


async def test_a_server_that_redirects_to_nowhere() -> None:
    def redirects(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = "http://[bad"
        return response

    async with stub_server(says_nothing, process_request=redirects) as stub:
        assert "is not a WebSocket server: " in await refusal(stub.url)


async def test_a_server_that_does_not_answer_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "CONNECT_TIMEOUT_S", 0.1)
    ended = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    async with plain_server(waits) as address:
        assert (await refusal(address)).endswith("did not answer within 0.1 s.")
        await ended.wait()


async def test_a_server_that_hangs_up_instead_of_a_greeting() -> None:
    async def hangs_up(call: Call) -> None:
        await call.close(1013, "try again later")

    async with stub_server(hangs_up, greets=False) as stub:
        complaint = await refusal(stub.url)
    assert "closed the connection: " in complaint
    assert "1013" in complaint


async def test_a_server_that_does_not_greet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_module, "CREATED_TIMEOUT_S", 0.1)
    async with stub_server(says_nothing, greets=False) as stub:
        assert (await refusal(stub.url)).endswith("did not send session.created within 0.1 s.")


async def test_a_server_that_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "SEND_TIMEOUT_S", 0.1)

    async def stops_reading(call: Call) -> None:
        call.pause()
        await call.send("session.created", session={})
        await says_nothing(call)

    async with stub_server(stops_reading, greets=False) as stub:
        with pytest.raises(TalkError, match=r"stopped reading"):
            async with call(realtime(stub.url, session={"instructions": "a" * 30_000_000})):
                pass
        stub.calls[0].abort()


async def test_a_server_that_floods_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "MOST_MESSAGES", (100, 0))

    async def floods(call: Call) -> None:
        while True:
            await call.send("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)

    complaint = r"floods its client: 101 messages of 0\.0 MiB came; look at what it sends\.$"
    async with calling(floods) as (caller, _):
        with pytest.raises(TalkError, match=complaint):
            await caller.say(QUESTION)
        assert isinstance(caller.record().seen[-1], Lost)
    async with stub_server(floods, greets=False) as stub:
        with pytest.raises(TalkError, match=complaint):
            async with call(realtime(stub.url)):
                pass


async def test_a_server_that_fills_the_memory_of_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "MOST_BYTES", (1_000_000, 0))

    async def floods(call: Call) -> None:
        await call.send("x", filler="a" * 2_000_000)

    async with calling(floods) as (caller, _):
        with pytest.raises(TalkError, match=r"floods its client: \d messages of 1\.9 MiB"):
            await caller.say(QUESTION)


def test_a_long_answer_at_once_is_no_flood() -> None:
    allowance = caller_module._Allowance(began=0.0)
    assert all(allowance.covers(1_400, now=1.0) for _ in range(6_000))  # two minutes in pieces of 20 ms
    assert all(allowance.covers(1_400, now=at / 200) for at in range(100_000))


# --- what was heard, and what is heard again


async def test_after_an_interruption_the_server_is_asked_what_was_heard() -> None:
    async def remembers(call: Call) -> None:
        await interruptible(call)
        while not (asked := [each for each in call.received if each["type"] == "conversation.item.retrieve"]):
            await call.until(call.now() + CHUNK_S)
        content = [{"type": "output_audio", "transcript": "A long"}]
        await call.send("conversation.item.retrieved", item={"id": asked[0]["item_id"], "content": content})

    async with calling(remembers) as (caller, _):
        async with asyncio.TaskGroup() as both:
            both.create_task(caller.say(QUESTION))
            await caller.until_sound()
            both.create_task(caller.say(QUESTION, "barge_in"))
        (found,) = (each for each in caller.record().seen if isinstance(each, Remembered))
    assert (found.reply, found.text) == ("r1", "A long")


async def test_the_reply_comes_back_to_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.3)
    async with calling(answers(tone(600), delay_ms=200)) as (caller, server):
        await caller.say(QUESTION)
        before = len(server.chunks)
        await caller.hear_itself(QUESTION, -40.0)
        chunks, record = server.chunks[before:], caller.record()
        await caller.idle(0.2)
        apart = server.chunks[-5:]
    question, echo = record.said[1:]
    assert (echo.clip, echo.purpose, echo.condition) == ("own-echo/-40 dB", "echo", "own echo -40 dB")
    assert question.end < echo.onset < echo.end < record.ended
    assert echo.end - echo.onset == pytest.approx(0.7, abs=0.03), "the reply, and the room's last path"
    levels = [rms_dbfs(samples) for at, samples in chunks if at > question.end + 0.1]
    echoes = [level for level in levels if level > -60]
    assert np.median(echoes) == pytest.approx(rms_dbfs(tone(600)) - 40, abs=6), "one pitch: its paths interfere"
    assert len(echoes) == pytest.approx(700 / 20, abs=4)
    assert all(rms_dbfs(samples) < -68 for _, samples in apart)
    assert turns(record)[2].stopped is False


async def test_a_server_that_answers_itself_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.3)
    async with calling(answers(tone(300), delay_ms=150)) as (caller, _):
        await caller.hear_itself(QUESTION, -20.0)
        question, echo = turns(caller.record())
    assert (question.commits, question.stopped, question.missed) == (1, None, False)
    assert echo.commits >= 1
    assert echo.stopped is True


async def test_a_question_without_an_answer_has_no_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.1)
    async with calling(says_nothing, 0.2) as (caller, _):
        await caller.hear_itself(QUESTION, -20.0)
        record = caller.record()
    assert [said.purpose for said in record.said] == ["turn"]


async def test_noise_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "AFTER_TAP_S", 0.4)
    async with calling(answers(tone(100), delay_ms=150)) as (caller, _):
        await caller.say(clip(tone(200), kind="soak"), "soak")
        (turn,) = turns(caller.record())
    assert (turn.commits, turn.replies, turn.wants_answer) == (1, 1, False)
