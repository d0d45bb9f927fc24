"""The wire on the real core: whatever happens in a conversation, the client gets events in a legal order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.stage import Stage
from tests.conversation.test_properties import DETECTIONS, STEPS, scripts
from tests.realtime import order
from tests.realtime.make import VOICES, counted_ids, frame
from tests.realtime.oracle import read
from voxtral_voice.conversation import events as ev
from voxtral_voice.realtime.wire import Wire

TRANSCRIBED = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}


def new_wire() -> Wire:
    wire = Wire("sess_1", counted_ids(), VOICES, "voxtral-voice", now_unix=0)
    wire.client(frame("session.update", session=TRANSCRIBED), lambda _: None)
    return wire


def told(log: list[ev.Command]) -> list[dict[str, Any]]:
    """What a client reads when the core says all this."""
    wire = new_wire()
    notices = [command for command in log if not isinstance(command, ev.EngineCommand)]
    return read([*wire.opening(), *(frame for notice in notices for frame in wire.notice(notice))])


@settings(max_examples=200, deadline=None)
@given(scripts, st.sampled_from(DETECTIONS))
def test_every_conversation_is_told_in_a_legal_order(
    script: list[tuple[str, int]], detection: ev.TurnDetection | None
) -> None:
    stage = Stage(ev.Settings(turn_detection=detection))
    for step, number in script:
        STEPS[step](stage, number)
    order.check(told(stage.log), finished=False)


def test_two_turns_and_a_barge_in() -> None:
    stage = Stage()
    stage.turn()
    stage.silence(3000)
    stage.turn(reply="A long answer that will not be heard to its end.")
    stage.speak(800)
    events = told(stage.log)
    order.check(events)
    statuses = [e["response"]["status"] for e in events if e["type"] == "response.done"]
    assert statuses == ["completed", "cancelled"]


def test_metadata_goes_through_the_core() -> None:
    stage, wire = Stage(), new_wire()
    asked = wire.client(frame("response.create", response={"metadata": {"a": "b"}}), stage.session.history.get)
    [create] = asked.events
    notices = [c for c in stage.do(create) if not isinstance(c, ev.EngineCommand)]
    created = next(event for notice in notices for event in read(wire.notice(notice)))
    assert created["response"]["metadata"] == {"a": "b"}


def test_retrieve_reads_the_core_s_history() -> None:
    stage, wire = Stage(), new_wire()
    stage.turn(text="what is the time")
    item_id = stage.last(ev.AudioCommitted).item.id
    [event] = read(wire.client(frame("conversation.item.retrieve", item_id=item_id), stage.session.history.get).frames)
    assert event["item"]["content"][0]["transcript"] == "what is the time"
