"""Conversations as the recorded vLLM took them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from tests.engines.chat_server import order_fault
from tests.engines.vllm.recorded import exchanges
from voxtral_voice.engines.base import Call, Message, Picture
from voxtral_voice.engines.openai_chat import INSTRUCTIONS
from voxtral_voice.engines.vllm.chat_messages import AGREED, messages_json, newer_half

SOUND = np.zeros(160, np.float32)
SPOKEN = Message("user", "", audio=SOUND)


def sent(messages: Sequence[Message], *, listens: bool = True) -> Any:
    """Sound is shortened to "<wav>"."""
    written = json.loads(orjson.dumps(messages_json(messages, pictures=True, listens=listens)))
    for message in written:
        for part in message["content"] if isinstance(message["content"], list) else ():
            assert part["input_audio"].pop("data").startswith("UklG")
            part["input_audio"]["data"] = "<wav>"
    return written


def parts(text: str = "<wav>") -> list[dict[str, object]]:
    return [{"type": "input_audio", "input_audio": {"data": text, "format": "wav"}}]


def test_beside_sound_the_instructions_are_the_users_words_and_agreed_to() -> None:
    """As in the recorded request, which was answered; with a system message it was refused."""
    recorded = exchanges("chat_audio")[2].request["body"]["messages"]
    system, *turns = [
        Message("system", "You are a kind voice assistant."),
        Message("user", "Hello."),
        Message("assistant", "Hello, how are you?"),
        SPOKEN,
    ]
    recorded[-1]["content"] = parts()
    recorded[1]["content"] = AGREED.text
    assert sent([system, *turns]) == recorded
    assert exchanges("chat_refusals")[0].request["body"]["messages"][0]["role"] == "system"


def test_without_sound_they_are_the_system_role() -> None:
    messages = [Message("system", "Be brief."), Message("user", "Hi")]
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert sent(messages, listens=False) == sent(messages, listens=True) == said
    assert sent([Message("user", "Hi", audio=SOUND)], listens=False)[-1] == said[-1]
    assert sent([Message("user", "Hi", audio=SOUND[:0])])[-1] == said[-1]


def test_without_instructions_there_are_our_own() -> None:
    assert sent([SPOKEN])[0] == {"role": "user", "content": INSTRUCTIONS.text}
    assert sent([Message("user", "Hi")])[0] == {"role": "system", "content": INSTRUCTIONS.text}


def test_a_prompt_has_one_sound_the_newest_and_older_turns_their_words() -> None:
    older = Message("user", "How late is it?", audio=SOUND)
    history = [Message("system", "S"), older, Message("assistant", "Ten."), Message("system", "Hurry."), SPOKEN]
    assert [message["content"] for message in sent(history)[2:]] == ["How late is it?", "Ten.", "Hurry.", parts()]
    assert "system" not in {message["role"] for message in sent(history)}


def test_ids_of_calls_are_what_the_tokenizer_takes() -> None:
    ids = ["c1rvb6nDC", "call_of_a_client_1", "call_of_a_client_2", "fc_x"]
    calls = tuple(Call(call_id, "weather", "{}") for call_id in ids)
    outputs = [Message("tool", "dry", call_id=call_id) for call_id in ids]
    written = sent([Message("user", "Hi"), Message("assistant", "", calls=calls), *outputs, SPOKEN])
    asked = [call["id"] for message in written for call in message.get("tool_calls", ())]
    assert asked == [message["tool_call_id"] for message in written if message["role"] == "tool"]
    assert asked[0] == "c1rvb6nDC"
    assert len(set(asked)) == 4
    assert all(len(call_id) == 9 and call_id.isalnum() for call_id in asked)
    assert order_fault(written) is None


def test_it_sees_no_pictures() -> None:
    said = sent([Message("user", "What is it?", (Picture("data:,x"),)), Message("user", "Say.")])
    assert "data:" not in json.dumps(said)
    assert "cannot see" in said[1]["content"]


def test_the_newer_half() -> None:
    turns = [Message("user", str(n)) for n in range(7)]
    system = Message("system", "S")
    assert newer_half(turns) == turns[3:]
    assert newer_half([system, *turns]) == [system, *turns[3:]]
    assert newer_half([system, turns[0]]) == [system, turns[0]]
    assert newer_half([system, turns[0], turns[1]]) == [system, turns[1]]
    assert newer_half(turns[:1]) == turns[:1]
