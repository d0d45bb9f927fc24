"""The order checker finds what it is there to find."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.realtime.order import Event, check

ids = map(str, itertools.count())
PLACE = {"response_id": "R", "item_id": "A", "output_index": 0, "content_index": 0}


def event(kind: str, **fields: Any) -> Event:
    return {"type": kind, "event_id": next(ids), **fields}


def timeout(start_ms: int = 1000) -> list[Event]:
    return [
        event("input_audio_buffer.timeout_triggered", item_id="T", audio_start_ms=start_ms, audio_end_ms=7000),
        event("input_audio_buffer.committed", item_id="T", previous_item_id=None),
        event("conversation.item.added", item={"id": "T"}, previous_item_id=None),
        event("conversation.item.done", item={"id": "T"}, previous_item_id=None),
    ]


def turn() -> list[Event]:
    return [
        event("input_audio_buffer.speech_started", item_id="U", audio_start_ms=100),
        event("input_audio_buffer.speech_stopped", item_id="U", audio_end_ms=900),
        event("input_audio_buffer.committed", item_id="U", previous_item_id=None),
        event("conversation.item.added", item={"id": "U"}, previous_item_id=None),
        event("conversation.item.done", item={"id": "U"}, previous_item_id=None),
        event("response.created", response={"id": "R"}),
        event("response.output_item.added", response_id="R", output_index=0, item={"id": "A"}),
        event("conversation.item.added", item={"id": "A"}, previous_item_id="U"),
        event("response.content_part.added", **PLACE),
        event("response.output_audio_transcript.delta", **PLACE, delta="Hel"),
        event("response.output_audio_transcript.delta", **PLACE, delta="lo"),
        event("response.output_audio.delta", **PLACE, delta="AAAA"),
        event("response.output_audio.done", **PLACE),
        event("response.output_audio_transcript.done", **PLACE, transcript="Hello"),
        event("response.content_part.done", **PLACE),
        event("conversation.item.done", item={"id": "A"}, previous_item_id="U"),
        event("response.output_item.done", response_id="R", output_index=0, item={"id": "A"}),
        event("response.done", response={"id": "R"}),
        *timeout(),
        event("response.created", response={"id": "S"}),
        event("response.done", response={"id": "S"}),
        event("input_audio_buffer.speech_started", item_id="V", audio_start_ms=8000),
        event("input_audio_buffer.cleared"),
        event("input_audio_buffer.speech_started", item_id="W", audio_start_ms=9000),
    ]


def deleted() -> list[Event]:
    return [event("conversation.item.deleted", item_id="U")]


def added_again() -> list[Event]:
    return [
        event("conversation.item.added", item={"id": "U"}, previous_item_id=None),
        event("conversation.item.done", item={"id": "U"}, previous_item_id=None),
    ]


def without(*indexes: int) -> list[Event]:
    return [e for i, e in enumerate(turn()) if i not in indexes]


def with_extra(index: int, kind: str, **fields: Any) -> list[Event]:
    events = turn()
    events.insert(index, event(kind, **fields))
    return events


def test_a_right_order_passes() -> None:
    check(turn())


def test_an_unfinished_stretch_passes_only_when_allowed() -> None:
    check(turn()[:10], finished=False)
    with pytest.raises(AssertionError, match=r"rule 2: R has no response\.done"):
        check(turn()[:10])


def test_an_id_is_free_when_its_item_was_deleted() -> None:
    check([*turn()[:18], *deleted(), *added_again(), *deleted()])


BROKEN = {
    "rule 5: U was deleted before": [*turn()[:18], *deleted(), *deleted()],
    "rule 5: U was added before": [*turn()[:18], *added_again()],
    "rule 1": with_extra(8, "response.created", response={"id": "S"}),
    "rule 2: R was there before": with_extra(18, "response.created", response={"id": "R"}),
    "rule 3: R is done": with_extra(18, "response.output_audio.delta", **PLACE, delta="AAAA"),
    "rule 3: R was not created": without(5),
    "rule 4: not done": without(14),
    "rule 4: .* is open": with_extra(9, "response.content_part.added", **PLACE),
    "rule 4: .* is not open": without(8),
    "rule 5: U stands before A but was not added": without(3, 4),
    "rule 5: A was not added": without(7),
    "rule 5: A was added before": with_extra(8, "conversation.item.added", item={"id": "A"}, previous_item_id="U"),
    "rule 5: A was done before": with_extra(17, "conversation.item.done", item={"id": "A"}, previous_item_id="U"),
    "rule 5: no conversation.item.done for": without(15),
    "rule 6: the deltas say 'lo'": without(9),
    "rule 6: response.output_audio is done": with_extra(13, "response.output_audio.delta", **PLACE, delta="AAAA"),
    "rule 7: U did not stop": [turn()[0], *turn()[-1:]],
    "rule 7: U did not start": without(0),
    "rule 7: 50 ms after 900 ms": [
        *turn()[:5],
        event("input_audio_buffer.speech_started", item_id="V", audio_start_ms=50),
    ],
    "rule 7: 100 ms after 900 ms": [*turn()[:18], *timeout(100)],
    "rule 9: V is being said": [
        *turn()[:18],
        event("input_audio_buffer.speech_started", item_id="V", audio_start_ms=900),
        *timeout(),
    ],
    "rule 9: R is active": [*turn()[:6], *timeout()],
    "rule 9: T comes first": with_extra(19, "input_audio_buffer.committed", item_id="V", previous_item_id=None),
    "rule 9: T was not committed": with_extra(19, "response.created", response={"id": "X"}),
    "rule 9: T was not committed$": [*turn()[:18], *timeout()[:1]],
    "rule 9: T was not committed.?": [*turn()[:18], *timeout()[:1], *timeout()[:1]],
    "rule 8: no event_id": [{"type": "session.created"}],
    "rule 8: .* was used before": turn()[:1] * 2,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_order_is_named(rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check(BROKEN[rule])
