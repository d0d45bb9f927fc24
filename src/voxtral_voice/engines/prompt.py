"""A history with tool calls, outputs and pictures in it, as engines can take it. Pure.

Knows: what servers of language models insist on (a call, and right behind it its output), and how to say all of it in
words. Does not know: any server's format.

A conversation by voice does not keep that order: the user goes on talking while a tool runs, outputs come late, and a
client may put items anywhere or delete them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from voxtral_voice.engines.base import Message

NO_OUTPUT_YET: Final = "There is no output yet."
"""Stands for the output of a call that still runs; without it the model would call again."""
A_PICTURE: Final = "(a picture that you cannot see)"


# --- in order -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a call: which message, which call of it."""

    message: int
    call: int


def in_order(messages: Sequence[Message]) -> list[Message]:
    """Every call with its output right behind it, where the call stood; outputs without a call are the user's words.

    When an output is what is to be answered, but would move to before the assistant's last words, the call moves to its
    output instead: an answer to one's own words is nothing that a model was taught.
    """
    answers = _answers(messages)
    late = _late(messages, answers)
    told = set(answers.values())
    ordered: list[Message] = []
    for i, message in enumerate(messages):
        if message.role == "tool":
            ordered += [] if i in told else [_in_words(message, {})]
        elif message.calls:
            calls = [_Place(i, n) for n in range(len(message.calls))]
            ordered += _round(messages, message.text, [place for place in calls if place not in late], answers)
        else:
            ordered.append(message)
    return ordered + _round(messages, "", late, answers)


def _answers(messages: Sequence[Message]) -> dict[_Place, int]:
    """Where the output of each call is, if there is one. Of calls with the same id each takes the next output."""
    outputs: defaultdict[str | None, list[int]] = defaultdict(list)
    for i, message in enumerate(messages):
        if message.role == "tool":
            outputs[message.call_id].append(i)
    found: dict[_Place, int] = {}
    for i, message in enumerate(messages):
        for n, call in enumerate(message.calls):
            if outputs[call.call_id]:
                found[_Place(i, n)] = outputs[call.call_id].pop(0)
    return found


def _late(messages: Sequence[Message], answers: Mapping[_Place, int]) -> list[_Place]:
    """The calls whose outputs are the end of the prompt, right behind the assistant's words."""
    end = len(messages)
    while end and messages[end - 1].role == "tool":
        end -= 1
    if not end or messages[end - 1].role != "assistant" or messages[end - 1].calls:
        return []
    return [place for place, output in answers.items() if output >= end]


def _round(
    messages: Sequence[Message], text: str, places: Sequence[_Place], answers: Mapping[_Place, int]
) -> list[Message]:
    """The assistant's text and calls, and their outputs."""
    calls = tuple(messages[place.message].calls[place.call] for place in places)
    if not calls:
        return [Message("assistant", text)] if text else []
    texts = (messages[answers[place]].text if place in answers else NO_OUTPUT_YET for place in places)
    outputs = [Message("tool", text, call_id=call.call_id) for call, text in zip(calls, texts, strict=True)]
    return [Message("assistant", text, calls=calls), *outputs]


# --- in words -----------------------------------------------------------------------------------------------------


def in_words(messages: Sequence[Message]) -> list[Message]:
    """For a model that knows neither tools nor pictures: outputs are told by the user, calls are left out."""
    names = {call.call_id: call.name for message in messages for call in message.calls}
    return [_in_words(m, names) for m in messages if m.text or m.pictures or not m.calls]


def without_pictures(message: Message) -> Message:
    """In their place it says that they were there."""
    if not message.pictures:
        return message
    return replace(message, text=" ".join([*[A_PICTURE] * len(message.pictures), message.text]).rstrip(), pictures=())


def _in_words(message: Message, names: Mapping[str, str]) -> Message:
    if message.role == "tool":
        return Message("user", f"({names.get(message.call_id or '', 'A tool')} says: {message.text})")
    return replace(without_pictures(message), calls=())


def call_ids(messages: Sequence[Message]) -> set[str]:
    return {call.call_id for message in messages for call in message.calls}
