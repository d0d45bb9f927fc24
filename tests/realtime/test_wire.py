from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.realtime import order
from tests.realtime.make import VOICES, change_one_place, counted_ids, frame
from tests.realtime.oracle import read
from tests.realtime.test_session_object import FULL
from voxtral_voice.audio.pcm import pcm16_to_float
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.timeline import Timeline
from voxtral_voice.realtime.audio_formats import Sound
from voxtral_voice.realtime.wire import Incoming, Opening, Wire

TRANSCRIBED = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
SOUND = np.full(960, 0.1, dtype=np.float32)


class Client:
    """A wire and a client that reads all that comes."""

    def __init__(self, *, ours: bool = False, patience: float | None = None, opening: Opening | None = None) -> None:
        self.wire = Wire(
            "sess_1", counted_ids(), VOICES, "voxtral-voice", 1_800_000_000, patience=patience, opening=opening
        )
        self.items: dict[str, ev.Entry] = {}
        self.sounds: dict[str, Sound] = {}
        self.ours = ours
        """The client knows our own additions to the protocol."""
        self.events: list[dict[str, Any]] = read(self.wire.opening(), ours=ours)

    def send(self, text: str | bytes) -> Incoming:
        return self.wire.client(text, self.items.get, self.sounds.get)

    def ask(self, kind: str, **fields: Any) -> Incoming:
        return self.send(frame(kind, **fields))

    def hear(self, *notices: ev.Notice, event_id: str | None = None) -> list[dict[str, Any]]:
        events = [e for notice in notices for e in read(self.wire.notice(notice, event_id), ours=self.ours)]
        self.events += events
        return events

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def transcribed(client: Client) -> Client:
    client.ask("session.update", session=TRANSCRIBED)
    client.events = read(client.wire.opening())
    return client


def started(modality: ev.Modality = "audio", after: str | None = "U", request: str | None = None) -> ev.ReplyStarted:
    return ev.ReplyStarted("R", "A", after, modality, "af_heart", None, request)


def ended(**changes: Any) -> ev.ReplyEnded:
    fields = {"status": "completed", "reason": None, "text": "", "audio_ms": 0, "error": None, "timeline": None}
    return ev.ReplyEnded("R", **{**fields, **changes})


def committed(item_id: str = "U", after: str | None = None) -> ev.AudioCommitted:
    return ev.AudioCommitted(ev.Item(item_id, "user", "audio", None), after)


# --- the cases of the protocol, event by event ------------------------------------------------------------------


def test_opening(client: Client) -> None:
    [created] = client.events
    assert created["type"] == "session.created"
    assert created["session"]["id"] == "sess_1"
    assert created["session"]["expires_at"] == 1_800_003_600
    assert created["session"]["audio"]["output"]["voice"] == "af_heart"
    assert client.wire.settings == ev.Settings()


def test_case_a_a_spoken_turn(transcribed: Client) -> None:
    transcribed.hear(
        ev.SpeechStarted("U", 16_000),
        ev.TranscriptDelta("U", "What is"),
        ev.SpeechStopped("U", 48_008),
        committed(),
        started(),
        ev.TranscriptDelta("U", " the time?"),
        ev.TranscriptDone("U", "What is the time?", 2.0),
        ev.ReplyTextDelta("R", "It is noon.", (("It", 10.0, 30.0),)),
        ev.ReplyAudioDelta("R", SOUND),
        ended(text="It is noon.", timeline=Timeline(speech_end=0.0, first_sent=0.5), words=(("It", 10.0, 30.0),)),
    )
    assert transcribed.kinds() == [
        "session.created",
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    order.check(transcribed.events)
    by_kind = {event["type"]: event for event in transcribed.events}
    assert by_kind["input_audio_buffer.speech_started"]["audio_start_ms"] == 1000
    assert by_kind["input_audio_buffer.speech_stopped"]["audio_end_ms"] == 3000
    completed = by_kind["conversation.item.input_audio_transcription.completed"]
    assert (completed["transcript"], completed["usage"]) == ("What is the time?", {"type": "duration", "seconds": 2.0})
    user = transcribed.events[5]["item"]
    assert (user["role"], user["status"]) == ("user", "completed")
    assert user["content"] == [{"type": "input_audio", "audio": None, "transcript": None}]
    words = [{"word": "It", "start_ms": 10, "end_ms": 30}]
    assert by_kind["response.output_audio_transcript.delta"]["voxtral_voice"] == {"words": words}
    assert by_kind["response.done"]["voxtral_voice"]["words"] == words
    assert by_kind["response.done"]["voxtral_voice"]["trace"]["total_ms"] == 500.0


def test_case_b_barge_in(client: Client) -> None:
    client.hear(committed(), started(), ev.ReplyTextDelta("R", "Well, "), ev.ReplyAudioDelta("R", SOUND))
    client.events.clear()
    client.hear(
        ev.SpeechStarted("V", 80_000),
        ended(status="cancelled", reason="turn_detected", text="Well, ", audio_ms=40),
        ev.ItemTruncated("A", 20, "Well"),
    )
    assert client.kinds() == [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "conversation.item.truncated",
    ]
    done = client.events[6]["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected", "error": None}
    assert done["output"][0]["status"] == "incomplete"
    truncated = client.events[-1]
    assert (truncated["item_id"], truncated["content_index"], truncated["audio_end_ms"]) == ("A", 0, 20)


def test_case_c_push_to_talk(client: Client) -> None:
    update = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    [configure] = client.ask("session.update", session=update).events
    assert configure == ev.Configure(ev.Settings(turn_detection=None))
    client.hear(ev.Configured())
    assert client.events[-1]["session"]["audio"]["input"]["turn_detection"] is None
    assert client.ask("input_audio_buffer.clear").events == (ev.ClearAudio(),)
    client.hear(ev.AudioCleared())
    assert client.ask("input_audio_buffer.commit").events == (ev.CommitAudio(),)
    assert client.ask("response.create").events == (ev.CreateReply(),)
    client.hear(committed(), started(), ended())
    assert client.kinds()[1:7] == [
        "session.updated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    order.check(client.events)


def test_case_d_text(client: Client) -> None:
    content = [{"type": "input_text", "text": "Hello"}]
    [add] = client.ask("conversation.item.create", item={"type": "message", "role": "user", "content": content}).events
    assert isinstance(add, ev.AddItem)
    assert add == ev.AddItem(ev.Item(add.item.id, "user", "text", "Hello"), None)
    assert add.item.id.startswith("item_")
    client.hear(ev.ItemAdded(add.item, None))
    client.ask("response.create", response={"output_modalities": ["text"]})
    client.hear(started("text", add.item.id), ev.ReplyTextDelta("R", "Hi"), ended(text="Hi"))
    assert client.kinds()[1:] == [
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    order.check(client.events)


WEATHER = {"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}}
TOOL = ev.Tool("weather", "", '{"type":"object"}')


def test_case_e_a_function_call(client: Client) -> None:
    [configure] = client.ask("session.update", session={"type": "realtime", "tools": [WEATHER]}).events
    assert configure == ev.Configure(ev.Settings(tools=(TOOL,)))
    client.hear(ev.Configured())
    assert client.events.pop()["session"]["tools"] == [WEATHER]
    client.hear(
        committed(),
        ev.ReplyStarted("R", None, None, "audio", "af_heart", None),
        ev.ReplyCallStarted("R", "C", "U", "call_1", "weather"),
        ev.ReplyCallDelta("R", "C", "{}"),
        ev.ReplyCallEnded("R", "C"),
    )
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    [add] = client.ask("conversation.item.create", item=output).events  # before the response is done
    assert isinstance(add, ev.AddItem)
    assert add.item == ev.OutputItem(add.item.id, ev.ToolOutput("call_1", "sunny"))
    client.hear(ev.ItemAdded(add.item, "C"), ended(usage=ev.Usage(30, 9)))
    assert client.kinds()[4:] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "conversation.item.added",
        "conversation.item.done",
        "response.done",
    ]
    order.check(client.events)
    done = client.events[-1]["response"]
    assert [item["name"] for item in done["output"]] == ["weather"]
    assert done["usage"]["total_tokens"] == 39


def test_case_e_words_before_a_call(client: Client) -> None:
    client.hear(
        committed(),
        ev.ReplyStarted("R", None, None, "audio", "af_heart", None),
        ev.ReplyMessageStarted("R", "A", "U"),
        ev.ReplyTextDelta("R", "One moment."),
        ev.ReplyCallStarted("R", "C", "A", "call_1", "weather"),
        ev.ReplyCallEnded("R", "C"),
        ev.ReplyAudioDelta("R", SOUND),
        ended(text="One moment."),
    )
    order.check(client.events)
    assert [item["id"] for item in client.events[-1]["response"]["output"]] == ["A", "C"]


def test_case_f_beside_the_conversation(client: Client) -> None:
    wish = {"conversation": "none", "input": [], "metadata": {"topic": "weather"}, "output_modalities": ["text"]}
    [create] = client.ask("response.create", response=wish).events
    assert isinstance(create, ev.CreateReply)
    assert (create.options.aside, create.options.input) == (True, ())
    started_aside = ev.ReplyStarted("B", "I", None, "text", "af_heart", None, create.options.request, aside=True)
    client.hear(committed(), started(), started_aside, ev.ReplyTextDelta("R", "Hi"), ev.ReplyTextDelta("B", "Yes."))
    client.hear(ev.ReplyEnded("B", "completed", None, "Yes.", 0, None, None), ended(text="Hi"))
    order.check(client.events)
    beside = [event for event in client.events if event.get("response_id") == "B"]
    assert len(beside) == 6
    about = [event["response"] for event in client.events if event.get("response", {}).get("id") == "B"]
    assert [(each["conversation_id"], each["metadata"]) for each in about] == [(None, {"topic": "weather"})] * 2
    assert not any(event["item"]["id"] == "I" for event in client.events if event["type"].startswith("conversation."))


def test_case_g_idle_timeout(transcribed: Client) -> None:
    transcribed.hear(
        ev.IdleTimeout("U", 16_000, 112_000),
        ev.ItemAdded(ev.Item("N", "system", "text", "Ask if they are there."), None),
        committed(after="N"),
        ev.TranscriptDone("U", "", 0.0),
        started(),
        ev.ReplyTextDelta("R", "Are you there?"),
        ended(text="Are you there?"),
    )
    order.check(transcribed.events)
    triggered = transcribed.events[1]
    assert triggered["type"] == "input_audio_buffer.timeout_triggered"
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"], triggered["item_id"]) == (1000, 7000, "U")
    assert transcribed.kinds()[2:9] == [
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
    ]


def test_case_h_transcription() -> None:
    client = Client(opening=Opening(intent="transcription"))
    assert client.events[0]["session"]["type"] == "transcription"
    assert client.wire.settings == ev.Settings(turn_detection=ev.TurnDetection(create_response=False))
    [configure] = client.ask("session.update", session={"type": "transcription", "include": []}).events
    assert configure == ev.Configure(client.wire.settings)
    client.hear(
        ev.Configured(),
        ev.SpeechStarted("U", 0),
        ev.TranscriptDelta("U", "Hello"),
        ev.SpeechStopped("U", 16_000),
        committed(),
        ev.TranscriptDone("U", "Hello", 1.0),
    )
    assert client.kinds() == [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
    ]
    order.check(client.events)
    [error] = read(client.ask("response.create", event_id="mine").frames)
    assert (error["error"]["param"], error["error"]["event_id"]) == ("type", "mine")
    assert "has no responses" in error["error"]["message"]


def test_case_i_failure(transcribed: Client) -> None:
    transcribed.hear(
        committed(),
        ev.TranscriptLost("U", "transcriber: broken"),
        started(),
        ended(status="failed", error="transcriber: broken"),
    )
    lost = next(event for event in transcribed.events if event["type"].endswith("transcription.failed"))
    assert lost["error"] == {
        "type": "server_error",
        "code": "transcriber_failed",
        "message": "transcriber: broken",
    }
    done = transcribed.events[-1]["response"]
    assert (done["status"], done["output"][0]["status"]) == ("failed", "incomplete")
    assert done["status_details"]["error"]["message"] == "transcriber: broken"
    order.check(transcribed.events)


def test_without_transcription_the_client_is_not_told_what_was_said(client: Client) -> None:
    said = (ev.TranscriptDelta("U", "x"), ev.TranscriptDone("U", "x", 1.0), ev.TranscriptLost("U", "x"))
    assert client.hear(*said) == []


# --- our own additions: only for a client that asked -----------------------------------------------------------

OURS = (
    ev.FloorChanged("hearing"),
    ev.FloorChanged("settling"),
    ev.Speculated("begun", "What is"),
    ev.Speculated("dropped", "What is"),
    ev.FloorChanged("contested"),
)


def test_a_stock_client_sees_nothing_unknown(client: Client) -> None:
    assert client.hear(*OURS) == []
    client.ask("session.update", session={"type": "realtime", "instructions": "Be brief."})
    client.hear(ev.Configured(), *OURS)
    assert client.kinds() == ["session.created", "session.updated"]


def test_our_events_for_a_client_that_asked() -> None:
    client = Client(ours=True)
    client.ask("session.update", session={"type": "realtime", "voxtral_voice": {"events": True}})
    client.hear(ev.Configured())
    assert client.events[-1]["session"]["voxtral_voice"] == {"events": True}
    floor, _, begun, dropped, contested = client.hear(*OURS)
    assert (floor["type"], floor["state"]) == ("voxtral_voice.floor", "hearing")
    assert (begun["type"], begun["outcome"], begun["text"]) == ("voxtral_voice.speculation", "begun", "What is")
    assert (dropped["outcome"], contested["state"]) == ("dropped", "contested")
    order.check(client.events)
    client.ask("session.update", session={"type": "realtime", "voxtral_voice": None})
    assert client.hear(*OURS) == []


def test_the_servers_patience_is_in_the_settings_and_told() -> None:
    client = Client(ours=True, patience=0.8)
    assert client.wire.settings == ev.Settings(turn_detection=ev.TurnDetection(patience=0.8))
    assert client.events[0]["session"]["audio"]["input"]["turn_detection"]["patience"] == 0.8


# --- audio in ---------------------------------------------------------------------------------------------------


def append(client: Client, audio: bytes) -> bytes:
    incoming = client.ask("input_audio_buffer.append", audio=base64.b64encode(audio).decode())
    assert (incoming.events, incoming.frames) == ((), ())
    return incoming.pcm


def test_half_a_sample_waits_for_its_other_half(client: Client) -> None:
    assert append(client, b"\x01\x02\x03") == b"\x01\x02"
    assert append(client, b"\x04\x05\x06") == b"\x03\x04\x05\x06"


@pytest.mark.parametrize("end", ["input_audio_buffer.commit", "input_audio_buffer.clear"])
def test_half_a_sample_does_not_outlive_its_turn(client: Client, end: str) -> None:
    append(client, b"\x01")
    client.ask(end)
    assert append(client, b"\x05\x06") == b"\x05\x06"


def use(client: Client, side: str, name: str) -> None:
    client.ask("session.update", session={"type": "realtime", "audio": {side: {"format": {"type": name}}}})


def test_another_format_is_that_of_the_next_append(client: Client) -> None:
    append(client, b"\x01")
    use(client, "input", "audio/pcmu")
    assert len(append(client, b"\xff" * 160)) == 960
    use(client, "input", "audio/pcmu")  # which changes nothing
    assert append(client, b"\xff" * 160) == bytes(960)
    use(client, "input", "audio/pcm")
    assert append(client, b"\x05\x06") == b"\x05\x06"


def test_another_format_is_that_of_the_next_response(client: Client) -> None:
    client.hear(committed(), started())
    use(client, "output", "audio/pcma")
    [before] = client.hear(ev.ReplyAudioDelta("R", np.zeros(240, np.float32)))
    assert len(base64.b64decode(before["delta"])) == 480
    client.hear(ended())
    created, *_ = client.hear(started())
    assert created["response"]["audio"]["output"]["format"] == {"type": "audio/pcma"}
    [after] = client.hear(ev.ReplyAudioDelta("R", np.zeros(240, np.float32)))
    assert base64.b64decode(after["delta"]) == b"\xd5" * 80


def test_a_format_for_one_response(client: Client) -> None:
    wish = {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
    [create] = client.ask("response.create", response=wish).events
    assert isinstance(create, ev.CreateReply)
    assert create.options.request is None
    created, *_ = client.hear(replace(started(), audio_format=create.options.audio_format))
    assert created["response"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    assert created["response"]["metadata"] is None
    client.hear(ended())
    created, *_ = client.hear(started())
    assert created["response"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}


# --- requests ---------------------------------------------------------------------------------------------------


def test_a_problem_is_answered_with_the_clients_event_id(client: Client) -> None:
    incoming = client.ask("conversation.item.delete", event_id="mine")
    [error] = read(incoming.frames)
    assert incoming.events == ()
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": "missing_required_parameter",
        "message": "Missing required parameter: 'item_id'.",
        "param": "item_id",
        "event_id": "mine",
    }


@pytest.mark.parametrize(
    "text",
    [
        "{",
        b"\0",
        frame("session.update", session=1),
        frame("session.update", session=TRANSCRIBED),
        frame("input_audio_buffer.append", audio="AAAA"),
        frame("conversation.item.retrieve", item_id="U"),
        frame("conversation.item.create", item={"type": "message", "role": "user", "content": []}),
        frame("response.create"),
    ],
)
def test_a_frame_is_read_without_what_notices_use(text: str | bytes) -> None:
    """So that it can be read on a thread while the client is told something."""
    taken: list[str] = []

    def ids(kind: str) -> str:
        taken.append(kind)
        return f"{kind}_{len(taken)}"

    wire = Wire("sess_1", ids, VOICES, "voxtral-voice", 0)
    settings, before = wire.settings, [*taken]
    said = wire.read(text)
    assert (wire.settings, taken) == (settings, before)
    incoming = wire.act(said, lambda _: None)
    assert incoming.events or incoming.frames or incoming.pcm


def test_a_refused_session_update_changes_nothing(client: Client) -> None:
    patch = {"type": "realtime", "instructions": "new", "audio": {"output": {"speed": 9}}}
    incoming = client.ask("session.update", session=patch, event_id="mine")
    [error] = read(incoming.frames)
    assert (error["error"]["param"], error["error"]["event_id"]) == ("session.audio.output.speed", "mine")
    assert incoming.events == ()
    assert client.wire.settings == ev.Settings()


def test_the_core_refuses_with_the_clients_event_id(client: Client) -> None:
    [error] = client.hear(ev.Refused("response_cancel_not_active", "Cancellation failed", None), event_id="mine")
    assert error["error"]["code"] == "response_cancel_not_active"
    assert error["error"]["event_id"] == "mine"


def test_events_for_the_core_carry_the_clients_event_id(client: Client) -> None:
    incoming = client.ask("response.cancel", event_id="mine")
    assert incoming == Incoming(events=(ev.CancelReply(None),), client_event_id="mine")


def test_items_keep_the_clients_id(client: Client) -> None:
    item = {"id": "mine", "type": "message", "role": "system", "content": []}
    [add] = client.ask("conversation.item.create", item=item, previous_item_id="root").events
    assert add == ev.AddItem(ev.Item("mine", "system", "text", ""), "root")


def taken(client: Client, item_id: str) -> bool:
    item = {"id": item_id, "type": "message", "role": "system", "content": []}
    incoming = client.ask("conversation.item.create", item=item, event_id="mine")
    codes = [(event["error"]["code"], event["error"]["event_id"]) for event in read(incoming.frames)]
    assert codes in ([], [("item_create_duplicate_item_id", "mine")])
    return bool(codes)


def test_the_id_of_speech_is_taken_until_the_history_has_it(client: Client) -> None:
    client.hear(ev.SpeechStarted("U", 0))
    assert taken(client, "U")
    client.hear(ev.SpeechStopped("U", 16_000), committed())
    assert not taken(client, "U")  # the core looks into its history


def test_the_ids_of_what_is_beside_the_conversation_are_taken(client: Client) -> None:
    client.hear(ev.ReplyStarted("B", "I", None, "text", "af_heart", None, aside=True))
    client.hear(ev.ReplyEnded("B", "completed", None, "", 0, None, None))
    client.hear(ev.ReplyStarted("B", None, None, "text", "af_heart", None, aside=True))
    client.hear(ev.ReplyMessageStarted("B", "J", None), ev.ReplyCallStarted("B", "K", None, "c", "now"))
    assert [taken(client, item_id) for item_id in "IJK"] == [True] * 3


def test_the_ids_of_the_conversation_are_the_cores_business(client: Client) -> None:
    client.hear(committed(), ev.ReplyStarted("R", None, "U", "text", "af_heart", None))
    client.hear(ev.ReplyMessageStarted("R", "A", "U"), ev.ReplyCallStarted("R", "C", "A", "c", "now"))
    assert [taken(client, item_id) for item_id in "UAC"] == [False] * 3


def test_taken_ids_are_forgotten_when_there_are_too_many(client: Client) -> None:
    for number in range(1001):
        client.hear(ev.SpeechStarted(f"U{number}", 0))
    assert not taken(client, "U0")
    assert taken(client, "U1")


def test_retrieve_shows_what_the_history_holds(client: Client) -> None:
    client.items["A"] = ev.Item("A", "assistant", "audio", "What was heard", "incomplete")
    incoming = client.ask("conversation.item.retrieve", item_id="A")
    [event] = read(incoming.frames)
    assert event["type"] == "conversation.item.retrieved"
    assert event["item"]["content"] == [{"type": "output_audio", "audio": None, "transcript": "What was heard"}]
    assert incoming.events == ()


@pytest.mark.parametrize(("role", "format_of"), [("user", "input"), ("assistant", "output")])
def test_retrieve_gives_the_sound_that_is_kept_in_the_sessions_format(
    client: Client, role: ev.Role, format_of: str
) -> None:
    client.items["A"] = ev.Item("A", role, "audio", "Hello")
    client.sounds["A"] = Sound(bytes(320), 16_000)
    [event] = read(client.ask("conversation.item.retrieve", item_id="A").frames)
    assert base64.b64decode(event["item"]["content"][0]["audio"]) == bytes(480)
    use(client, format_of, "audio/pcmu")
    [event] = read(client.ask("conversation.item.retrieve", item_id="A").frames)
    assert base64.b64decode(event["item"]["content"][0]["audio"]) == b"\xff" * 80


def test_retrieve_of_a_call(client: Client) -> None:
    client.items["C"] = ev.CallItem("C", ev.ToolCall("call_1", "weather", "{}"))
    [event] = read(client.ask("conversation.item.retrieve", item_id="C").frames)
    assert (event["item"]["type"], event["item"]["arguments"]) == ("function_call", "{}")


def test_retrieve_from_who_keeps_no_sounds(client: Client) -> None:
    item = ev.Item("A", "user", "audio", "Hello")
    [event] = read(client.wire.client(frame("conversation.item.retrieve", item_id="A"), {"A": item}.get).frames)
    assert event["item"]["content"] == [{"type": "input_audio", "audio": None, "transcript": "Hello"}]


def said(audio: bytes, **fields: Any) -> dict[str, Any]:
    part = {"type": "input_audio", "audio": base64.b64encode(audio).decode(), **fields}
    return {"type": "message", "role": "user", "content": [part]}


def test_an_item_with_sound_whose_words_have_to_be_found(client: Client) -> None:
    incoming = client.ask("conversation.item.create", item={**said(bytes(4801)), "id": "mine"})
    assert incoming.events == (ev.AddItem(ev.Item("mine", "user", "audio", None), None, 100.0),)
    assert incoming.sound == bytes(4800)
    assert incoming.pcm == b""  # the input buffer has nothing of it


def test_an_item_with_sound_in_the_sessions_format(client: Client) -> None:
    use(client, "input", "audio/pcmu")
    incoming = client.ask("conversation.item.create", item=said(b"\xff" * 160, transcript="Hello"))
    [add] = incoming.events
    assert isinstance(add, ev.AddItem)
    assert (add.item, add.sound_ms) == (ev.Item(add.item.id, "user", "audio", "Hello"), 20.0)
    assert incoming.sound == bytes(960)


def test_sound_that_is_no_sound_has_no_words(client: Client) -> None:
    incoming = client.ask("conversation.item.create", item=said(b"\x01"), event_id="mine")
    [error] = read(incoming.frames)
    assert (error["error"]["param"], error["error"]["event_id"]) == ("item.content", "mine")
    assert incoming.events == ()


def test_retrieve_of_nothing(client: Client) -> None:
    [event] = read(client.ask("conversation.item.retrieve", item_id="X", event_id="mine").frames)
    assert event["error"]["code"] == "item_retrieve_invalid_item_id"
    assert event["error"]["message"] == "Error retrieving item: the item with id 'X' does not exist."
    assert event["error"]["event_id"] == "mine"


def test_deleted(client: Client) -> None:
    [event] = client.hear(ev.ItemDeleted("A"))
    assert (event["type"], event["item_id"]) == ("conversation.item.deleted", "A")


def test_a_response_speaks_with_a_voice_that_is_there(client: Client) -> None:
    wish = {"audio": {"output": {"voice": "ash"}}, "instructions": "Whisper."}
    [create] = client.ask("response.create", response=wish).events
    assert create == ev.CreateReply(ev.ReplyOptions(instructions="Whisper.", voice="am_michael"))


def test_a_response_with_an_unknown_voice_is_refused(client: Client) -> None:
    wish = {"audio": {"output": {"voice": "darth"}}}
    incoming = client.ask("response.create", response=wish, event_id="mine")
    [error] = read(incoming.frames)
    assert incoming.events == ()
    assert (error["error"]["param"], error["error"]["event_id"]) == ("response.audio.output.voice", "mine")


def test_a_response_with_tools_of_its_own(client: Client) -> None:
    client.ask("session.update", session={"type": "realtime", "tools": [WEATHER], "tool_choice": WEATHER})

    def options(**wish: Any) -> ev.ReplyOptions:
        [create] = client.ask("response.create", response=wish).events
        assert isinstance(create, ev.CreateReply)
        return create.options

    assert options() == ev.ReplyOptions()
    assert options(tools=[WEATHER]) == ev.ReplyOptions(tools=(TOOL,))
    assert options(tools=[]) == ev.ReplyOptions(tools=(), tool_choice="auto")  # the session's choice is not there
    assert options(tool_choice=WEATHER) == ev.ReplyOptions(tool_choice=ev.NamedTool("weather"))
    assert options(tools=[], tool_choice="required") == ev.ReplyOptions(tools=(), tool_choice="required")


def test_a_response_cannot_choose_a_tool_that_is_not_there(client: Client) -> None:
    incoming = client.ask("response.create", response={"tool_choice": WEATHER}, event_id="mine")
    [error] = read(incoming.frames)
    assert incoming.events == ()
    assert (error["error"]["param"], error["error"]["event_id"]) == ("response.tool_choice.name", "mine")


def test_metadata_comes_back_with_its_response_only(client: Client) -> None:
    metadata = {"client_event_id": "e1"}
    [create] = client.ask("response.create", response={"metadata": metadata}).events
    assert isinstance(create, ev.CreateReply)
    client.hear(started(request=None), ended())
    assert client.events[1]["response"]["metadata"] is None
    client.events.clear()
    client.hear(started(request=create.options.request), ended())
    assert client.events[0]["response"]["metadata"] == metadata
    assert client.events[-1]["response"]["metadata"] == metadata


def test_what_means_nothing_is_named_for_the_log(client: Client) -> None:
    incoming = client.ask("session.update", session={"type": "realtime", "temperature": 0.8})
    assert incoming.ignored == ("session.temperature",)
    assert client.ask("response.create", response={"temperature": 0.8}).ignored == ("response.temperature",)


def test_too_much_at_once_is_an_error_of_its_own_kind(client: Client) -> None:
    [error] = client.hear(ev.Refused("rate_limit_exceeded", "8 responses are running."))
    assert error["error"]["type"] == "rate_limit_error"


# --- how a session begins ---------------------------------------------------------------------------------------


def test_a_session_that_is_made_ready_before_it_opens() -> None:
    patch: Any = {
        "type": "realtime",
        "instructions": "Be brief.",
        "audio": {"input": {"format": {"type": "audio/pcma"}}},
    }
    client = Client(opening=Opening(session_patch=patch))
    [created] = client.events
    assert (created["session"]["instructions"], created["session"]["model"]) == ("Be brief.", "voxtral-voice")
    assert client.wire.settings == ev.Settings(instructions="Be brief.")
    assert len(append(client, b"\xd5" * 160)) == 960


def test_a_transcription_session_that_is_made_ready_before_it_opens() -> None:
    patch: Any = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    for intent in (None, "transcription"):
        client = Client(opening=Opening(intent=intent, session_patch=patch))
        assert client.events[0]["session"]["type"] == "transcription"
        assert client.wire.settings.turn_detection is None


def test_a_session_that_is_made_ready_is_not_changed_by_the_address() -> None:
    patch: Any = {"type": "realtime", "instructions": "Be brief."}
    [created] = Client(opening=Opening(intent="transcription", session_patch=patch)).events
    assert (created["session"]["type"], created["session"]["instructions"]) == ("realtime", "Be brief.")


@pytest.mark.parametrize(
    ("path", "value", "param"),
    [
        (("audio", "output", "voice"), "nobody", "session.audio.output.voice"),
        (("tools",), [{"type": "function", "name": "look up"}], "session.tools[0].name"),
        (("audio", "input"), 7, "session.audio.input"),
    ],
)
def test_what_cannot_be_had_of_a_session_that_goes_on_costs_the_rest_nothing(
    path: tuple[str, ...], value: Any, param: str
) -> None:
    patch: dict[str, Any] = {
        "type": "realtime",
        "instructions": "Be brief.",
        "audio": {"output": {"speed": 1.25}},
        "voxtral_voice": {"resume": True},
    }
    place = patch
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    client = Client(ours=True, opening=Opening(session_patch=patch, by_parts=True))
    created, error = client.events
    assert (error["type"], error["error"]["param"]) == ("error", param)
    session = created["session"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"]["speed"] == 1.25
    assert session["audio"]["output"]["voice"] == VOICES.default
    assert client.wire.wants_resume


def test_of_a_session_of_which_more_than_one_thing_cannot_be_had_each_is_told() -> None:
    patch: Any = {"type": "realtime", "instructions": 7, "output_modalities": ["smell"], "tool_choice": "none"}
    created, *errors = Client(opening=Opening(session_patch=patch, by_parts=True)).events
    assert {error["error"]["param"] for error in errors} == {"session.instructions", "session.output_modalities"}
    assert created["session"]["tool_choice"] == "none"


def test_a_session_of_which_nothing_can_be_had_is_the_usual_one() -> None:
    created, error = Client(opening=Opening(session_patch={"instructions": "Be brief."}, by_parts=True)).events
    assert error["error"]["param"] == "session.type"
    assert created["session"]["instructions"] == ""


@pytest.mark.parametrize(
    ("opening", "kind", "param"),
    [
        (Opening(session_patch={"type": "realtime", "instructions": 7}), "realtime", "session.instructions"),
        (Opening(intent="transcription", session_patch={"type": "live"}), "realtime", "session.type"),
    ],
)
def test_a_session_that_cannot_be_made_ready_says_so(opening: Opening, kind: str, param: str) -> None:
    created, error = Client(opening=opening).events
    assert (created["type"], created["session"]["type"]) == ("session.created", kind)
    assert (error["type"], error["error"]["param"]) == ("error", param)


def test_the_first_update_may_make_it_a_transcription_session(client: Client) -> None:
    incoming = client.ask("session.update", session={"type": "transcription"})
    assert incoming.events == (ev.Configure(client.wire.settings),)
    client.hear(ev.Configured())
    assert client.events[-1]["session"]["type"] == "transcription"
    [error] = read(client.ask("session.update", session={"type": "realtime"}).frames)
    assert error["error"]["param"] == "session.type"


def test_a_session_in_use_stays_what_it_is(client: Client) -> None:
    append(client, b"\x01\x02")
    [error] = read(client.ask("session.update", session={"type": "transcription"}).frames)
    assert error["error"]["param"] == "session.type"


def test_a_frame_that_is_no_event_does_not_count_as_use(client: Client) -> None:
    client.send("nonsense")
    assert client.ask("session.update", session={"type": "transcription"}).events


def test_errors_of_the_server_itself(client: Client) -> None:
    [event] = read([client.wire.error("session_expired", "Your session is over.", kind="server_error")])
    assert event["error"] == {
        "type": "server_error",
        "code": "session_expired",
        "message": "Your session is over.",
        "param": None,
        "event_id": None,
    }


# --- anything at all --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_a_changed_session_update_is_taken_and_echoed_or_refused(data: st.DataObject) -> None:
    client = Client(ours=True)
    before = client.wire.settings
    patch = copy.deepcopy({"type": "realtime", **FULL})
    for _ in range(data.draw(st.integers(1, 3))):
        change_one_place(data.draw, patch)
    incoming = client.ask("session.update", session=patch)
    if incoming.events:
        client.hear(ev.Configured())
    else:
        assert len(read(incoming.frames)) == 1
        assert client.wire.settings == before


# --- resuming ---------------------------------------------------------------------------------------------------


def asks_to_resume(client: Client) -> None:
    client.ask("session.update", session={"type": "realtime", "voxtral_voice": {"resume": True}})


def told_of_resume(client: Client) -> Any:
    [updated] = client.hear(ev.Configured())
    return updated["session"]["voxtral_voice"]["resume"]


def test_a_token_is_told_once() -> None:
    client = Client(ours=True)
    assert not client.wire.wants_resume
    asks_to_resume(client)
    assert client.wire.wants_resume
    client.wire.may_resume("sess_1.secret", 120)
    assert told_of_resume(client) == {"token": "sess_1.secret", "seconds": 120}
    assert told_of_resume(client) == {"seconds": 120}


def test_where_nothing_can_be_resumed_that_is_told() -> None:
    client = Client(ours=True)
    asks_to_resume(client)
    assert told_of_resume(client) is False
    client.wire.may_resume("sess_1.secret", 120)
    client.wire.may_not_resume()
    assert told_of_resume(client) is False


def test_the_greeting_of_another_connection() -> None:
    client = Client(ours=True)
    asks_to_resume(client)
    client.wire.may_resume("sess_1.secret", 120)
    event_id, frame = client.wire.resumed(17)
    [greeting] = read([frame], ours=True)
    assert (greeting["type"], greeting["event_id"]) == ("session.created", event_id)
    told = {"token": "sess_1.secret", "seconds": 120, "resumed": True, "received": 17}
    assert greeting["session"]["voxtral_voice"]["resume"] == told
    assert greeting["session"]["id"] == "sess_1"
    assert told_of_resume(client) == {"seconds": 120}


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu"])
def test_the_sound_of_what_was_sent(name: str) -> None:
    client = Client()
    audio = {"output": {"format": {"type": name}}}
    client.ask("session.update", session={"type": "realtime", "audio": audio})
    client.hear(ev.Configured(), ev.ReplyStarted("resp_1", "item_2", "item_1", "audio", "af_heart", None))
    frames = [frame for _ in range(3) for frame in client.wire.notice(ev.ReplyAudioDelta("resp_1", SOUND))]
    sound = pcm16_to_float(client.wire.sound_of(frames))
    assert len(sound) == pytest.approx(3 * len(SOUND), abs=72)
    assert sound[len(SOUND)] == pytest.approx(SOUND[0], abs=0.01)


def test_a_client_secret_may_ask_for_it() -> None:
    patch: dict[str, Any] = {"type": "realtime", "voxtral_voice": {"resume": True}}
    wire = Wire("sess_1", counted_ids(), VOICES, "voxtral-voice", 0, opening=Opening(session_patch=patch))
    assert wire.wants_resume
    wire.may_resume("sess_1.secret", 120)
    [created] = read(wire.opening(), ours=True)
    assert created["session"]["voxtral_voice"]["resume"]["token"] == "sess_1.secret"


@pytest.mark.parametrize(
    "patch",
    [
        {"type": "realtime", "voxtral_voice": {"resume": True}},
        {
            "type": "realtime", "instructions": "Be brief.", "max_output_tokens": 100, "output_modalities": ["text"],
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "weather"}, "parallel_tool_calls": False, "tracing": "auto",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1", "language": "hi"},
                    "noise_reduction": {"type": "near_field"}, "turn_detection": None,
                },
                "output": {"format": {"type": "audio/pcma"}, "speed": 1.5},
            },
        },
        {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad", "patience": 0.9}}}},
        {"type": "transcription", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.3}}}},
    ],
)  # fmt: skip
def test_a_session_is_made_again_from_what_is_kept_of_it(patch: dict[str, Any]) -> None:
    wire = Client(ours=True, opening=Opening(session_patch=patch)).wire
    again = Client(ours=True, opening=Opening(session_patch=wire.kept()))
    assert again.wire.settings == wire.settings
    assert again.wire.kept() == wire.kept()
    assert again.kinds() == ["session.created"]


def test_the_greeting_of_a_server_that_had_only_what_was_kept() -> None:
    client = Client(ours=True)
    asks_to_resume(client)
    client.wire.may_resume("sess_1.secret", 120)
    _, frame = client.wire.resumed(17, restored=True)
    [greeting] = read([frame], ours=True)
    told = {"token": "sess_1.secret", "seconds": 120, "resumed": True, "received": 17, "restored": True}
    assert greeting["session"]["voxtral_voice"]["resume"] == told
