from __future__ import annotations

import itertools
import math

from tests.conversation.stage import names, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.history import History
from voxtral_voice.conversation.outputs import Outputs
from voxtral_voice.conversation.reply import Reply


class Told:
    """A reply that may call tools, and what is told of it."""

    def __init__(self, *, may_call: bool = True, aside: bool = False) -> None:
        self.history = History(10, 1_000)
        self.history.add(ev.Item("item_u", "user", "text", "hello"))
        self.out: list[ev.Command] = []
        self.outputs = Outputs(None if aside else self.history, self.out)
        self.reply = Reply("resp_1", "item_m", "audio", "af_heart", 40, -math.inf, may_call=may_call)
        self._ids = itertools.count(1)
        self.outputs.begin(self.reply, 7)

    def call(self, index: int, arguments: str = "{}") -> None:
        event = ev.ReplyCall("resp_1", index, f"call_{index}", "weather", arguments)
        self.reply.add_call(event, lambda kind: f"{kind}_{next(self._ids)}")

    def tell(self) -> list[ev.Command]:
        self.outputs.tell(self.reply)
        told = self.out.copy()
        self.out.clear()
        return told

    def items(self) -> list[tuple[str, str]]:
        return [(item.id, item.status) for item in self.history]


def test_without_tools_the_message_begins_with_the_reply() -> None:
    told = Told(may_call=False)
    assert told.tell() == [ev.ReplyStarted("resp_1", "item_m", "item_u", "audio", "af_heart", 7)]
    assert told.items()[-1] == ("item_m", "in_progress")
    told.reply.add_text("Hello.")
    assert told.tell() == []
    told.outputs.close(told.reply, text="Hello.", completed=True)
    assert told.items()[-1] == ("item_m", "completed")


def test_with_tools_it_begins_with_its_first_words() -> None:
    told = Told()
    told.reply.add_text("\n")
    assert told.tell() == [ev.ReplyStarted("resp_1", None, None, "audio", "af_heart", 7)]
    told.reply.add_text(" Let me see")
    assert told.tell() == [ev.ReplyMessageStarted("resp_1", "item_m", "item_u")]
    assert told.tell() == []


def test_calls_stand_behind_the_words_before_them_and_leave_as_they_are_made() -> None:
    told = Told()
    told.reply.add_text("Let me see.")
    told.call(0, '{"city":')
    assert names(told.tell()) == ["ReplyStarted", "ReplyMessageStarted", "ReplyCallStarted", "ReplyCallDelta"]
    told.history.add(ev.Item("item_x", "user", "text", "meanwhile"))
    told.call(0, ' "Paris"}')
    told.call(1)
    told.reply.end_text()
    assert told.tell() == [
        ev.ReplyCallDelta("resp_1", "item_1", ' "Paris"}'),
        ev.ReplyCallEnded("resp_1", "item_1"),
        ev.ReplyCallStarted("resp_1", "item_2", "item_1", "call_1", "weather"),
        ev.ReplyCallDelta("resp_1", "item_2", "{}"),
        ev.ReplyCallEnded("resp_1", "item_2"),
    ]
    assert [item_id for item_id, _ in told.items()] == ["item_u", "item_m", "item_1", "item_2", "item_x"]
    assert told.history.get("item_1") == ev.CallItem("item_1", ev.ToolCall("call_0", "weather", '{"city": "Paris"}'))


def test_words_behind_a_call_stand_behind_it() -> None:
    told = Told()
    told.call(0)
    told.reply.add_text("I am looking. ")
    told.call(1)
    started = [c for c in told.tell() if isinstance(c, ev.ReplyCallStarted | ev.ReplyMessageStarted)]
    assert [(c.item_id, c.after) for c in started] == [("item_1", "item_u"), ("item_m", "item_1"), ("item_2", "item_m")]


def test_a_call_without_arguments_has_no_delta() -> None:
    told = Told()
    told.call(0, "")
    told.reply.end_text()
    assert names(told.tell()) == ["ReplyStarted", "ReplyCallStarted", "ReplyCallEnded"]


def test_what_is_cut_off_is_incomplete() -> None:
    told = Told()
    told.reply.add_text("Hello.")
    told.call(0)
    told.call(1, '{"ci')
    told.reply.end_text("length")
    told.tell()
    told.outputs.close(told.reply, text="Hel", completed=False)
    told.call(2)  # was never told
    assert told.items() == [
        ("item_u", "completed"), ("item_m", "incomplete"), ("item_1", "completed"), ("item_2", "incomplete"),
    ]  # fmt: skip
    assert told.history.messages("") == (
        ("user", "hello"), ("assistant", "Hel"), ev.ToolCall("call_0", "weather", "{}"),
    )  # fmt: skip


def test_what_stood_before_it_may_be_deleted_meanwhile() -> None:
    told = Told()
    told.reply.add_text("Hello.")
    told.tell()
    told.history.delete("item_m")
    told.call(0)
    [started, _] = told.tell()
    assert isinstance(started, ev.ReplyCallStarted)
    assert started.after == "item_u"


def test_beside_the_conversation_nothing_enters_it() -> None:
    told = Told(aside=True)
    told.reply.add_text("Hello.")
    told.call(0)
    told.reply.end_text()
    out = told.tell()
    assert out[:2] == [
        ev.ReplyStarted("resp_1", None, None, "audio", "af_heart", 7, aside=True),
        ev.ReplyMessageStarted("resp_1", "item_m", None),
    ]
    assert names(out)[-1] == "ReplyCallEnded"
    told.outputs.close(told.reply, text="Hello.", completed=True)
    assert told.items() == [("item_u", "completed")]


def test_a_phrase_ends_where_a_call_begins() -> None:
    told = Told()
    told.reply.add_text("Let me see.")
    told.call(0)
    told.reply.add_text(" So.")
    told.reply.end_text()
    told.reply.add_audio(ev.PhraseAudio("resp_1", 0, sound(40)))
    told.reply.end_phrase(0)
    told.reply.end_phrase(1)
    deltas = [c.delta for c in told.reply.due(0.0, 400) if isinstance(c, ev.ReplyTextDelta)]
    assert deltas == ["Let me see.", " So."]
