from __future__ import annotations

import pytest

from voxtral_voice.conversation.events import Item
from voxtral_voice.conversation.history import History


def item(item_id: str, text: str | None = "x") -> Item:
    return Item(item_id, "user", "text", text)


def order(history: History) -> str:
    return "".join(i.id for i in history)


def test_items_stand_where_they_were_put() -> None:
    history = History(10)
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
    history = History(2)
    for name in "abc":
        history.add(item(name))
    assert order(history) == "bc"
    assert "a" not in history
    assert "c" in history
    history.add(item("d"), "root")
    assert order(history) == "dc"


def test_update_and_delete_of_what_is_gone_do_nothing() -> None:
    history = History(2)
    history.add(item("a", None))
    history.update("nobody", text="y", status="completed")
    history.delete("nobody")
    assert history.get("a") == item("a", None)
    history.update("a", text="y", status="incomplete")
    assert history.get("a") == Item("a", "user", "text", "y", "incomplete")
    history.delete("a")
    assert order(history) == ""


def test_messages_hold_instructions_and_only_items_with_words() -> None:
    history = History(10)
    for i in (item("a", "hello"), item("b", None), item("c", ""), Item("d", "assistant", "audio", "hi")):
        history.add(i)
    assert history.messages("") == (("user", "hello"), ("assistant", "hi"))
    assert history.messages("Be kind.")[0] == ("system", "Be kind.")
