from __future__ import annotations

import asyncio
import base64
import itertools
from http import HTTPStatus

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.realtime_stub import Call, StubServer, answers, silence, stub_server, tone
from voxtral_voice import client as client_module
from voxtral_voice.audio.level import rms_dbfs
from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.client import CHUNK_SAMPLES, Microphone, RealtimeClient, realtime_url
from voxtral_voice.errors import TalkError

RATE_HZ = 24_000
QUESTION = tone(200)
CLOSE_MS = 90.0
"""What a busy machine may add to a single measurement; the accuracy itself is tested over several, to 15 ms."""


async def says_nothing(call: Call) -> None:
    await asyncio.Event().wait()


# --- the address


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime"),
        ("localhost", "ws://localhost/v1/realtime"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/v1/realtime"),
        ("https://voice.example", "wss://voice.example/v1/realtime"),
        ("ws://127.0.0.1:8000/v1/realtime", "ws://127.0.0.1:8000/v1/realtime"),
        ("wss://voice.example/pod/v1/realtime?model=m", "wss://voice.example/pod/v1/realtime?model=m"),
        ("http://[::1]:8000", "ws://[::1]:8000/v1/realtime"),
    ],
)
def test_addresses_in_all_their_forms(given: str, address: str) -> None:
    assert realtime_url(given) == address


@pytest.mark.parametrize("given", ["", "ftp://host", "ws://", "host:port", "http://host:99999", "question.wav:"])
def test_what_is_no_address_is_refused(given: str) -> None:
    if given == "question.wav:":
        assert realtime_url(given) == "ws://question.wav:/v1/realtime"  # a host's name may look like this
        return
    with pytest.raises(TalkError, match=r"is not the address of a server; write http://host:port"):
        realtime_url(given)


# --- the microphone


def chunk_of(microphone: Microphone) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return pcm16_to_float(base64.b64decode(microphone.next_chunk()))


def test_a_silent_microphone_gives_room_tone_and_not_digital_silence() -> None:
    microphone = Microphone()
    for _ in range(120):
        chunk = chunk_of(microphone)
        assert len(chunk) == CHUNK_SAMPLES
        assert -72 < rms_dbfs(chunk) < -68


def test_what_is_said_goes_out_over_the_room_tone_from_the_next_chunk_on() -> None:
    microphone = Microphone()
    chunk_of(microphone)
    assert microphone.say(tone(30)) == 480
    assert microphone.say(tone(10)) == 480 + 720
    out = np.concatenate([chunk_of(microphone) for _ in range(3)])
    assert np.abs(out[:720] - tone(30)).max() < 0.01
    assert np.abs(out[720:960] - tone(10)).max() < 0.01
    assert -72 < rms_dbfs(out[960:]) < -68
    assert microphone.position == 4 * 480


# --- what is measured


async def test_a_known_delay_is_measured() -> None:
    async with stub_server(answers(tone(200), delay_ms=300)) as stub, RealtimeClient.connect(stub.url) as client:
        turns = [await client.say(QUESTION, RATE_HZ) for _ in range(3)]
    assert sorted(turn.v2v_ms or 0 for turn in turns)[1] == pytest.approx(300, abs=25)
    assert sorted(turn.wire_ms or 0 for turn in turns)[1] == pytest.approx(300, abs=25)
    turn = turns[0]
    assert turn.status == "completed"
    assert turn.leading_silence_ms == 0
    assert turn.played_ms == pytest.approx(200)
    assert (turn.heard, turn.said) == ("what is it", "It is a stub.")
    assert (turn.underruns, turn.cut_ins, turn.stop_ms, turn.error, turn.trace) == (0, 0, None, None, None)
    np.testing.assert_allclose(turn.audio, tone(200), atol=1e-4)


async def test_leading_silence_of_the_reply_is_told_apart() -> None:
    reply = np.concatenate((silence(200), tone(100)))
    async with stub_server(answers(reply, delay_ms=150)) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert turn.wire_ms == pytest.approx(150, abs=CLOSE_MS)
    assert turn.leading_silence_ms == pytest.approx(200)
    assert turn.v2v_ms == pytest.approx(350, abs=CLOSE_MS)


async def test_time_runs_from_the_last_voiced_sample_and_not_from_the_end_of_the_clip() -> None:
    clip = np.concatenate((QUESTION, silence(160)))
    async with stub_server(answers(tone(50), delay_ms=200)) as stub, RealtimeClient.connect(stub.url) as client:
        found = await client.say(clip, RATE_HZ)
        told = await client.say(clip, RATE_HZ, speech_end_s=0.1)
    assert found.v2v_ms == pytest.approx(200, abs=CLOSE_MS)
    assert told.v2v_ms == pytest.approx(300, abs=CLOSE_MS)


async def test_other_rates_are_converted() -> None:
    clip = tone(200)[::3]  # the same tone at 8 kHz
    async with stub_server(answers(tone(50))) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(clip, 8_000)
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

    async with stub_server(stutters) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
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

    async with stub_server(begins_with_silence) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert turn.v2v_ms == pytest.approx(250, abs=CLOSE_MS)
    assert turn.leading_silence_ms == pytest.approx(40)


async def test_the_microphone_keeps_its_pace_and_never_stops() -> None:
    async with stub_server(answers(tone(100))) as stub, RealtimeClient.connect(stub.url) as client:
        await client.say(QUESTION, RATE_HZ)
        await client.idle(0.5)
        chunks = stub.calls[0].chunks
        arrivals = np.array([at for at, _ in chunks])
        lateness = client.lateness()
    assert len(chunks) > 40
    drift_ms = (arrivals - arrivals[0] - 0.02 * np.arange(len(arrivals))) * 1000
    assert np.abs(np.median(drift_ms)) < 10
    assert 0 <= lateness.p50_ms <= lateness.p99_ms
    assert all(rms_dbfs(samples) > -75 for _, samples in chunks)


async def test_the_trace_of_the_server_is_passed_on() -> None:
    trace = {"stages_ms": {"silence": 96.0}, "total_ms": 200.0}
    script = answers(tone(50), extra={"voxtral_voice": {"trace": trace}})
    async with stub_server(script) as stub, RealtimeClient.connect(stub.url) as client:
        assert (await client.say(QUESTION, RATE_HZ)).trace == trace


async def test_events_are_kept_with_their_arrival_and_without_audio() -> None:
    async with stub_server(answers(tone(50))) as stub, RealtimeClient.connect(stub.url) as client:
        await client.say(QUESTION, RATE_HZ)
        kinds = [event["type"] for _, event in client.events]
        assert kinds[0] == "input_audio_buffer.speech_stopped"
        assert kinds[-1] == "response.done"
        assert all("delta" not in event for _, event in client.events if event["type"].endswith("audio.delta"))
        assert all(a <= b for (a, _), (b, _) in itertools.pairwise(client.events))


async def test_the_session_asks_for_transcripts_or_for_what_it_is_told_to() -> None:
    async with stub_server(says_nothing) as stub:
        async with RealtimeClient.connect(stub.url):
            pass
        async with RealtimeClient.connect(stub.url, session={"type": "realtime", "instructions": "be brief"}):
            pass
    first, second = (call.received[0]["session"] for call in stub.calls)
    assert first["audio"]["input"]["transcription"]["model"]
    assert second == {"type": "realtime", "instructions": "be brief"}


async def test_a_transcript_that_comes_after_the_reply_is_waited_for() -> None:
    async def transcribes_late(call: Call) -> None:
        end = await call.ends.get()
        await call.committed(heard=None)
        await call.answer(tone(50))
        await call.until(end + 0.4)
        await call.transcribed("late words")

    async with stub_server(transcribes_late) as stub, RealtimeClient.connect(stub.url) as client:
        assert (await client.say(QUESTION, RATE_HZ)).heard == "late words"


async def test_a_transcript_that_failed_is_not_waited_for() -> None:
    async def cannot_transcribe(call: Call) -> None:
        await call.ends.get()
        await call.committed(heard=None)
        await call.send("conversation.item.input_audio_transcription.failed", item_id="item_u1", error={})
        await call.answer(tone(50))

    async with stub_server(cannot_transcribe) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert (turn.status, turn.heard) == ("completed", None)


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
    async with stub_server(interruptible) as stub, RealtimeClient.connect(stub.url) as client:
        async with asyncio.TaskGroup() as both:
            first = both.create_task(client.say(QUESTION, RATE_HZ))
            await client.until_sound()
            await client.idle(0.3)
            second = both.create_task(client.say(QUESTION, RATE_HZ))
        truncate = await asyncio.wait_for(stub.calls[0].truncates.get(), 5)
    old, new = first.result(), second.result()
    assert (old.status, old.heard, old.said) == ("cancelled", "first", "A long story")
    assert 300 <= old.played_ms < 500
    assert len(old.audio) == len(tone(2_000))
    assert old.v2v_ms is not None
    assert (new.status, new.heard, new.said) == ("completed", "second", "It is a stub.")
    assert new.stop_ms == pytest.approx(20, abs=CLOSE_MS)  # the chunk with the onset, and the way there and back
    assert new.played_ms == pytest.approx(100)
    assert truncate["item_id"] == "item_r1"
    assert truncate["content_index"] == 0
    assert truncate["audio_end_ms"] == pytest.approx(old.played_ms, abs=1)
    assert client.late_audio_ms == 0


async def test_audio_after_the_cut_is_counted_and_not_played() -> None:
    async def goes_on(call: Call) -> None:
        await interruptible(call)
        await call.audio("r1", tone(60))
        await call.audio("r2", tone(40))
        await call.send("last")

    async with stub_server(goes_on) as stub, RealtimeClient.connect(stub.url) as client:
        async with asyncio.TaskGroup() as both:
            first = both.create_task(client.say(QUESTION, RATE_HZ))
            await client.until_sound()
            both.create_task(client.say(QUESTION, RATE_HZ))
        while client.events[-1][1]["type"] != "last":
            await client.idle(0.02)
        assert client.late_audio_ms == pytest.approx(100)
    assert len(first.result().audio) == len(tone(2_000))


async def test_only_a_reply_that_is_playing_is_cut() -> None:
    async def starts(call: Call) -> None:
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u1", audio_start_ms=0)
        await call.ends.get()
        await call.committed()
        await call.answer(tone(50))
        await call.send("input_audio_buffer.speech_started", item_id="item_u2", audio_start_ms=0)

    async with stub_server(starts) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ, answer_timeout_s=0.3)
        assert len([event for event in stub.calls[0].received if event["type"].endswith("truncate")]) == 1
    assert turn.stop_ms is None  # nobody spoke over the reply, so nobody waited for it to stop
    assert 0 <= turn.played_ms < 50


async def test_a_reply_in_the_middle_of_the_question_is_a_cut_in_and_not_the_answer() -> None:
    pause = np.concatenate((tone(100), silence(200), tone(100)))

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

    async with stub_server(impatient) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(pause, RATE_HZ)
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

    async with stub_server(hasty) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
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

    async with stub_server(interjects) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert turn.played_ms == pytest.approx(60)
    assert turn.cut_ins == 1


async def test_a_greeting_that_nobody_asked_for_is_played_and_can_be_interrupted() -> None:
    async def greets(call: Call) -> None:
        await call.answer(tone(2_000), reply="greeting")
        await call.send("input_audio_buffer.committed", item_id="item_nobody")
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="item_u1", audio_start_ms=0)
        await call.ends.get()
        await call.committed()
        await call.answer(tone(50), reply="r1")

    async with stub_server(greets) as stub, RealtimeClient.connect(stub.url) as client:
        await client.until_sound()
        turn = await client.say(QUESTION, RATE_HZ)
        truncate = await asyncio.wait_for(stub.calls[0].truncates.get(), 5)
    assert truncate["item_id"] == "item_greeting"
    assert turn.stop_ms is not None
    assert turn.played_ms == pytest.approx(50)


# --- several at once


async def test_several_clients_in_one_loop_stay_apart() -> None:
    async def counts(call: Call) -> None:
        await call.ends.get()
        await call.committed(f"{sum(rms_dbfs(samples) > -45 for _, samples in call.chunks)} chunks")
        await call.answer(tone(50))

    async def one(url: str, chunks: int) -> str | None:
        async with RealtimeClient.connect(url) as client:
            return (await client.say(tone(20 * chunks), RATE_HZ)).heard

    async with stub_server(counts) as stub:
        heard = await asyncio.gather(*(one(stub.url, chunks) for chunks in range(3, 11)))
    assert heard == [f"{chunks} chunks" for chunks in range(3, 11)]


async def test_many_turns_in_one_session_leave_no_heap_behind() -> None:
    async with stub_server(answers(tone(20), delay_ms=110)) as stub, RealtimeClient.connect(stub.url) as client:
        for _ in range(10):
            assert (await client.say(tone(40), RATE_HZ)).status == "completed"
        assert len(client._replies) == client_module.REPLIES_KEPT
        assert len(client._utterances) == client_module.REPLIES_KEPT


# --- what goes wrong


async def test_no_answer_in_time_is_reported_as_such() -> None:
    async with stub_server(says_nothing) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ, answer_timeout_s=0.2)
    assert (turn.status, turn.heard, turn.said, turn.v2v_ms, turn.wire_ms) == ("no_answer", None, "", None, None)
    assert len(turn.audio) == 0


def test_an_answer_has_15_seconds() -> None:
    assert client_module.ANSWER_TIMEOUT_S == 15


async def test_a_reply_that_falls_silent_is_unfinished() -> None:
    async def stalls(call: Call) -> None:
        await call.ends.get()
        await call.begin("r1")
        await call.audio("r1", tone(100))
        await asyncio.Event().wait()

    async with stub_server(stalls) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ, answer_timeout_s=0.3)
    assert turn.status == "unfinished"
    assert turn.played_ms == pytest.approx(100)


async def test_a_reply_that_failed_says_why() -> None:
    async def fails(call: Call) -> None:
        await call.ends.get()
        await call.committed()
        await call.begin("r1")
        error = {"type": "server_error", "message": "The speaker failed."}
        await call.done("r1", status="failed", status_details={"type": "failed", "error": error})

    async with stub_server(fails) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert (turn.status, turn.error, turn.v2v_ms) == ("failed", "The speaker failed.", None)


async def test_a_silent_reply_has_no_v2v() -> None:
    async with stub_server(answers(silence(100))) as stub, RealtimeClient.connect(stub.url) as client:
        turn = await client.say(QUESTION, RATE_HZ)
    assert turn.wire_ms is not None
    assert (turn.v2v_ms, turn.leading_silence_ms) == (None, None)


async def test_waiting_for_a_sound_that_does_not_come() -> None:
    async with stub_server(says_nothing) as stub, RealtimeClient.connect(stub.url) as client:
        with pytest.raises(TalkError, match=r"gave no audible answer within 0\.1 s"):
            await client.until_sound(timeout_s=0.1)


async def test_a_connection_that_the_server_closes_ends_the_wait() -> None:
    async def hangs_up(call: Call) -> None:
        await call.onsets.get()
        await call.close(1011, "out of memory")

    async with stub_server(hangs_up) as stub, RealtimeClient.connect(stub.url) as client:
        with pytest.raises(TalkError, match=r"closed the connection: .*1011.*out of memory"):
            await client.say(QUESTION, RATE_HZ)
        with pytest.raises(TalkError, match=r"closed the connection"):
            await client.idle(0.1)
        with pytest.raises(TalkError, match=r"closed the connection"):
            await client.send({"type": "response.cancel"})


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("not json", "not JSON"),
        (b"\x00\x01", "not JSON"),
        ("[1]", "not an event"),
        ('{"type": 1}', "not an event"),
        ('{"type": "response.done"}', "malformed response.done"),
        ('{"type": "response.output_audio.delta", "response_id": "r1", "delta": "AAA"}', "malformed"),
        ('{"type": "response.output_audio.delta", "response_id": "r1", "delta": "AAAA"}', "malformed"),
    ],
)
async def test_nonsense_from_the_server_ends_the_wait(message: str | bytes, complaint: str) -> None:
    async def babbles(call: Call) -> None:
        await call.send_raw(message)

    async with stub_server(babbles) as stub, RealtimeClient.connect(stub.url) as client:
        with pytest.raises(TalkError, match=complaint):
            await client.say(QUESTION, RATE_HZ)


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    async with stub_server(says_nothing) as stub:
        with pytest.raises(ZeroDivisionError):
            async with RealtimeClient.connect(stub.url):
                _ = 1 / 0


async def test_no_server_there() -> None:
    with pytest.raises(TalkError, match=r"No server can be reached at ws://127\.0\.0\.1:1/v1/realtime"):
        async with RealtimeClient.connect("127.0.0.1:1"):
            pass


async def test_a_server_that_refuses() -> None:
    def full(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full")

    async with stub_server(says_nothing, process_request=full) as stub:
        with pytest.raises(TalkError, match=r"refused the connection: HTTP 503"):
            async with RealtimeClient.connect(stub.url):
                pass


async def test_a_server_that_is_no_web_socket() -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(greets, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TalkError, match=r"is not a Realtime server"):
            async with RealtimeClient.connect(f"127.0.0.1:{port}"):
                pass


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ('{"type": "error", "error": {"message": "No such model."}}', "refused the session: No such model"),
        ('{"type": "hello"}', "it sent hello instead of session.created"),
    ],
)
async def test_a_server_with_another_greeting(first: str, complaint: str) -> None:
    async def greets(call: Call) -> None:
        await call.send_raw(first)

    async with stub_server(greets, greets=False) as stub:
        with pytest.raises(TalkError, match=complaint):
            async with RealtimeClient.connect(stub.url):
                pass


async def test_a_server_that_hangs_up_instead_of_a_greeting() -> None:
    async def hangs_up(call: Call) -> None:
        await call.close(1013, "try again later")

    async with stub_server(hangs_up, greets=False) as stub:
        with pytest.raises(TalkError, match=r"closed the connection: .*1013"):
            async with RealtimeClient.connect(stub.url):
                pass


async def test_a_server_that_does_not_greet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.1)
    async with stub_server(says_nothing, greets=False) as stub:
        with pytest.raises(TalkError, match=r"did not send session\.created within 0\.1 s"):
            async with RealtimeClient.connect(stub.url):
                pass


async def test_a_server_that_does_not_answer_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.1)
    ended = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(waits, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TalkError, match=r"did not answer within 0\.1 s"):
            async with RealtimeClient.connect(f"127.0.0.1:{port}"):
                pass
        await ended.wait()


async def test_a_server_that_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SEND_TIMEOUT_S", 0.1)

    async def talk_to_the_wall(stub: StubServer) -> None:
        async with RealtimeClient.connect(stub.url) as client:
            stub.calls[0].pause()
            await client.send({"type": "x", "filler": "a" * 30_000_000})

    async with stub_server(says_nothing) as stub:
        with pytest.raises(TalkError, match=r"stopped reading"):
            await talk_to_the_wall(stub)
        stub.calls[0].abort()
