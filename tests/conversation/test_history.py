from __future__ import annotations

import pytest

from voxtral_voice.conversation.events import (
    CallItem,
    Entry,
    Item,
    ItemReference,
    ItemStatus,
    OutputItem,
    Picture,
    Shown,
    Sound,
    ToolCall,
    ToolOutput,
)
from voxtral_voice.conversation.history import History, kept_of


def item(item_id: str, text: str | None = "x") -> Item:
    return Item(item_id, "user", "text", text)


def order(history: History) -> str:
    return "".join(i.id for i in history)


def test_items_stand_where_they_were_put() -> None:
    history = History(10, 1_000)
    assert history.last_id is None
    assert history.add(item("b")) is None
    assert history.add(item("d")) == "b"
    assert history.add(item("c"), "b") == "b"
    assert history.add(item("a"), "root") is None
    assert order(history) == "abcd"
    assert history.last_id == "d"
    with pytest.raises(KeyError):
        history.add(item("e"), "nobody")


def test_the_oldest_goes_when_it_is_full() -> None:
    history = History(2, 1_000)
    for name in "abc":
        history.add(item(name))
    assert order(history) == "bc"
    assert "a" not in history
    assert "c" in history
    history.add(item("d"), "root")
    assert order(history) == "dc"


def test_update_and_delete_of_what_is_gone_do_nothing() -> None:
    history = History(2, 1_000)
    history.add(item("a", None))
    history.update("nobody", text="y", status="completed")
    history.delete("nobody")
    assert history.get("a") == item("a", None)
    history.update("a", text="y", status="incomplete")
    assert history.get("a") == Item("a", "user", "text", "y", "incomplete")
    history.delete("a")
    assert order(history) == ""


def test_messages_hold_instructions_and_only_items_with_words() -> None:
    history = History(10, 1_000)
    for i in (item("a", "hello"), item("b", None), item("c", ""), Item("d", "assistant", "audio", "hi")):
        history.add(i)
    assert history.messages("") == (("user", "hello"), ("assistant", "hi"))
    assert history.messages("Be kind.")[0] == ("system", "Be kind.")


def test_a_sound_is_shown_last_when_nothing_with_words_is_behind_it() -> None:
    history = History(10, 1_000)
    for i in (item("a", "hello"), item("b", None), item("c", "")):
        history.add(i)
    assert history.shows_last("b")
    assert not history.shows_last("nobody")
    history.add(OutputItem("d", ToolOutput("call_1", "sunny")))
    assert not history.shows_last("b")
    reference = ItemReference("b")
    assert history.shows_last("b", [("user", "hello"), reference, ItemReference("c")])
    assert not history.shows_last("b", [reference, ("user", "hello")])
    assert not history.shows_last("b", [reference, reference])
    assert not history.shows_last("b", [])


def call(item_id: str, status: ItemStatus = "completed") -> CallItem:
    return CallItem(item_id, ToolCall("call_1", "weather", '{"city": "Paris"}'), status)


def test_characters_are_counted_too() -> None:
    history = History(10, 100)
    history.add(item("a", "x" * 40))
    history.add(Item("b", "user", "text", None, pictures=(Picture("u" * 50),)))
    assert order(history) == "ab"
    history.add(OutputItem("c", ToolOutput("call_1", "y" * 20)))
    assert order(history) == "bc"
    history.add(call("d"))
    assert order(history) == "bcd"
    history.add(call("e"), "root")
    assert order(history) == "ecd"


def test_what_is_too_large_alone_stays_alone() -> None:
    history = History(10, 100)
    for name in "ab":
        history.add(item(name, "x" * 1_000))
    assert order(history) == "b"


def test_a_call_takes_the_place_of_what_it_was() -> None:
    history = History(10, 1_000)
    history.add(call("a", "in_progress"))
    history.put(call("a"))
    history.put(call("gone"))
    assert list(history) == [call("a")]
    history.update("a", text="words", status="incomplete")  # are no part of a call
    assert list(history) == [call("a")]


def test_messages_hold_pictures_calls_and_outputs() -> None:
    history = History(10, 1_000)
    picture, output = Picture("data:image/png;base64,", "low"), ToolOutput("call_1", "sunny")
    for i in (
        Item("a", "user", "text", "what is this", pictures=(picture,)),
        Item("b", "user", "text", "", pictures=(picture,)),
        call("c"),
        call("d", "in_progress"),
        call("e", "incomplete"),
        OutputItem("f", output),
    ):
        history.add(i)
    shown = (picture, ("user", "what is this"), picture, ("user", ""), call("c").call, output)
    assert history.messages("") == shown
    assert history.messages("Be kind.", ()) == (("system", "Be kind."),)
    chosen: tuple[Shown | ItemReference, ...] = (
        ("user", "hi"),
        ItemReference("f"),
        ItemReference("e"),
        ItemReference("gone"),
        ItemReference("a"),
    )
    assert history.messages("", chosen) == (("user", "hi"), output, picture, ("user", "what is this"))


def test_a_sound_is_shown_in_place_of_its_item_s_words() -> None:
    history = History(10, 1_000)
    for number, text in enumerate(("one", None, "three")):
        history.add(Item(f"item_{number}", "user", "audio", text))
    heard = Sound("item_1", 0, 16_000)
    assert history.messages("", None, heard) == (("user", "one"), heard, ("user", "three"))
    assert history.messages("", (ItemReference("item_1"), ("user", "this")), heard) == (heard, ("user", "this"))
    assert history.messages("", (ItemReference("item_2"),), heard) == (("user", "three"),)
    history.delete("item_1")
    assert history.messages("", (ItemReference("item_1"),), heard) == ()


def test_what_is_kept_for_another_server() -> None:
    spoken, unheard = Item("u1", "user", "audio", "hi"), Item("u2", "user", "audio", None)
    called = CallItem("c1", ToolCall("1", "f", "{}"))
    calling = CallItem("c2", ToolCall("2", "f", "{"), "in_progress")
    result = OutputItem("o1", ToolOutput("1", "sunny"))
    said = Item("a1", "assistant", "audio", "Well then.")
    saying = Item("a2", "assistant", "audio", "", "in_progress")
    entries: list[Entry] = [spoken, called, calling, result, said, unheard, saying]
    assert kept_of(entries) == (spoken, called, result, said, saying)
    assert kept_of(entries, "a2") == (spoken, called, result, said)
    heard = Item("a2", "assistant", "audio", "It is", "incomplete")
    assert kept_of(entries, "a2", "It is") == (spoken, called, result, said, heard)
    assert kept_of(entries, "a1", "Well") == (spoken, called, result, said, saying), "all of it was sent"
