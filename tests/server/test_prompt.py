from __future__ import annotations

import numpy as np

from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import Call, Message, NamedTool, Picture, Samples, Tool, Tools
from voxtral_voice.server.prompt import messages, tools


def heard(sound: ev.Sound) -> Samples:
    return np.arange(sound.start_sample, sound.end_sample, dtype=np.float32)


def test_words_are_messages_of_their_roles() -> None:
    shown: tuple[ev.Shown, ...] = (("system", "Be kind."), ("user", "hello"), ("assistant", "Hi."))
    assert messages(shown, heard) == [
        Message("system", "Be kind."),
        Message("user", "hello"),
        Message("assistant", "Hi."),
    ]


def test_pictures_go_with_the_words_behind_them() -> None:
    shown: tuple[ev.Shown, ...] = (
        ev.Picture("data:a"),
        ev.Picture("data:b", "low"),
        ("user", "what are these"),
        ("user", "and this"),
    )
    pictures = (Picture("data:a"), Picture("data:b", "low"))
    assert messages(shown, heard) == [Message("user", "what are these", pictures), Message("user", "and this")]


def test_calls_in_a_row_are_one_message_with_what_was_said_before() -> None:
    one, other = ev.ToolCall("call_1", "weather", "{}"), ev.ToolCall("call_2", "time", "{}")
    calls = (Call("call_1", "weather", "{}"), Call("call_2", "time", "{}"))
    output = ev.ToolOutput("call_1", "sunny")
    said = messages((("user", "hello"), one, other, output, ("assistant", "Well."), one), heard)
    assert said == [
        Message("user", "hello"),
        Message("assistant", "", calls=calls),
        Message("tool", "sunny", call_id="call_1"),
        Message("assistant", "Well.", calls=calls[:1]),
    ]
    assert messages((one,), heard) == [Message("assistant", "", calls=calls[:1])]


def test_a_sound_is_the_users_words_with_its_audio() -> None:
    [older, newest] = messages((("user", "hello"), ev.Sound("item_1", 3, 5, "perhaps")), heard)
    assert older.audio is None
    assert newest == Message("user", "perhaps")
    assert newest.audio is not None
    assert newest.audio.tolist() == [3, 4]


def test_what_may_be_called() -> None:
    offered = (ev.Tool("weather", "Of a city.", "{}"),)
    job = ev.Respond("resp_1", (), None, None, offered, ev.NamedTool("weather"), parallel_tool_calls=False)
    assert tools(job) == Tools((Tool("weather", "Of a city.", "{}"),), NamedTool("weather"), parallel=False)
    assert tools(ev.Respond("resp_1", (), None, None, offered, "required")).choice == "required"
    assert tools(ev.Respond("resp_1", (), None, None)) == Tools()
