from __future__ import annotations

import itertools

from voxtral_voice.conversation.calls import Calls
from voxtral_voice.conversation.events import CallItem, ReplyCall, ToolCall


def filled(*pieces: tuple[int, str]) -> Calls:
    counter = itertools.count(1)
    calls = Calls()
    for index, arguments in pieces:
        calls.add(ReplyCall("resp_1", index, f"call_{index}", "weather", arguments), lambda k: f"{k}_{next(counter)}")
    return calls


def test_the_next_call_ends_the_one_before() -> None:
    calls = filled((0, "{"), (0, "}"), (1, ""))
    first, second = calls
    assert len(calls) == 2
    assert first.take_delta() == "{}"
    assert (first.whole, second.whole) == (True, False)
    assert first.item("completed") == CallItem("item_1", ToolCall("call_0", "weather", "{}"))
    calls.end()
    assert second.whole


def test_a_reply_without_calls_has_none_to_end() -> None:
    calls = Calls()
    calls.end()
    assert not calls
    assert not calls.any_told


def test_arguments_are_taken_once() -> None:
    calls = filled((0, '{"a'), (0, '": 1'))
    [call] = calls
    assert call.take_delta() == '{"a": 1'
    assert call.take_delta() == ""
    call.add("}")
    assert call.item("incomplete").call.arguments == '{"a": 1'
    assert call.take_delta() == "}"
    assert call.item("incomplete").call.arguments == '{"a": 1}'


def test_a_tool_may_have_been_called_when_the_call_was_told_to_its_end() -> None:
    calls = filled((0, "{}"))
    [call] = calls
    call.begun = True
    assert not calls.any_told
    call.ended = True
    assert calls.any_told
