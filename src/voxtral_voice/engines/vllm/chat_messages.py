"""A conversation as Voxtral Mini behind vLLM takes it. Pure.

Knows: what its tokenizer (v7) insists on: no system role beside sound, and ids of nine letters and digits. Does not
know: how messages become JSON (`openai_chat`), HTTP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from voxtral_voice.engines.base import Message
from voxtral_voice.engines.openai_chat import INSTRUCTIONS, message_json
from voxtral_voice.engines.prompt import in_order, without_pictures

AGREED: Final = Message("assistant", "Understood.")
"""Behind the instructions where they are the user's words."""
ID_CHARS: Final = 9
_ID: Final = re.compile(rf"[A-Za-z0-9]{{{ID_CHARS}}}")


def messages_json(
    messages: Sequence[Message],
    *,
    pictures: bool,  # noqa: ARG001
    listens: bool,
) -> list[dict[str, object]]:
    """As `openai_chat.messages_json`; the model sees no picture, whatever `pictures` says. listens: the last message's
    sound goes out instead of its words."""
    head = [] if messages and messages[0].role == "system" else [INSTRUCTIONS]
    shown = [_taken(without_pictures(message)) for message in (*head, *in_order(messages))]
    if not listens or shown[-1].audio is None or not len(shown[-1].audio):
        return [message_json(replace(message, audio=None)) for message in shown]
    *before, newest = shown
    before = [replace(message, audio=None) for message in before]  # one sound a prompt: each is 375 tokens and more
    return [message_json(message) for message in (*_without_system(before), newest)]


def newer_half(messages: Sequence[Message]) -> Sequence[Message]:
    """Of what stands between the instructions and the last message; no shorter when there is nothing."""
    head = 1 if messages[0].role == "system" else 0
    older = messages[head:-1]
    return [*messages[:head], *older[len(older) // 2 + len(older) % 2 :], messages[-1]]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """In the user's words, and at first agreed to."""
    told = [replace(message, role="user") if message.role == "system" else message for message in messages]
    return [told[0], AGREED, *told[1:]] if messages[0].role == "system" else told


def _taken(message: Message) -> Message:
    calls = tuple(replace(call, call_id=_id(call.call_id)) for call in message.calls)
    call_id = None if message.call_id is None else _id(message.call_id)
    return replace(message, calls=calls, call_id=call_id)


def _id(call_id: str) -> str:
    """Itself where it will do; vLLM would take the last nine characters of it, of which there may be two."""
    return call_id if _ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:ID_CHARS]
