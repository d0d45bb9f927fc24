"""The order checker finds what it is there to find: each rule is broken at least once."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.realtime.order import Order, check, check_both
from tests.realtime.replies import Event

ids = map(str, itertools.count())
AUDIO = {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "af_heart"}}
USAGE = {"total_tokens": 0}
SOUND = base64.b64encode(b"\1\0" * 10).decode()


def event(kind: str, **fields: Any) -> Event:
    return {"type": kind, "event_id": next(ids), **fields}


def session(**inputs: Any) -> Event:
    fields = {"format": {}, "transcription": None, "turn_detection": {"interrupt_response": True}, **inputs}
    return {"type": "realtime", "instructions": "", "audio": {"input": fields, "output": AUDIO["output"]}}


def created(**inputs: Any) -> Event:
    return event("session.created", session=session(**inputs))


# --- what a server says ------------------------------------------------------------------------------------------


def message(item_id: str, text: str | None = None, status: str = "completed", role: str = "assistant") -> Event:
    """text None: it begins."""
    kind = "output_audio" if role == "assistant" else "input_audio"
    content = [] if text is None else [{"type": kind, "audio": None, "transcript": text}]
    status = "in_progress" if text is None else status
    return {"id": item_id, "type": "message", "role": role, "status": status, "content": content}


def call(item_id: str, arguments: str = "", status: str = "in_progress") -> Event:
    item = {"id": item_id, "type": "function_call", "status": status, "call_id": "C", "name": "look"}
    return {**item, "arguments": arguments}


def response(status: str = "in_progress", output: list[Event] | None = None, **fields: Any) -> Event:
    return {
        "object": "realtime.response", "id": "R", "status": status, "status_details": None, "output": output or [],
        "conversation_id": "conv", "output_modalities": ["audio"], "max_output_tokens": "inf", "audio": AUDIO,
        "usage": None if status == "in_progress" else USAGE, "metadata": None, **fields,
    }  # fmt: skip


def added(item: Event, previous: str | None = None) -> Event:
    return event("conversation.item.added", item=item, previous_item_id=previous)


def done(item: Event, previous: str | None = None) -> Event:
    return event("conversation.item.done", item=item, previous_item_id=previous)


def placed(kind: str, item_id: str = "A", index: int = 0, **fields: Any) -> Event:
    place = {"response_id": "R", "item_id": item_id, "output_index": index, "content_index": 0}
    return event(f"response.{kind}", **{**place, **fields})


def output(step: str, item: Event, index: int = 0, response_id: str = "R") -> Event:
    return event(f"response.output_item.{step}", response_id=response_id, output_index=index, item=item)


def calling(kind: str, item_id: str = "F", index: int = 0, **fields: Any) -> Event:
    place = {"response_id": "R", "item_id": item_id, "output_index": index, "call_id": "C"}
    return event(f"response.function_call_arguments.{kind}", **{**place, **fields})


def begins(**fields: Any) -> Event:
    return event("response.created", response=response(**fields))


def ends(*items: Event, status: str = "completed", **fields: Any) -> Event:
    return event("response.done", response=response(status, list(items), **fields))


def said(text: str = "Hello", status: str = "completed", previous: str | None = "U") -> list[Event]:
    """A spoken message of a response."""
    whole = message("A", text, status)
    return [
        output("added", message("A")),
        added(message("A"), previous),
        placed("content_part.added", part={"type": "audio", "transcript": ""}),
        placed("output_audio_transcript.delta", delta=text[:2]),
        placed("output_audio_transcript.delta", delta=text[2:]),
        placed("output_audio.delta", delta=SOUND),
        placed("output_audio.done"),
        placed("output_audio_transcript.done", transcript=text),
        placed("content_part.done", part={"type": "audio", "transcript": text}),
        done(whole, previous),
        output("done", whole),
    ]


def called(index: int = 0, previous: str | None = "U", arguments: str = '{"a": 1}') -> list[Event]:
    whole = call("F", arguments, "completed")
    return [
        output("added", call("F"), index),
        added(call("F"), previous),
        calling("delta", index=index, delta=arguments[:3]),
        calling("delta", index=index, delta=arguments[3:]),
        calling("done", index=index, name="look", arguments=arguments),
        done(whole, previous),
        output("done", whole, index),
    ]


def spoken(start_ms: int = 100, item_id: str = "U", previous: str | None = None) -> list[Event]:
    item = message(item_id, "", role="user")
    return [
        event("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start_ms),
        event("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=start_ms + 800),
        event("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous),
        added(item, previous),
        done(item, previous),
    ]


def timeout(start_ms: int = 1000, previous: str | None = "A") -> list[Event]:
    item = message("T", "", role="user")
    return [
        event("input_audio_buffer.timeout_triggered", item_id="T", audio_start_ms=start_ms, audio_end_ms=7000),
        event("input_audio_buffer.committed", item_id="T", previous_item_id=previous),
        added(item, previous),
        done(item, previous),
    ]


def turn() -> list[Event]:
    return [
        created(),
        *spoken(),
        begins(),
        *said(),
        ends(message("A", "Hello")),
    ]


STARTED, STOPPED, COMMITTED, ADDED, DONE, CREATED, OUTPUT, ITEM, PART = range(1, 10)
"""Places in `turn`."""
WORDS, SOUNDED, SOUND_DONE, WORDS_DONE, PART_DONE, ITEM_DONE, OUTPUT_DONE, END = 10, 12, 13, 14, 15, 16, 17, 18


def tools() -> list[Event]:
    """Speech, then a call, in one response."""
    items = message("A", "Hello"), call("F", '{"a": 1}', "completed")
    return [created(), *spoken(), begins(), *said(), *called(1, "A"), ends(*items)]


def aside() -> list[Event]:
    whole = message("A", "Hello")
    inside = [e for e in said() if not e["type"].startswith("conversation.")]
    return [created(), begins(conversation_id=None), *inside, ends(whole, conversation_id=None)]


def interrupted() -> list[Event]:
    """What is said over a response ends it."""
    whole = message("A", "Hello", "incomplete")
    cancelled = {"type": "cancelled", "reason": "turn_detected", "error": None}
    second = spoken(2000, "V", "A")
    return [
        *turn()[:SOUND_DONE],
        second[0],
        *said("Hello", "incomplete")[6:],
        ends(whole, status="cancelled", status_details=cancelled),
        *second[1:],
    ]


def cut_call() -> list[Event]:
    """Its arguments did not come to their end."""
    whole = call("F", '{"a', "incomplete")
    cancelled = {"type": "cancelled", "reason": "client_cancelled", "error": None}
    end = ends(whole, status="cancelled", status_details=cancelled)
    return [created(), *spoken(), begins(), *called()[:3], done(whole, "U"), output("done", whole), end]


def heard() -> list[Event]:
    """With words."""
    words = {"item_id": "U", "content_index": 0}
    told = created(transcription={"model": "whisper-1"})
    kind = "conversation.item.input_audio_transcription"
    return [
        told,
        spoken()[0],
        event(f"{kind}.delta", **words, delta="Hel"),
        *spoken()[1:],
        event(f"{kind}.completed", **words, transcript="Hello"),
    ]


def silent() -> list[Event]:
    return [*turn(), *timeout(), event("response.created", response=response(id="S")),
            event("response.done", response=response("completed", id="S"))]  # fmt: skip


def kept(audio: bytes = b"\1\0" * 10) -> list[Event]:
    """The sound of a reply is given back."""
    item = message("A", "Hello")
    item["content"][0]["audio"] = base64.b64encode(audio).decode()
    return [*turn(), event("conversation.item.retrieved", item=item)]


RIGHT = {made.__name__: made for made in (turn, tools, aside, interrupted, cut_call, heard, silent, kept)}


@pytest.mark.parametrize("made", RIGHT)
def test_a_right_order_passes(made: str) -> None:
    check(RIGHT[made]())


def test_an_unfinished_stretch_passes_only_when_allowed() -> None:
    check(turn()[:10], finished=False)
    with pytest.raises(AssertionError, match=r"rule 2: R has no response\.done"):
        check(turn()[:10])


def test_an_id_is_free_when_its_item_was_deleted() -> None:
    first, second = (event("conversation.item.deleted", item_id="U") for _ in range(2))
    check([*turn(), first, *spoken(9000)[3:], second])


def test_sound_that_was_cut_off_may_be_shorter() -> None:
    cut = event("conversation.item.truncated", item_id="A", content_index=0, audio_end_ms=0)
    events = kept(b"\1\0" * 4)
    check([*events[:-1], cut, events[-1]])


# --- broken ones -------------------------------------------------------------------------------------------------


def without(*places: int, made: Callable[[], list[Event]] = turn) -> list[Event]:
    return [e for i, e in enumerate(made()) if i not in places]


def having(place: int, *more: Event, made: Callable[[], list[Event]] = turn) -> list[Event]:
    events = made()
    events[place:place] = more
    return events


def changed(place: int, made: Callable[[], list[Event]] = turn, **fields: Any) -> list[Event]:
    events = made()
    events[place].update(fields)
    return events


def other(place: int, key: str, made: Callable[[], list[Event]] = turn, **fields: Any) -> list[Event]:
    """With another item, response or part."""
    events = made()
    events[place][key] = {**events[place][key], **fields}
    return events


AGAIN = event("response.created", response=response(id="S"))
NINE = [event("response.created", response=response(id=f"S{i}", conversation_id=None)) for i in range(9)]
CANCELLED = {"type": "cancelled", "reason": "turn_detected", "error": None}
KIND = "conversation.item.input_audio_transcription"
BROKEN: list[tuple[str, Callable[[], list[Event]]]] = [
    ("rule 1: R is active", lambda: having(PART, AGAIN)),
    ("rule 1: 8 are beside", lambda: [created(), *NINE]),
    ("rule 2: R was there before", lambda: [*turn(), begins()]),
    ("rule 2: R begins as", lambda: other(CREATED, "response", output=[message("A")])),
    ("rule 2: its output is", lambda: other(END, "response", output=[])),
    ("rule 2: its metadata was", lambda: other(END, "response", metadata={"a": "b"})),
    ("rule 2: its usage", lambda: other(END, "response", usage=None)),
    ("rule 2: it is completed, and says", lambda: other(END, "response", status_details=CANCELLED)),
    ("rule 2: it ended in_progress", lambda: other(END, "response", status="in_progress")),
    ("rule 2: it ended cancelled, and says", lambda: other(END, "response", status="cancelled", status_details={
        "type": "failed", "reason": None, "error": None})),
    ("rule 2: it ended cancelled, and says", lambda: other(END, "response", status="cancelled", status_details={
        **CANCELLED, "reason": None})),
    ("rule 2: it ended failed, and says", lambda: other(END, "response", status="failed", status_details={
        "type": "failed", "reason": None, "error": None})),
    ("rule 2: it is completed, but its items", lambda: [
        *turn()[:CREATED], begins(), *said(status="incomplete"), ends(message("A", "Hello", "incomplete"))]),
    ("rule 3: R is done", lambda: [*turn(), placed("output_audio.delta", delta=SOUND)]),
    ("rule 3: R was not created", lambda: without(CREATED)),
    ("rule 3: no response has a response.magic", lambda: having(PART, event("response.magic"))),
    ("rule 3: session.created comes first", lambda: [created(), created()]),
    ("rule 3: session.created comes first", lambda: [event("session.updated", session=session())]),
    ("rule 3: a session that transcribes", lambda: [
        event("session.created", session={**session(), "type": "transcription"}), begins()]),
    ("rule 4: A is not done", lambda: without(OUTPUT_DONE)),
    ("rule 4: A has index 1, not 0", lambda: changed(OUTPUT, output_index=1)),
    ("rule 4: A was there", lambda: having(ITEM, output("added", message("A"), 1))),
    ("rule 4: A begins completed", lambda: other(OUTPUT, "item", status="completed")),
    ("rule 4: A begins with", lambda: other(OUTPUT, "item", content=[{}])),
    ("rule 4: there is no item with index 1", lambda: changed(PART, output_index=1)),
    ("rule 4: B is not the item with index 0", lambda: changed(PART, item_id="B")),
    ("rule 4: A is done", lambda: having(END, placed("output_audio.done"))),
    ("rule 4: A is done, but in_progress", lambda: other(ITEM_DONE, "item", status="in_progress")),
    ("rule 4: a content part of A is not done", lambda: without(PART_DONE)),
    ("rule 4: F is a call and has no content", lambda: having(
        4, placed("content_part.added", "F", part={"type": "text", "text": ""}), made=lambda: [
            created(), begins(), *called(previous=None)[:2], ends()])[:5]),
    ("rule 4: the part has index 1, not 0", lambda: changed(PART, content_index=1)),
    ("rule 4: the part begins with", lambda: changed(PART, part={"type": "audio", "transcript": "x"})),
    ("rule 4: content part 1 is not open", lambda: changed(WORDS, content_index=1)),
    ("rule 4: content part 0 is done", lambda: having(ITEM_DONE, placed("output_audio.done"))),
    ("rule 4: response.output_text in a part of audio", lambda: having(WORDS, placed("output_text.delta", delta="a"))),
    ("rule 4: not done: .*output_audio'", lambda: without(SOUND_DONE)),
    ("rule 4: audio has become text", lambda: changed(PART_DONE, part={"type": "text", "text": "Hello"})),
    ("rule 4: .* became", lambda: [
        created(), begins(), *called(previous=None)[:5], done({**call("F", '{"a": 1}', "completed"), "name": "x"})]),
    ("rule 4: the arguments of F are not done", lambda: [
        created(), begins(), *called(previous=None)[:4], done(call("F", '{"a": 1}', "completed"))]),
    ("rule 4: A is no call", lambda: having(WORDS, calling("delta", "A", delta="x"))),
    ("rule 4: F has another call_id", lambda: [
        created(), begins(), *called(previous=None)[:2], calling("delta", delta="x", call_id="D")]),
    ("rule 4: look has become see", lambda: [
        created(), begins(), *called(previous=None)[:4], calling("done", name="see", arguments='{"a": 1}')]),
    ("rule 5: A was not added$", lambda: without(ITEM)),
    ("rule 5: A is another in its response", lambda: other(ITEM, "item", role="user")),
    ("rule 5: A was added before", lambda: having(PART, added(message("A"), "U"))),
    ("rule 5: A was not added, or is done", lambda: [*turn(), done(message("A", "Hello"), "U")]),
    ("rule 5: A has no conversation.item.done before", lambda: without(ITEM_DONE)),
    ("rule 5: A is another in the conversation", lambda: other(OUTPUT_DONE, "item", object="realtime.item")),
    ("rule 5: A stands behind V, not there", lambda: changed(ITEM, previous_item_id="V")),
    ("rule 5: A stood behind U, now behind A", lambda: changed(ITEM_DONE, previous_item_id="A")),
    ("rule 5: conversation.item.added of U comes first", lambda: without(ADDED)),
    ("rule 5: conversation.item.done of U comes first", lambda: without(DONE)),
    ("rule 5: .* is missing", lambda: turn()[:ADDED]),
    ("rule 5: no conversation.item.done for U", lambda: turn()[:DONE]),
    ("rule 5: X was not added, or was deleted", lambda: [*turn(), event("conversation.item.deleted", item_id="X")]),
    ("rule 5: U was added as", lambda: [*turn(), event("conversation.item.retrieved", item=message("U", "x"))]),
    ("rule 5: it is not the assistant's", lambda: [
        *turn(), event("conversation.item.truncated", item_id="U", audio_end_ms=1)]),
    ("rule 5: X was not added", lambda: [
        *heard(), event(f"{KIND}.delta", item_id="X", content_index=0, delta="x")]),
    ("rule 5: X was not added", lambda: [
        *heard(), event(f"{KIND}.completed", item_id="X", content_index=0, transcript="x")]),
    ("rule 6: the deltas say 'llo'", lambda: without(WORDS)),
    ("rule 6: the deltas say 'Hello', the part says", lambda: changed(PART_DONE, part={
        "type": "audio", "transcript": "Hell"})),
    ("rule 6: the deltas of A say", lambda: other(ITEM_DONE, "item", content=message("A", "Hell")["content"])),
    ("rule 6: response.output_audio is done", lambda: having(PART_DONE, placed("output_audio.delta", delta=SOUND))),
    ("rule 6: a piece without sound", lambda: changed(SOUNDED, delta="")),
    ("rule 6: half a sample", lambda: changed(SOUNDED, delta="AAAA")),
    ("rule 6: the arguments of F are others", lambda: [
        created(), begins(), *called(previous=None)[:5], done(call("F", "{}", "completed"))]),
    ("rule 6: the arguments of F are done", lambda: [
        created(), begins(), *called(previous=None)[:5], calling("delta", delta="x")]),
    ("rule 6: the deltas say .*, the end says '{}'", lambda: [
        created(), begins(), *called(previous=None)[:4], calling("done", name="look", arguments="{}")]),
    ("rule 6: A has 22 bytes of sound", lambda: kept(b"\1\0" * 11)),
    ("rule 6: A sounds otherwise", lambda: kept(b"\2\0" * 10)),
    ("rule 7: U did not stop", lambda: [turn()[STARTED], *spoken(900, "V")]),
    ("rule 7: U did not start", lambda: without(STARTED)),
    ("rule 7: U did not stop", lambda: without(STOPPED)),
    ("rule 7: 50 ms after 900 ms", lambda: [*turn(), *spoken(50, "V", "A")]),
    ("rule 7: 100 ms after 900 ms", lambda: [*turn(), *timeout(100)]),
    ("rule 7: U was not committed", lambda: [*spoken()[:2], *spoken(2000, "V")]),
    ("rule 7: U was not committed", lambda: spoken()[:2]),
    ("rule 7: U comes first", lambda: [*spoken()[:2], spoken(item_id="V")[2]]),
    ("rule 7: nothing ends before", lambda: [
        *turn(), event("conversation.item.truncated", item_id="A", audio_end_ms=-1)]),
    ("rule 8: R is active", lambda: [*turn()[:SOUND_DONE], *spoken(2000, "V", "A")]),
    ("rule 11: no event_id", lambda: [{"type": "session.created"}]),
    ("rule 11: .* was used before", lambda: turn()[:1] * 2),
    ("rule 13: A is beside", lambda: having(3, added(message("A")), made=aside)),
    ("rule 13: A is beside", lambda: [
        created(), begins(conversation_id=None), output("added", message("A")), done(message("A"))]),
    ("rule 15: V is being said", lambda: [*turn(), spoken(900, "V")[0], *timeout()]),
    ("rule 15: R is active", lambda: [*turn()[:PART], *timeout()]),
    ("rule 15: T comes first", lambda: [*turn(), timeout()[0], spoken(item_id="V")[2]]),
    ("rule 15: T was not committed", lambda: [*turn(), timeout()[0], AGAIN]),
    ("rule 15: T was not committed", lambda: [*turn(), timeout()[0]]),
    ("rule 15: T was not committed", lambda: [*turn(), timeout()[0], timeout()[0]]),
    ("rule 16: nobody asked for words", lambda: [created(), *heard()[1:]]),
    ("rule 16: no words of U", lambda: heard()[:-1]),
    ("rule 16: all words of U were told", lambda: [
        *heard(), event(f"{KIND}.delta", item_id="U", content_index=0, delta="x")]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "made"), BROKEN)
def test_a_broken_order_is_named(rule: str, made: Callable[[], list[Event]]) -> None:
    with pytest.raises(AssertionError, match=rule):
        check(made())


def test_words_are_not_waited_for_by_who_wants_none_any_more() -> None:
    check([*heard()[:-1], event("session.updated", session=session())])


def test_speech_that_was_taken_back_need_not_be_committed() -> None:
    check([created(), *spoken()[:2], event("input_audio_buffer.cleared")])
    check([created(), *spoken()[:2], event("session.updated", session=session(turn_detection=None))])


# --- both sides --------------------------------------------------------------------------------------------------


def asks(kind: str, event_id: str | None = "e1", **fields: Any) -> Any:
    return "client", {"type": kind, **({} if event_id is None else {"event_id": event_id}), **fields}


def says(*events: Event) -> list[Any]:
    return [("server", e) for e in events]


def refusal(event_id: str | None = "e1", code: str = "invalid_value", **fields: Any) -> Event:
    error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": "x", "event_id": event_id}
    return event("error", error={**error, **fields})


def updated(**fields: Any) -> Event:
    return event("session.updated", session={**session(), **fields})


def item(item_id: str = "I", role: str = "user") -> Event:
    return {"id": item_id, "type": "message", "role": role, "status": "completed",
            "content": [{"type": "input_text", "text": "x"}]}  # fmt: skip


def cancelled(reason: str = "client_cancelled") -> list[Event]:
    details = {"type": "cancelled", "reason": reason, "error": None}
    return [begins(), *said(status="incomplete", previous=None),
            ends(message("A", "Hello", "incomplete"), status="cancelled", status_details=details)]  # fmt: skip


CREATE = asks("conversation.item.create", item={"type": "message", "role": "user"})
NAMED = asks("conversation.item.create", item={"id": "I", "type": "message", "role": "user"})
BACKED = asks("response.create", response={"metadata": {"k": "v"}})
BESIDE = asks("response.create", "e2", response={"conversation": "none"})
ANSWERED: dict[str, list[Any]] = {
    "an update": [asks("session.update", session={"type": "realtime", "instructions": "x"}),
                  *says(updated(instructions="x"))],
    "an update of a part": [
        asks("session.update", session={"type": "realtime", "audio": {"input": {"transcription": {"model": "m"}}}}),
        *says(event("session.updated", session=session(transcription={"model": "m"})))],
    "another kind of session": [asks("session.update", session={"type": "transcription"}),
                                *says(updated(type="transcription"))],
    "a refusal": [asks("session.update", session={}), *says(refusal())],
    "audio": [asks("input_audio_buffer.append"), asks("input_audio_buffer.append", None)],
    "bad audio": [asks("input_audio_buffer.append"), *says(refusal())],
    "bad audio without a name": [asks("input_audio_buffer.append", None), *says(refusal(None))],
    "no event at all": [("client", None), *says(refusal(None, "invalid_json", param=None))],
    "an unknown event": [asks("magic"), *says(refusal())],
    "a name that is none": [asks("magic", "x" * 600), *says(refusal(None))],
    "a fault of ours": [asks("input_audio_buffer.clear"), *says(
        event("input_audio_buffer.cleared"), refusal(None, "internal_error", type="server_error"))],
    "a commit": [asks("input_audio_buffer.commit"), *says(*spoken()[2:])],
    "a commit, perhaps of what was said": [asks("input_audio_buffer.commit"), *says(*spoken())],
    "a commit of nothing, after what was said": [
        asks("input_audio_buffer.commit"), *says(*spoken(), refusal(code="input_audio_buffer_commit_empty"))],
    "two commits": [asks("input_audio_buffer.commit"), asks("input_audio_buffer.commit", "e2"),
                    *says(*spoken(), *spoken(item_id="V", previous="U")[2:])],
    "an item": [CREATE, *says(added(item()), done(item()))],
    "an item with a name": [NAMED, *says(added(item()), done(item()))],
    "an item, and what was said": [CREATE, *says(*spoken(), added(item(), "U"), done(item(), "U"))],
    "an item, and a nudge": [
        *says(*turn()[1:]), CREATE, *says(timeout()[0], added(item("N", "system"), "A"), done(item("N", "system"), "A"),
                                      *timeout(previous="N")[1:], added(item(), "T"), done(item(), "T"))],
    "deleting": [NAMED, *says(added(item()), done(item())), asks("conversation.item.delete", "e2", item_id="I"),
                 *says(event("conversation.item.deleted", item_id="I"))],
    "retrieving": [NAMED, *says(added(item()), done(item())), asks("conversation.item.retrieve", "e2", item_id="I"),
                   *says(event("conversation.item.retrieved", item=item()))],
    "a response": [asks("response.create"), *says(begins(), ends())],
    "a response with a mark": [BACKED, *says(begins(metadata={"k": "v"}), ends(metadata={"k": "v"}))],
    "a response beside": [BESIDE, *says(begins(conversation_id=None), ends(conversation_id=None))],
    "a late response": [asks("response.create"), asks("input_audio_buffer.clear", "e2"),
                        *says(event("input_audio_buffer.cleared"), begins(), ends())],
    "a cancel": [asks("response.create"), asks("response.cancel", "e2"), *says(*cancelled())],
    "a cancel by name": [asks("response.create"), asks("response.cancel", "e2", response_id="R"), *says(*cancelled())],
    "a cancel that is too late": [asks("response.create"), asks("response.cancel", "e2"), *says(
        begins(), ends(), refusal("e2", "response_cancel_not_active", param=None))],
    "a truncation of what is said": [
        asks("response.create"), asks("conversation.item.truncate", "e2", item_id="A"), *says(
            *cancelled(), event("conversation.item.truncated", item_id="A", content_index=0, audio_end_ms=1))],
    "an interruption": says(*cancelled("turn_detected")),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_asked_is_answered(case: str) -> None:
    check_both([*says(created()), *ANSWERED[case]])


UNANSWERED: list[tuple[str, list[Any]]] = [
    ("rule 9: no answer to", [asks("session.update", session={})]),
    ("rule 9: no answer to", [asks("response.create")]),
    ("rule 9: no answer to", [("client", None)]),
    ("rule 9: .*clear.* is answered, .*commit.* was not", [
        asks("input_audio_buffer.commit"), asks("input_audio_buffer.clear", "e2"),
        *says(event("input_audio_buffer.cleared"))]),
    ("rule 9: nobody asked for it with session.update", says(updated())),
    ("rule 9: nobody asked for it with conversation.item.create", [asks("input_audio_buffer.append"), *says(
        added(item()))]),
    ("rule 9: nobody committed U", [asks("input_audio_buffer.append"), *says(spoken()[2])]),
    ("rule 9: nobody asked for R", [asks("response.create"), *says(begins(metadata={"k": "v"}))]),
    ("rule 9: nobody asked for R", [asks("response.create"), *says(begins(conversation_id=None))]),
    ("rule 9: nobody cancelled R", [asks("response.create"), *says(*cancelled())]),
    ("rule 9: nobody cancelled R", [asks("response.create"), asks("response.cancel", "e2", response_id="S"),
                                    *says(*cancelled())]),
    ("rule 9: there is no error oops", [asks("magic"), *says(refusal(code="oops"))]),
    ("rule 9: .* does not say why", [asks("magic"), *says(refusal(message=""))]),
    ("rule 9: .* does not say of what", [asks("magic"), *says(refusal(param=None))]),
    ("rule 9: .* names no event", [asks("magic"), *says(refusal(None))]),
    ("rule 9: .* was not sent, or is answered", [asks("magic"), *says(refusal("e2"))]),
    ("rule 9: .* was not sent, or is answered", [asks("magic"), *says(refusal(), refusal())]),
    ("rule 9: .* was not sent, or is answered", [
        asks("session.update", session={"type": "realtime"}), *says(updated(), refusal())]),
    ("rule 10: .* has changed instructions", [
        asks("session.update", session={"type": "realtime"}), *says(updated(instructions="x"))]),
    ("rule 10: .* has changed audio.input.transcription", [
        asks("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}),
        *says(event("session.updated", session=session(transcription={"model": "m"})))]),
    ("rule 10: .* has changed more", [
        asks("session.update", session={"type": "realtime"}), *says(updated(more=1))]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "traffic"), UNANSWERED)
def test_what_is_not_answered_as_it_should_be_is_named(rule: str, traffic: list[Any]) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_both([*says(created()), ("client", {"type": "input_audio_buffer.append", "event_id": "e0"}), *traffic])


def test_a_token_to_resume_with_is_shown_once_and_the_session_is_what_it_was() -> None:
    resume = {"seconds": 120, "token": "t"}
    wish = asks("session.update", session={"type": "realtime", "voxtral_voice": {"resume": True}})
    given = updated(voxtral_voice={"resume": resume})
    shown = updated(voxtral_voice={"resume": {"seconds": 120}})
    nothing = asks("session.update", "e2", session={"type": "realtime"})
    check_both([*says(created()), wish, *says(given), nothing, *says(shown)])
    with pytest.raises(AssertionError, match=r"rule 10: .* has changed voxtral_voice"):
        check_both([*says(created()), wish, *says(given), nothing, *says(updated(voxtral_voice={"resume": False}))])


def test_who_waits_is_known() -> None:
    order = Order()
    order.receive(created())
    order.sent({"type": "input_audio_buffer.clear", "event_id": "e1"})
    assert order.answers is not None
    assert order.answers.waiting == ["input_audio_buffer.clear"]
    order.receive(event("input_audio_buffer.cleared"))
    assert order.answers.waiting == []
